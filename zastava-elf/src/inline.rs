//! Bytes of a bounded number, without the heap.

/// Up to `N` bytes. Those beyond `len` are 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct InlineBytes<const N: usize> {
    len: u16,
    bytes: [u8; N],
}

impl<const N: usize> InlineBytes<N> {
    /// Zeros, to be filled in by way of `bytes_mut`; `None` if `len` is more than `N`.
    pub(crate) fn zeros(len: u32) -> Option<Self> {
        (len as usize <= N && N <= u16::MAX.into()).then_some(Self { len: len as u16, bytes: [0; N] })
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..usize::from(self.len)]
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        str::from_utf8(self.as_bytes()).ok()
    }

    pub(crate) fn trim_nuls(&mut self) {
        while let Some(0) = self.as_bytes().last() {
            self.len -= 1;
        }
    }
}
