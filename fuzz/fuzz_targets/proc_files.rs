//! Other files of `/proc` from foreign bytes: no panic, and nothing that the kernel cannot have meant.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_observer::{CgroupUnit, Stat, cgroup_path, container_id};

fuzz_target!(|data: &[u8]| {
    if let Some(stat) = Stat::parse(data) {
        let _ = (stat.is_kernel_thread(), stat.is_ended());
    }
    if let Some(path) = cgroup_path(data) {
        assert!(path.starts_with('/') && path.len() > 1);
        if let Some(unit) = CgroupUnit::of(&path) {
            assert!(!unit.name.is_empty() && unit.path.starts_with('/'));
        }
    }
    if let Ok(name) = std::str::from_utf8(data) {
        assert!(container_id(name).is_none_or(|id| name.contains(id)));
    }
});
