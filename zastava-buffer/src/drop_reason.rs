/// Why a record was dropped, or refused at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// Dropped from the disk, oldest first, to stay within the cap or because the disk is full.
    Evicted,
    /// Dropped at open, because the cap had been lowered below what the directory held.
    CapLowered,
    /// Its bytes are there but fail their checksum.
    Corrupt,
    /// Its number was given, but there are no bytes for it: it was in memory when the process died, or a
    /// file is gone or was cut short.
    Missing,
    /// Written by a newer version of this crate, in a form this one does not know.
    UnreadableVersion,
    /// Dropped from memory, oldest first, because the disk took records too slowly or not at all.
    MemoryFull,
    /// Refused: longer than [`BufferOptions::record_bytes_max`](crate::BufferOptions::record_bytes_max).
    TooLarge,
    /// Refused: no room, and the kind's policy is not to drop others.
    Full,
    /// Refused: the buffer was closed.
    Closed,
    /// A reason that only a newer version of this crate knows, by its number in the file.
    Other(u8),
}

/// The number of each reason in files. Numbers are never used again for something else.
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
