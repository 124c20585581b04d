//! A second store, and queues to compare with.

pub mod queues;
pub mod redb_store;
