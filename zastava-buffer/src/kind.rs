//! The caller's own classification of records.

/// What sort of record this is, numbered by the caller. Policies and losses are per kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u8);
