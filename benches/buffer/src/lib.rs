//! A second store, and queues to compare with.

#[cfg(feature = "peers")]
mod peers;
pub mod queues;
pub mod redb_store;
