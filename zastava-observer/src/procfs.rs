//! A `/proc` tree: which processes run, when they started, and which cgroup each belongs to.
//!
//! What a process has opened and mapped is read by [`zastava_elf::Process`]. It holds one descriptor of
//! the process's directory, so that no read reaches another process that got the same pid.

mod activity;
mod cgroup;
mod stat;
mod tree;

pub(crate) use self::activity::Activity;
pub use self::cgroup::{CgroupUnit, CgroupUnitKind, cgroup_path, container_id};
pub(crate) use self::cgroup::{Cgroups, Membership};
pub use self::stat::Stat;
pub use self::tree::ProcTree;
pub(crate) use self::tree::{ProcessEntry, cgroups, is_gone, now_ticks, stat};
