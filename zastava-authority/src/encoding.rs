//! The few encodings that OAuth and JOSE need, and random bytes.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::HeaderValue;
use p256::elliptic_curve::Generate;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::error::Error;

const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Bytes from the system's generator, which does not fail on the supported systems.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    <[u8; N]>::generate()
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Appends to a buffer that was made large enough with [`base64url_len`].
pub(crate) fn push_base64url(out: &mut String, bytes: &[u8]) {
    URL_SAFE_NO_PAD.encode_string(bytes, out);
}

/// The length of this many bytes in base64url without padding.
pub(crate) const fn base64url_len(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

/// Decodes strictly: no padding, no line breaks, no stray bits after the last byte.
pub(crate) fn base64url_decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// A PEM block in lines of 64 characters (RFC 7468 section 2).
pub(crate) fn pem_encode(label: &str, der: &[u8]) -> String {
    let body = Zeroizing::new(STANDARD.encode(der));
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}

pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// HMAC-SHA256 (RFC 2104) with a key as long as the hash, which needs no shortening.
pub(crate) fn hmac_sha256(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mut inner = [0x36_u8; 64];
    let mut outer = [0x5c_u8; 64];
    for (index, byte) in key.iter().enumerate() {
        inner[index] ^= byte;
        outer[index] ^= byte;
    }
    sha256(&[&outer, &sha256(&[&inner, message])])
}

/// A header value that prints as `Sensitive`, and whose memory is cleared with its last copy.
pub(crate) fn sensitive(text: Zeroizing<String>) -> Result<HeaderValue, Error> {
    /// The owner of the memory that `Bytes` refers to.
    struct Owner(Zeroizing<String>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }
    header_value(Bytes::from_owner(Owner(text)))
}

/// Like [`sensitive`], without clearing the memory: a proof is good once and of no use later.
pub(crate) fn header_value(bytes: Bytes) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_maybe_shared(bytes).map_err(|_| Error::Unsendable)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether the text is a `token68` (RFC 9110 section 11.2), as a token in `Authorization` must be.
pub(crate) fn is_token68(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    text.len() <= TOKEN_BYTES_MAX
        && !body.is_empty()
        && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_agrees_with_a_published_vector() {
        // RFC 4231 section 4.2 has a key of 20 bytes; HMAC pads keys with zeros, so 32 will do.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let expected = "sDRMYdjbOFNcqK_OrwvxK4gdwgDJgz2nJuk3bC4yz_c";
        assert_eq!(base64url(hmac_sha256(&key, b"Hi There")), expected);
    }

    #[test]
    fn lengths_are_known_beforehand() {
        for length in 0..100 {
            assert_eq!(base64url(vec![0; length]).len(), base64url_len(length));
        }
    }
}
