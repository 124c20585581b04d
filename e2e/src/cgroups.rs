//! The control groups of a cluster: one below the root of every hierarchy, and in it one for each
//! node, which its kubelet takes for the root.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Error;
use crate::command::{make_directory, wait_for, write};

/// The parent of the groups of all clusters of this machine.
const PARENT: &str = "zastava-e2e";
/// Time for the kernel to release a group after its last process.
const EMPTY_WITHIN: Duration = Duration::from_secs(10);

/// The group of a node, as a path below the root of each hierarchy.
pub(crate) fn node_group(cluster: &str, node: &str) -> String {
    format!("/{PARENT}/{cluster}/{node}")
}

/// Makes the groups of a node in every hierarchy.
pub(crate) fn make(cluster: &str, node: &str) -> Result<(), Error> {
    for hierarchy in hierarchies()? {
        let mut group = hierarchy.mount.clone();
        for part in [PARENT, cluster, node] {
            if hierarchy.is_unified_only {
                // A group's children have the controllers that it hands on (cgroup-v2.rst, 2-4).
                write(&group.join("cgroup.subtree_control"), "+cpu +cpuset +io +memory +pids")?;
            }
            group.push(part);
            make_directory(&group)?;
            if hierarchy.has_cpuset {
                inherit(&group, "cpuset.cpus")?;
                inherit(&group, "cpuset.mems")?;
            }
        }
    }
    Ok(())
}

/// Removes the cluster's groups. Its processes must have ended.
pub(crate) fn remove(cluster: &str) -> Result<(), Error> {
    for hierarchy in hierarchies()? {
        let parent = hierarchy.mount.join(PARENT);
        let group = parent.join(cluster);
        wait_for("the end of the control groups", EMPTY_WITHIN, || {
            remove_tree(&group).map_err(|error| format!("{}: {error}", group.display()))
        })?;
        // It stays while another cluster is in it.
        let _ = fs::remove_dir(&parent);
    }
    Ok(())
}

struct Hierarchy {
    mount: PathBuf,
    has_cpuset: bool,
    /// Whether the machine has cgroup v2 only.
    is_unified_only: bool,
}

fn hierarchies() -> Result<Vec<Hierarchy>, Error> {
    let mounts = fs::read_to_string("/proc/self/mounts").map_err(Error::file("/proc/self/mounts"))?;
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mut found: Vec<Hierarchy> = fields
        .filter(|fields| matches!(fields.get(2), Some(&"cgroup" | &"cgroup2")))
        .map(|fields| Hierarchy {
            mount: PathBuf::from(fields[1]),
            has_cpuset: fields[2] == "cgroup" && fields[3].split(',').any(|option| option == "cpuset"),
            is_unified_only: false,
        })
        .collect();
    if let [only] = found.as_mut_slice() {
        only.is_unified_only = true;
    }
    Ok(found)
}

/// A cpuset (v1) begins empty and accepts no process until its values are set (cpusets.rst, 1.3).
fn inherit(group: &Path, file: &str) -> Result<(), Error> {
    let of_parent = group.parent().unwrap_or(group).join(file);
    let value = fs::read(&of_parent).map_err(Error::file(&of_parent))?;
    write(&group.join(file), value)
}

fn remove_tree(group: &Path) -> std::io::Result<()> {
    let entries = match fs::read_dir(group) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}
