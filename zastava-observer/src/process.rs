//! Reads a `/proc` tree, given its root path: who a process is, what it runs, what it has loaded.
//!
//! Every read of a process goes through one descriptor of its directory. After the process ends
//! these reads fail; they never reach another process that got the same pid.

mod arguments;
mod capture;
mod cgroup;
mod files;
mod libraries;
mod maps;
mod stat;
mod tree;

pub(crate) use arguments::cap_arguments;
pub use capture::{CaptureError, ProcessFacts, ProcessReader, ProcessTarget};
pub use cgroup::{CgroupUnit, CgroupUnitKind, cgroup_path, container_id};
pub use maps::{Mapping, executable_mappings};
pub use stat::Stat;
pub use tree::ProcTree;
