//! PEM files (RFC 7468): the certificates or the private key in one, or what is wrong with it.
//!
//! No fault holds bytes of the file. A parser that quotes what it does not understand quotes a private
//! key sooner or later: with its line breaks lost, a key is one long line that makes no sense. So every
//! certificate and key of every setting is read here, and other parsers see DER only.
//!
//! ```
//! use zastava_core::pem::{self, PemFault};
//!
//! let text = b"-----BEGIN PRIVATE KEY-----\nAQID\n-----END PRIVATE KEY-----\n";
//! assert_eq!(pem::private_key(text).unwrap().der(), [1, 2, 3]);
//! let fault = pem::certificates(text).unwrap_err();
//! assert_eq!(fault.to_string(), "it holds a private key and no certificate; are the files exchanged?");
//! ```

mod content;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use self::content::{Content, Label};

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
/// No label is longer.
const LABEL_BYTES_MAX: usize = 64;

/// Why a file does not hold what a setting asks for. Says what the file is instead, and never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PemFault {
    /// The file holds nothing, or white space only.
    #[error("it is empty")]
    Empty,
    /// The file has no PEM block at all.
    #[error("it is {found}; PEM is required")]
    NotPem {
        /// What it looks like.
        found: &'static str,
    },
    /// The file has PEM blocks, and none of the kind that is asked for.
    #[error("it holds {found} and no {wanted}{}", if *exchanged { "; are the files exchanged?" } else { "" })]
    OtherBlock {
        /// What is asked for.
        wanted: &'static str,
        /// What the file holds.
        found: &'static str,
        /// A certificate where a key belongs, or a key where a certificate belongs.
        exchanged: bool,
    },
    /// The private key needs a passphrase, which nobody could enter.
    #[error("its private key is encrypted; store it without a passphrase")]
    Encrypted,
    /// A block has no end.
    #[error("its {label} of line {line} has no END line; the file was cut")]
    Unfinished {
        /// The kind of block.
        label: &'static str,
        /// The line of its beginning, counted from 1.
        line: usize,
    },
    /// A block has other characters than those of base64.
    #[error("line {line} within its {label} is not base64")]
    NotBase64 {
        /// The kind of block.
        label: &'static str,
        /// The line, counted from 1.
        line: usize,
    },
}

/// A private key in DER: PKCS #8, PKCS #1 or SEC1. `Debug` shows no byte of it.
#[derive(Clone)]
pub struct PrivateKey(Zeroizing<Vec<u8>>);

impl PrivateKey {
    /// Its bytes, which are cleared with this value.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey")
    }
}

/// The certificates of a file in DER, in their order: at least one. Text around the blocks and blocks of
/// other kinds do not count.
///
/// # Errors
/// What is wrong with the file.
pub fn certificates(file: &[u8]) -> Result<Vec<Vec<u8>>, PemFault> {
    let found: Vec<_> = blocks(file).filter(|block| block.label == Label::Certificate).collect();
    if found.is_empty() {
        return Err(fault(file, Label::Certificate));
    }
    found.iter().map(|block| block.decode().map(|der| der.to_vec())).collect()
}

/// The first private key of a file. Text around the blocks and blocks of other kinds do not count.
///
/// # Errors
/// What is wrong with the file.
pub fn private_key(file: &[u8]) -> Result<PrivateKey, PemFault> {
    let found = blocks(file).find(|block| block.label == Label::PrivateKey);
    found.ok_or_else(|| fault(file, Label::PrivateKey))?.decode().map(PrivateKey)
}

fn fault(file: &[u8], wanted: Label) -> PemFault {
    let labels = || blocks(file).map(|block| block.label);
    let Some(found) = labels().find(|label| label.is_telling()).or_else(|| labels().next()) else {
        return Content::of(file).map_or(PemFault::Empty, |Content(found)| PemFault::NotPem { found });
    };
    match found {
        Label::EncryptedKey if wanted != Label::Certificate => PemFault::Encrypted,
        _ => PemFault::OtherBlock {
            wanted: wanted.what().trim_start_matches("a "),
            found: found.what(),
            exchanged: found.is_key() != wanted.is_key() && (found.is_key() || found == Label::Certificate),
        },
    }
}

/// A block, not yet decoded.
struct Block<'f> {
    label: Label,
    /// The line of `BEGIN`, counted from 1.
    line: usize,
    /// What is between `BEGIN` and `END`; `None` without an `END` of the same label.
    body: Option<&'f [u8]>,
}

impl Block<'_> {
    fn decode(&self) -> Result<Zeroizing<Vec<u8>>, PemFault> {
        let label = self.label.name();
        let body = self.body.ok_or(PemFault::Unfinished { label, line: self.line })?;
        // RFC 1421 section 4.6.1.1: how OpenSSL encrypted keys before PKCS #8.
        if self.label.is_key() && find(body, b"ENCRYPTED").is_some() {
            return Err(PemFault::Encrypted);
        }
        let mut packed = Zeroizing::new(Vec::with_capacity(body.len()));
        packed.extend(body.iter().filter(|byte| !byte.is_ascii_whitespace()));
        // Large enough for all: a buffer that grows leaves copies behind.
        let mut der = Zeroizing::new(Vec::with_capacity(packed.len()));
        match STANDARD.decode_vec(&*packed, &mut der) {
            Ok(()) => Ok(der),
            Err(_) => Err(PemFault::NotBase64 { label, line: self.line + line_of_fault(body) }),
        }
    }
}

/// How many lines below `BEGIN` the body stops being base64: at its first foreign character, or else at
/// its last line.
fn line_of_fault(body: &[u8]) -> usize {
    let is_base64 =
        |byte: &u8| byte.is_ascii_alphanumeric() || byte.is_ascii_whitespace() || b"+/=".contains(byte);
    let end = body.iter().position(|byte| !is_base64(byte)).unwrap_or_else(|| body.trim_ascii_end().len());
    lines(&body[..end])
}

/// The blocks of a file, up to the first that has no end. A label may stand anywhere: after a byte order
/// mark, after text in any encoding, and in the middle of a line.
fn blocks(file: &[u8]) -> impl Iterator<Item = Block<'_>> {
    let (mut rest, mut line) = (file, 1);
    std::iter::from_fn(move || {
        let begin = find(rest, BEGIN)?;
        line += lines(&rest[..begin]);
        let (block, after) = first_block(&rest[begin + BEGIN.len()..], line);
        line += lines(block.body.unwrap_or_default());
        rest = after;
        Some(block)
    })
}

/// The block whose label begins the text, and what comes after it.
fn first_block(text: &[u8], line: usize) -> (Block<'_>, &[u8]) {
    let unfinished = |label| (Block { label, line, body: None }, &[][..]);
    let Some(length) = find(&text[..text.len().min(LABEL_BYTES_MAX)], DASHES) else {
        return unfinished(Label::Other);
    };
    let (name, body) = (&text[..length], &text[length + DASHES.len()..]);
    let (label, end) = (Label::of(name), [END, name, DASHES].concat());
    match find(body, &end) {
        Some(length) => (Block { label, line, body: Some(&body[..length]) }, &body[length + end.len()..]),
        None => unfinished(label),
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}
