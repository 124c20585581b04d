//! The few encodings that OAuth and JOSE need, and random bytes.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderValue;
use p256::elliptic_curve::Generate;
use sha2::{Digest as _, Sha256};

use crate::error::Error;

const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Bytes from the system's generator, which does not fail on the systems that we run on.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    <[u8; N]>::generate()
}

/// A random number from 0 to 1, for jitter.
pub(crate) fn random_fraction() -> f64 {
    f64::from(u32::from_ne_bytes(random())) / f64::from(u32::MAX)
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Strict: no padding, no line breaks, no stray bits behind the last byte.
pub(crate) fn base64url_decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

pub(crate) fn base64_basic(text: &str) -> String {
    STANDARD.encode(text)
}

pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// HMAC-SHA256 (RFC 2104) with a key of one hash length, which needs no shortening.
pub(crate) fn hmac_sha256(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mut inner = [0x36_u8; 64];
    let mut outer = [0x5c_u8; 64];
    for (index, byte) in key.iter().enumerate() {
        inner[index] ^= byte;
        outer[index] ^= byte;
    }
    sha256(&[&outer, &sha256(&[&inner, message])])
}

/// `application/x-www-form-urlencoded`: all but the unreserved characters become triplets.
pub(crate) fn form_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            b' ' => encoded.push('+'),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// A header value that shows as `Sensitive` wherever the header is printed.
pub(crate) fn sensitive(text: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(text).map_err(|_| Error::Unsendable)?;
    value.set_sensitive(true);
    Ok(value)
}

/// `token68` (RFC 9110 section 11.2), which a token must be to stand in `Authorization`.
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
    fn forms_hold_any_text() {
        assert_eq!(form_encode("aud:scanner a+b&c=d/~é"), "aud%3Ascanner+a%2Bb%26c%3Dd%2F~%C3%A9");
    }
}
