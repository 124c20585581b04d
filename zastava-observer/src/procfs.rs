//! Reads a `/proc` tree, given its root path.
//!
//! Every read of a process goes through one descriptor of its directory. After the process ends, these
//! reads fail; they never reach another process that got the same pid.

mod cgroup;
mod maps;
mod stat;
mod tree;

pub use self::cgroup::{CgroupUnit, CgroupUnitKind, cgroup_path, container_id};
pub use self::maps::{Mapping, executable_mappings};
pub use self::stat::Stat;
pub use self::tree::ProcTree;
pub(crate) use self::tree::{ProcessDirectory, is_gone};
