//! A second store, and queues to compare with.

#[cfg(feature = "peers")]
mod peers;
pub mod queues;
pub mod redb_store;

/// Records in a group commit, and in a batch when draining.
pub const GROUP: usize = 64;
