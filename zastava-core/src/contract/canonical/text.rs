//! JSON text by positions: where a value ends, and which of two member names comes first.

use std::cmp::Ordering;

use super::CanonicalError;

/// JSON text. Positions are byte offsets.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    text: &'a str,
}

impl<'a> Text<'a> {
    /// The text, if its positions fit into 32 bits.
    pub(super) fn new(text: &'a str) -> Result<Self, CanonicalError> {
        if u32::try_from(text.len()).is_ok() { Ok(Self { text }) } else { Err(CanonicalError::TooLarge) }
    }

    pub(super) fn bytes(self) -> &'a [u8] {
        self.text.as_bytes()
    }

    pub(super) fn len(self) -> usize {
        self.text.len()
    }

    pub(super) fn byte(self, at: usize) -> Option<u8> {
        self.bytes().get(at).copied()
    }

    pub(super) fn slice(self, from: usize, to: usize) -> &'a str {
        &self.text[from..to]
    }

    /// The next position that is not white space.
    pub(super) fn skip(self, mut at: usize) -> usize {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte(at) {
            at += 1;
        }
        at
    }

    /// The position behind the byte that must stand at `at`.
    pub(super) fn expect(self, at: usize, byte: u8) -> Result<usize, CanonicalError> {
        if self.byte(at) == Some(byte) { Ok(at + 1) } else { Err(CanonicalError::Malformed { at }) }
    }

    /// The end of the string at `at`.
    pub(super) fn string(self, at: usize) -> Result<usize, CanonicalError> {
        let mut at = self.expect(at, b'"')?;
        loop {
            let rest = self.bytes().get(at..).unwrap_or_default();
            at += rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count();
            match self.byte(at) {
                Some(b'"') => return Ok(at + 1),
                Some(b'\\') => (_, at) = self.unescaped(at).ok_or(CanonicalError::Malformed { at })?,
                _ => return Err(CanonicalError::Malformed { at }),
            }
        }
    }

    /// The end of the number at `at`.
    pub(super) fn number(self, at: usize) -> Result<usize, CanonicalError> {
        let digits = |at: usize| {
            let rest = self.bytes().get(at..).unwrap_or_default();
            at + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
        };
        let first = at + usize::from(self.byte(at) == Some(b'-'));
        let mut end = digits(first);
        let has_leading_zero = end > first + 1 && self.byte(first) == Some(b'0');
        let mut is_whole = end > first && !has_leading_zero;
        if self.byte(end) == Some(b'.') {
            let after = end + 1;
            end = digits(after);
            is_whole &= end > after;
        }
        if let Some(b'e' | b'E') = self.byte(end) {
            let after = end + 1 + usize::from(matches!(self.byte(end + 1), Some(b'+' | b'-')));
            end = digits(after);
            is_whole &= end > after;
        }
        let is_finite = || self.slice(at, end).parse().is_ok_and(f64::is_finite);
        if is_whole && is_finite() { Ok(end) } else { Err(CanonicalError::Malformed { at }) }
    }

    /// The end of the `true`, `false` or `null` at `at`.
    pub(super) fn literal(self, at: usize) -> Result<usize, CanonicalError> {
        let rest = self.bytes().get(at..).unwrap_or_default();
        let word = ["true", "false", "null"].into_iter().find(|word| rest.starts_with(word.as_bytes()));
        word.map(|word| at + word.len()).ok_or(CanonicalError::Malformed { at })
    }

    /// The character for which the escape at `at` stands, and the end of the escape. A character outside the basic plane is
    /// written as two escapes.
    pub(super) fn unescaped(self, at: usize) -> Option<(char, usize)> {
        let character = match self.byte(at + 1)? {
            byte @ (b'"' | b'\\' | b'/') => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                return match self.hex(at + 2)? {
                    lead @ 0xd800..=0xdbff => {
                        let is_escape = self.byte(at + 6)? == b'\\' && self.byte(at + 7)? == b'u';
                        let trail = self.hex(at + 8).filter(|trail| (0xdc00..=0xdfff).contains(trail))?;
                        let code = 0x1_0000 + ((lead - 0xd800) << 10) + (trail - 0xdc00);
                        char::from_u32(code).filter(|_| is_escape).map(|character| (character, at + 12))
                    }
                    code => char::from_u32(code).map(|character| (character, at + 6)),
                };
            }
            _ => return None,
        };
        Some((character, at + 2))
    }

    fn hex(self, at: usize) -> Option<u32> {
        let digits = self.bytes().get(at..at + 4)?;
        digits.iter().try_fold(0, |code, digit| Some((code << 4) | char::from(*digit).to_digit(16)?))
    }

    /// Compares the strings at two positions by their UTF-16 code units (RFC 8785 section 3.2.3). Both must be whole.
    pub(super) fn compare(self, left: usize, right: usize) -> Ordering {
        let (left, right) = (left + 1, right + 1);
        let is_plain = |byte: u8| byte.is_ascii() && byte != b'"' && byte != b'\\';
        let pairs = self.bytes()[left..].iter().zip(&self.bytes()[right..]);
        let same = pairs.take_while(|(left, right)| left == right && is_plain(**left)).count();
        let (left, right) = (left + same, right + same);
        match (self.bytes()[left], self.bytes()[right]) {
            (b'"', b'"') => Ordering::Equal,
            (b'"', _) => Ordering::Less,
            (_, b'"') => Ordering::Greater,
            (one, other) if is_plain(one) && is_plain(other) => one.cmp(&other),
            _ => self.units(left).cmp(self.units(right)),
        }
    }

    /// Numbers that order characters as their UTF-16 code units do, up to the end of the string.
    fn units(self, mut at: usize) -> impl Iterator<Item = u32> {
        std::iter::from_fn(move || {
            let character = match self.text[at..].chars().next() {
                None | Some('"') => return None,
                Some('\\') => {
                    let (character, end) = self.unescaped(at)?;
                    at = end;
                    character
                }
                Some(character) => {
                    at += character.len_utf8();
                    character
                }
            };
            // Surrogates stand below the end of the basic plane.
            Some(match u32::from(character) {
                code @ 0xe000..=0xffff => code + 0x11_0000,
                code => code,
            })
        })
    }
}
