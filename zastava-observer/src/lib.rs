//! Watches the workloads of a node and sends what really runs in them to Scanner, without losing an
//! event silently.
//!
//! A source ([containerd's API](EngineChoice), or [the host's processes](EngineChoice)) tells
//! which workloads run. The tracker turns that into starts and stops. Each start is inspected
//! through one descriptor of its `/proc/<pid>`: entrypoint, build-id of the executable, mapped
//! libraries with their hashes. The event goes to a crash-safe buffer on disk and from there to
//! Scanner, which is asked again until it takes it. [`App`] is all of that; the pieces that read
//! processes are useful alone:
//!
//! ```
//! use zastava_observer::{CollectOptions, ProcTree, ProcessReader, ProcessTarget};
//!
//! let reader = ProcessReader::new(ProcTree::open("/proc")?, CollectOptions::default());
//! let facts = reader.capture(&ProcessTarget { pid: std::process::id(), ..Default::default() })?;
//! match &facts.build_id {
//!     Some(id) => println!("{id} .build-id/{}/{}.debug", &id[..2], &id[2..]),
//!     None => println!("no build-id: {:?}", facts.evidence),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is promised
//!
//! * An event's id is a function of the workload's run: the same after a restart or a crash, so that
//!   Scanner counts a repeat as a duplicate.
//! * `observed = delivered + duplicate + buffered + dropped{reason}`, at every moment: [`Accounting`].
//! * A fact that could not be read is missing, with its reason among the event's evidence.
//! * Environment variables are never read, command lines are capped, and nothing is written but the
//!   buffer and the dead letters.

mod app;
mod backoff;
mod error;
mod inspect;
mod mounts;
mod options;
mod outbox;
mod process;
mod runtime;
mod ship;
mod tracker;

pub use app::{App, Books, Events};
pub use error::Error;
pub use inspect::Observed;
pub use options::{
    CollectOptions, EngineChoice, EventBufferOptions, ObserverOptions, PublishOptions, RuntimeEndpoint,
};
pub use outbox::Accounting;
pub use process::{
    CaptureError, CgroupUnit, CgroupUnitKind, Mapping, ProcTree, ProcessFacts, ProcessReader, ProcessTarget,
    Stat, cgroup_path, container_id, executable_mappings,
};
pub use runtime::{Container, host_container};
