//! The second pass: writes the canonical form into the hash.
//!
//! The first pass has checked the text: each position here is that of a whole value.

use sha2::{Digest as _, Sha256};

use super::CanonicalError;
use super::order::Order;
use super::text::Text;
use crate::image::Digest;

/// SHA-256 takes long pieces best.
const BUFFER_BYTES: usize = 4096;
/// Above, doubles no longer hold every integer (RFC 8785 section 3.2.2.3 writes numbers as doubles).
const DOUBLE_DIGITS: usize = 15;

/// The digest of the canonical form. Readers of JSON take `-0`, and what 64 bits cannot hold, for floating-point numbers.
pub(super) fn digest(text: Text<'_>, order: &Order) -> Result<Digest, CanonicalError> {
    let buffer = Vec::with_capacity(BUFFER_BYTES);
    let mut writer = Writer { text, order, hash: Sha256::new(), buffer, has_float: false };
    writer.value(text.skip(0));
    if writer.has_float {
        return Err(CanonicalError::Float);
    }
    writer.hash.update(&writer.buffer);
    Ok(Digest::from_bytes(writer.hash.finalize().into()))
}

struct Writer<'a> {
    text: Text<'a>,
    order: &'a Order,
    hash: Sha256,
    buffer: Vec<u8>,
    has_float: bool,
}

impl Writer<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.hash.update(&self.buffer);
            self.buffer.clear();
        }
        if bytes.len() > BUFFER_BYTES {
            self.hash.update(bytes);
        } else {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// Writes the value at `at`. Returns its end, as all functions below do.
    fn value(&mut self, at: usize) -> usize {
        match self.text.byte(at) {
            Some(b'{') => self.object(at),
            Some(b'[') => self.list(at),
            Some(b'"') => self.string(at),
            _ => self.word(at),
        }
    }

    fn list(&mut self, at: usize) -> usize {
        self.put(b"[");
        let mut at = self.text.skip(at + 1);
        while self.text.byte(at) != Some(b']') {
            at = self.text.skip(self.value(at));
            at = self.comma(at);
        }
        self.put(b"]");
        at + 1
    }

    fn object(&mut self, at: usize) -> usize {
        self.put(b"{");
        let order = self.order;
        let end = match order.members(at) {
            Some(members) => self.members(members),
            None => {
                let mut at = self.text.skip(at + 1);
                while self.text.byte(at) != Some(b'}') {
                    at = self.text.skip(self.member(at));
                    at = self.comma(at);
                }
                at
            }
        };
        self.put(b"}");
        end + 1
    }

    /// Writes sorted members. The last one of the text is always among them, and ends behind the others.
    fn members(&mut self, members: &[u32]) -> usize {
        let mut end = 0;
        for (index, member) in members.iter().enumerate() {
            if index > 0 {
                self.put(b",");
            }
            end = end.max(self.member(*member as usize));
        }
        self.text.skip(end)
    }

    fn member(&mut self, at: usize) -> usize {
        let colon = self.string(at);
        let colon = self.text.skip(colon);
        self.put(b":");
        self.value(self.text.skip(colon + 1))
    }

    /// Passes a comma, if there is one.
    fn comma(&mut self, at: usize) -> usize {
        if self.text.byte(at) != Some(b',') {
            return at;
        }
        self.put(b",");
        self.text.skip(at + 1)
    }

    /// Escapes only what must be escaped, in one way (RFC 8785 section 3.2.2.2).
    fn string(&mut self, at: usize) -> usize {
        let bytes = self.text.bytes();
        let (mut from, mut at) = (at, at + 1);
        loop {
            at += bytes[at..].iter().take_while(|byte| !matches!(byte, b'"' | b'\\')).count();
            if bytes.get(at) != Some(&b'\\') {
                break;
            }
            let Some((character, end)) = self.text.unescaped(at) else { break };
            self.put(&bytes[from..at]);
            self.character(character);
            (from, at) = (end, end);
        }
        let end = (at + 1).min(bytes.len());
        self.put(&bytes[from..end]);
        end
    }

    fn character(&mut self, character: char) {
        match character {
            '"' => self.put(b"\\\""),
            '\\' => self.put(b"\\\\"),
            '\u{8}' => self.put(b"\\b"),
            '\u{c}' => self.put(b"\\f"),
            '\n' => self.put(b"\\n"),
            '\r' => self.put(b"\\r"),
            '\t' => self.put(b"\\t"),
            '\0'..' ' => self.put(format!("\\u{:04x}", u32::from(character)).as_bytes()),
            _ => self.put(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self, at: usize) -> usize {
        let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        let end = at + self.text.bytes()[at..].iter().take_while(is_part).count();
        let word = self.text.slice(at, end);
        if word.starts_with(['t', 'f', 'n']) || is_short_integer(word) {
            self.put(word.as_bytes());
        } else if word != "-0" && (word.parse::<i64>().is_ok() || word.parse::<u64>().is_ok()) {
            let double: f64 = word.parse().unwrap_or_default();
            self.put(double.to_string().as_bytes());
        } else {
            self.has_float = true;
        }
        // A word is never empty: whatever the text is, the writer comes to its end.
        end.max(at + 1)
    }
}

/// Whether it is a positive integer whose double has the same digits.
fn is_short_integer(word: &str) -> bool {
    word.len() <= DOUBLE_DIGITS && word.bytes().all(|byte| byte.is_ascii_digit())
}
