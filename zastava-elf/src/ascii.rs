//! ASCII text without the heap, for names that are made from checked bytes.

use core::fmt;

/// Sized by its users for the longest text that they write.
#[derive(Clone, Copy)]
pub(crate) struct AsciiText<const N: usize> {
    len: usize,
    bytes: [u8; N],
}

impl<const N: usize> AsciiText<N> {
    pub(crate) const fn new() -> Self {
        Self { len: 0, bytes: [0; N] }
    }

    pub(crate) fn push(&mut self, ascii: &[u8]) {
        self.bytes[self.len..self.len + ascii.len()].copy_from_slice(ascii);
        self.len += ascii.len();
    }

    pub(crate) fn push_hex(&mut self, bytes: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for byte in bytes {
            self.push(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]]);
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.len]).expect("only ASCII is pushed")
    }
}

impl<const N: usize> fmt::Display for AsciiText<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
