//! Why records were lost.

/// Why a record was dropped, or a push refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// Dropped from the disk, oldest first, to stay within the cap or because the disk is full.
    Evicted,
    /// Dropped while opening, because the cap is lower than what the directory held.
    CapLowered,
    /// The bytes are there but fail their checksum.
    Corrupt,
    /// The number was assigned but there are no bytes for it: the record was in memory when the process died, or a file
    /// is missing or was cut short.
    Missing,
    /// Written by a newer version of this crate, in a form that this version does not know.
    UnreadableVersion,
    /// Dropped from memory, oldest first, because the disk took records too slowly or not at all.
    MemoryFull,
    /// Refused: longer than [`BufferOptions::record_bytes_max`](crate::BufferOptions::record_bytes_max).
    TooLarge,
    /// Refused: there was no room, and the kind's policy does not drop other records.
    Full,
    /// Refused: the buffer was closed.
    Closed,
    /// A reason that only a newer version of this crate knows, by its number in the file.
    Other(u8),
}

/// The number of each reason in files. A number is never reused.
const CODES: [(DropReason, u8); 9] = [
    (DropReason::Evicted, 1),
    (DropReason::CapLowered, 2),
    (DropReason::Corrupt, 3),
    (DropReason::Missing, 4),
    (DropReason::UnreadableVersion, 5),
    (DropReason::MemoryFull, 6),
    (DropReason::TooLarge, 16),
    (DropReason::Full, 17),
    (DropReason::Closed, 18),
];

impl DropReason {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Other(code) => code,
            known => CODES.iter().find(|(reason, _)| *reason == known).map_or(u8::MAX, |(_, code)| *code),
        }
    }

    pub(crate) fn from_code(code: u8) -> Self {
        CODES.iter().find(|(_, known)| *known == code).map_or(Self::Other(code), |(reason, _)| *reason)
    }
}
