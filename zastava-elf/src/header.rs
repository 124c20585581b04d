//! The facts in the file header: class, byte order, type, machine.

use core::fmt;

use object::Endianness;

/// The facts that every ELF file states in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Header {
    /// 32 or 64 bits.
    pub class: Class,
    /// The byte order.
    pub endian: Endian,
    /// The type of file.
    pub file_type: FileType,
    /// The processor it is for.
    pub machine: Machine,
}

impl Header {
    pub(crate) const fn new(class: Class, endian: Endian, file_type: u16, machine: u16) -> Self {
        Self { class, endian, file_type: FileType::of(file_type), machine: Machine(machine) }
    }
}

/// The width of a file's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the ELF specification has these two")]
pub enum Class {
    /// 32 bits.
    Elf32,
    /// 64 bits.
    Elf64,
}

impl Class {
    /// 32 or 64.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Elf32 => 32,
            Self::Elf64 => 64,
        }
    }
}

/// The byte order of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the ELF specification has these two")]
pub enum Endian {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

impl Endian {
    /// The byte order of this machine, and of its `/sys/kernel/notes`.
    pub const NATIVE: Self = if cfg!(target_endian = "big") { Self::Big } else { Self::Little };

    /// `little` or `big`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Little => "little",
            Self::Big => "big",
        }
    }

    pub(crate) fn order(self) -> Endianness {
        match self {
            Self::Little => Endianness::Little,
            Self::Big => Endianness::Big,
        }
    }
}

/// The type of file (`e_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileType {
    /// `ET_REL`: an object file or a kernel module. Its notes are in sections only.
    Relocatable,
    /// `ET_EXEC`: an executable with fixed addresses.
    Executable,
    /// `ET_DYN`: a library, or an executable that can be loaded anywhere.
    Shared,
    /// `ET_CORE`: the memory of a process. A core file has no build-id of its own.
    Core,
    /// Any other value.
    Other(u16),
}

impl FileType {
    const fn of(raw: u16) -> Self {
        match raw {
            1 => Self::Relocatable,
            2 => Self::Executable,
            3 => Self::Shared,
            4 => Self::Core,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relocatable => f.pad("relocatable"),
            Self::Executable => f.pad("executable"),
            Self::Shared => f.pad("shared"),
            Self::Core => f.pad("core"),
            Self::Other(raw) => write!(f, "type-{raw}"),
        }
    }
}

/// The processor (`e_machine`), as numbered in the generic ABI. Prints the names of those that nodes are likely
/// to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Machine(
    /// The number.
    pub u16,
);

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self.0 {
            2 => "sparc",
            3 => "x86",
            4 => "m68k",
            8 => "mips",
            15 => "hppa",
            18 => "sparc32plus",
            20 => "ppc",
            21 => "ppc64",
            22 => "s390",
            40 => "arm",
            42 => "sh",
            43 => "sparcv9",
            50 => "ia64",
            62 => "x86_64",
            183 => "aarch64",
            243 => "riscv",
            247 => "bpf",
            258 => "loongarch",
            0x9026 => "alpha",
            other => return write!(f, "machine-{other}"),
        })
    }
}
