//! A real Kubernetes on this machine: upstream's programs, built from the Go module proxy, each
//! node with its own containerd.
//!
//! ```no_run
//! use zastava_e2e::{Cluster, ClusterOptions, Lifetime};
//!
//! let options = ClusterOptions::new("/srv/zastava-e2e");
//! let cluster = Cluster::start(&options, Lifetime::Handle)?;
//! println!("{}", cluster.kubectl(["get", "nodes"])?);
//! # Ok::<(), zastava_e2e::Error>(())
//! ```
//!
//! Everything of a cluster lives inside Linux namespaces that are made for it (process, mount,
//! network, host name), a nested set for each node. Nothing in them has a way to another network,
//! and when their first process ends, by whatever cause, the kernel ends all others and takes the
//! mounts and networks with them. What remains are files below one directory and empty control
//! groups; [`Cluster::remove`] takes those too.
//!
//! Needs root, Go for [`Tools::build`], and the programs of [`Tools::missing_packages`].

mod cgroups;
mod cluster;
mod command;
mod error;
mod images;
mod init;
mod tools;

pub use self::cluster::{Cluster, ClusterOptions, Lifetime};
pub use self::error::Error;
pub use self::images::{busybox_image, write_archive};
pub use self::init::{InitRole, run_init};
pub use self::tools::{Tools, Versions};
