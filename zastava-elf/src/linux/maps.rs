//! `/proc/<pid>/maps` (proc_pid_maps(5)): one line for each mapping.

use std::ffi::OsString;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt as _;

use crate::linux::kernel_path::KernelPath;
use crate::linux::memory;
use crate::linux::version::Device;

/// A range of a process's addresses, and what is mapped there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mapping {
    /// The addresses in the process.
    pub addresses: Range<u64>,
    /// Whether the process may read it.
    pub is_readable: bool,
    /// Whether the process may write to it.
    pub is_writable: bool,
    /// Whether the process may execute it.
    pub is_executable: bool,
    /// Whether writes reach the file and other processes.
    pub is_shared: bool,
    /// Where in the file it begins.
    pub offset: u64,
    /// What is mapped.
    pub backing: Backing,
}

/// What is mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backing {
    /// Memory without a name.
    Anonymous,
    /// Something that has a name and is no file: `[heap]`, `[stack]`, `[vdso]`, `anon_inode:[perf_event]`.
    Special(OsString),
    /// A file, or what the kernel shows as one; see [`MappedFile::is_memory`].
    File(MappedFile),
}

/// The file of a mapping.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct MappedFile {
    /// The file system. On some it is not the one in [`FileVersion`](crate::FileVersion); see [`Device`].
    pub device: Device,
    /// The file's number in its file system.
    pub inode: u64,
    /// The file's path. `\012` is read as the line break for which the kernel writes it; the kernel does not escape
    /// a `\012` that is part of a name. See [`KernelPath::readings`].
    pub path: KernelPath,
}

impl MappedFile {
    /// Whether this is memory that never was a file and that the kernel shows as one that was deleted: shared
    /// anonymous memory (`/dev/zero`), System V shared memory (`/SYSV…`), huge pages (`/anon_hugepage`).
    ///
    /// The file system decides, and not the text, which may also be the name of a file. A `memfd` is on the same file
    /// system; a program fills it like a file, so it counts as one.
    #[must_use]
    pub fn is_memory(&self) -> bool {
        let is_memfd = self.path.as_path().as_os_str().as_encoded_bytes().starts_with(b"/memfd:");
        !is_memfd && memory::holds(self.device)
    }
}

impl Mapping {
    /// Reads one line, without its line break; `None` if it is not what the kernel writes.
    ///
    /// ```
    /// use zastava_elf::Mapping;
    ///
    /// let line = b"7f1c70a00000-7f1c70b55000 r-xp 00026000 fe:00 5678    /usr/lib/libc.so.6 (deleted)";
    /// let mapping = Mapping::parse(line).expect("a line of maps");
    /// let file = mapping.file().expect("a mapped file");
    /// assert!(mapping.is_executable);
    /// assert_eq!((file.device.to_string().as_str(), file.inode), ("fe:00", 5678));
    /// assert_eq!(file.path.strip_deleted(), Some("/usr/lib/libc.so.6".as_ref()));
    /// ```
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.splitn(6, |&byte| byte == b' ');
        let (start, end) = pair(fields.next()?, b'-')?;
        let &[read, write, execute, shared, ..] = fields.next()? else { return None };
        let offset = number(fields.next()?, 16)?;
        let (major, minor) = pair(fields.next()?, b':')?;
        let device = Device { major: major.try_into().ok()?, minor: minor.try_into().ok()? };
        let inode = number(fields.next()?, 10)?;
        let name = fields.next().unwrap_or_default().trim_ascii_start();
        Some(Self {
            addresses: start..end,
            is_readable: read == b'r',
            is_writable: write == b'w',
            is_executable: execute == b'x',
            is_shared: shared == b's',
            offset,
            backing: Backing::of(name, device, inode),
        })
    }

    /// The mapped file, if a file is mapped.
    #[must_use]
    pub fn file(&self) -> Option<&MappedFile> {
        match &self.backing {
            Backing::File(file) => Some(file),
            _ => None,
        }
    }
}

impl Backing {
    fn of(name: &[u8], device: Device, inode: u64) -> Self {
        match name {
            b"" => Self::Anonymous,
            [b'/', ..] if device != Device::NONE || inode != 0 => {
                Self::File(MappedFile { device, inode, path: KernelPath::escaped(name) })
            }
            _ => Self::Special(OsString::from_vec(name.into())),
        }
    }
}

fn pair(field: &[u8], separator: u8) -> Option<(u64, u64)> {
    let at = field.iter().position(|&byte| byte == separator)?;
    Some((number(&field[..at], 16)?, number(&field[at + 1..], 16)?))
}

/// Digits alone: the integer parsers also take a sign.
fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let digits = str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
    u64::from_str_radix(digits, radix).ok()
}
