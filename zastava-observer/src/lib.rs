//! Watches the workloads of a node and sends what really runs in them to Scanner, without losing an
//! event silently.
//!
//! LIBDOC

mod app;
mod backoff;
mod blocking;
mod delivery;
mod error;
mod event;
mod hash;
mod inspect;
mod kubernetes;
mod mounts;
mod options;
mod pipeline;
mod procfs;
mod source;
mod text;
mod tracker;
mod workload;

pub use app::{AccountingHandle, App, Events};
pub use delivery::Accounting;
pub use error::Error;
pub use event::Node;
pub use inspect::{InspectError, ProcessFacts, ProcessInspector, ProcessTarget};
pub use options::{
    CollectOptions, EngineChoice, EngineEndpoint, EventBufferOptions, ObserverOptions, PublishOptions,
};
pub use procfs::{
    CgroupUnit, CgroupUnitKind, Mapping, ProcTree, Stat, cgroup_path, container_id, executable_mappings,
};
pub use source::host_workload;
pub use workload::Workload;
