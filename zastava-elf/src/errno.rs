//! Error numbers of the operating system, without the standard library.

use core::fmt;

/// An error number of the operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(i32);

impl Errno {
    /// From the number, as in `std::io::Error::raw_os_error`.
    #[must_use]
    pub const fn from_raw(number: i32) -> Self {
        Self(number)
    }

    /// The number, such as 13 for `EACCES` on Linux.
    #[must_use]
    pub const fn raw(self) -> i32 {
        self.0
    }
}

/// The system's words with feature `linux`; the number alone without it.
impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[cfg(all(feature = "linux", target_os = "linux"))]
        return std::io::Error::from_raw_os_error(self.0).fmt(f);
        #[cfg(not(all(feature = "linux", target_os = "linux")))]
        write!(f, "os error {}", self.0)
    }
}

impl core::error::Error for Errno {}
