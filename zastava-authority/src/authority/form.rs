//! `application/x-www-form-urlencoded`.

use bytes::Bytes;
use zeroize::Zeroizing;

/// A form whose memory is cleared, since it may hold an assertion.
pub(super) struct Form(Zeroizing<String>);

/// Large enough for all: a buffer that grows leaves copies behind.
const CAPACITY: usize = 2048;

impl Form {
    pub(super) fn new() -> Self {
        Self(Zeroizing::new(String::with_capacity(CAPACITY)))
    }

    pub(super) fn push(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        encode_onto(&mut self.0, value);
    }

    pub(super) fn into_body(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Form {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Encodes all but the unreserved characters as triplets.
pub(super) fn encode_onto(form: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => form.push(byte.into()),
            b' ' => form.push('+'),
            _ => form.extend(['%', HEX[usize::from(byte >> 4)].into(), HEX[usize::from(byte & 15)].into()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_hold_any_text() {
        let mut form = Form::new();
        form.push("scope", "aud:scanner a+b&c=d/~é");
        form.push("x", "");
        assert_eq!(form.into_body(), "scope=aud%3Ascanner+a%2Bb%26c%3Dd%2F~%C3%A9&x=");
    }
}
