//! Watches the workloads of a Linux node and sends what really runs in them to Scanner, without losing an
//! event silently.
//!
//! A *workload source* reports which workloads run: containerd through its own API, or the host's services
//! and sessions. The *tracker* derives starts and stops from that and emits each once. The main process of
//! each workload that starts is inspected: entrypoint, build-id of the executable, mapped libraries with
//! their hashes. The event goes to a crash-safe buffer on disk, and from there to Scanner.
//!
//! Take this crate to run all of that inside another program, or to inspect single processes.
//!
//! # Inspect a process
//!
//! Needs no configuration and no async runtime.
//!
//! ```
//! use zastava_observer::{CollectOptions, ProcTree, ProcessInspector, ProcessTarget};
//!
//! let inspector = ProcessInspector::new(ProcTree::open("/proc")?, CollectOptions::default());
//! let target = ProcessTarget { pid: std::process::id(), ..ProcessTarget::default() };
//! let facts = inspector.inspect(&target)?;
//! println!("{:?} {:?}", facts.arguments, facts.build_id);
//! for library in &facts.libraries {
//!     println!("{} {:?}", library.path, library.sha256);
//! }
//! // Every missing fact has its reason.
//! for evidence in &facts.evidence {
//!     println!("{}: {}", evidence.signal, evidence.value);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`host_workload`] and [`Node::start_event`] make the event that an observer would send of it.
//!
//! # Embed the observer
//!
//! [`App`] is the program without its command line. It takes the options of a configuration, the metrics
//! registry and the health of its host program, and runs until a shutdown begins. [`App::events`] gives the
//! events to a listener in the same process, [`App::accounting`] says what became of all of them.
//!
//! ```
//! use std::path::Path;
//!
//! use zastava_core::config::Configuration;
//! use zastava_core::program::{Health, Shutdown};
//! use zastava_core::telemetry::Telemetry;
//! use zastava_observer::{App, ObserverOptions};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let spool = directory.path().join("events");
//! let yaml = format!(
//!     "zastava:
//!   runtime:
//!     tenant: acme
//!     authority: {{issuer: 'https://127.0.0.1:1', requireMutualTls: false}}
//!   observer:
//!     engine: host
//!     eventBufferPath: {}
//!     backend: {{baseAddress: 'https://127.0.0.1:2'}}
//! ",
//!     spool.display()
//! );
//! let (options, _) =
//!     Configuration::from_yaml(&yaml, Path::new("zastava.yaml")).read(ObserverOptions::read)?;
//! let telemetry = Telemetry::new(&options.runtime, "1.0.0", "unknown");
//! let app = App::build(options, &telemetry, &Health::new())?;
//! let (mut events, accounting, shutdown) = (app.events(), app.accounting(), Shutdown::new());
//! let running = tokio::spawn(app.run(shutdown.clone()));
//!
//! let event = events.next().await.expect("this process runs on the node too");
//! println!("{} {:?}", event.kind, event.workload.owner);
//!
//! shutdown.begin();
//! running.await??;
//! // Scanner was not there. Nothing is lost: the events wait for the next start.
//! let accounting = accounting.current();
//! assert!(accounting.is_balanced() && accounting.buffered > 0);
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! * An event's id is a function of the workload's run. After a restart or a crash it is the same, so that
//!   Scanner counts a repeat as a duplicate.
//! * `observed = delivered + duplicate + buffered + dropped{reason}` at every moment; see [`Accounting`].
//! * A fact that could not be read is missing from the event, and its reason is among the evidence.
//! * A file that does not answer, on FUSE or NFS, costs its own workload that fact and a few seconds, and others nothing.
//! * A container of containerd that ends at once has its program and build-id: both are read before its first instruction.
//! * An image's digest is that of the image that runs, also after its tag was moved.
//! * Environment variables of processes are never read; of a declared environment only paths are kept. Command lines are
//!   capped and masked.
//! * Only the directory of the buffer, the dead letters and the token cache are written.
//!
//! # Features
//!
//! The crate has no features. What may run is a setting: see `docs/samples/observer.yaml`.
//!
//! | engine | source | |
//! | --- | --- | --- |
//! | containerd | subscription and lists of its own API | 1.6 or newer |
//! | CRI-O | lists of CRI, and its stream of events where CRI-O has it | 1.26 or newer |
//! | Docker Engine | events, lists and inspections of its API | 20.10 or newer |
//! | host | scan of `/proc`: services, scopes and containers by cgroup, the rest by process group | |
//!
//! # Errors
//!
//! [`Error`] says why an observer does not start or ended early. While it runs, a failing engine, disk or
//! Scanner is no error: the part tries again, and health, metrics and log show it. [`InspectError`] says why a
//! process was not inspected; single missing facts are evidence and no error.
//!
//! # What it does not do
//!
//! * Decide whether an image may run: take `stellaops-zastava-admission`.
//! * Read build-ids of files, or map files to debug information: take `stellaops-zastava-elf`.
//! * Queue records of another kind: take `stellaops-zastava-buffer`.
//! * Run on another system than Linux.
//!
//! # Stability
//!
//! The crate is at 0.1: an API change raises the minor version. The wire format is versioned apart from it, in
//! `zastava_core::contract`. The oldest Rust is 1.95; raising it raises the minor version too.

mod app;
mod backoff;
mod blocking;
mod delivery;
mod error;
mod event;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod hash;
mod inspect;
mod kubernetes;
mod live_set;
mod losses;
mod options;
mod pipeline;
mod posture;
mod procfs;
mod reads;
mod redact;
mod selftest;
mod source;
mod text;
mod token_bucket;
mod tracker;
mod workload;

pub use app::{AccountingHandle, App, Events};
pub use delivery::{Accounting, DeadLetter, DeadLetters, Selection};
pub use error::Error;
pub use event::Node;
pub use inspect::{
    Drift, InspectError, InterpretedProgram, Interpreter, PreparedProgram, ProcessFacts, ProcessInspector,
    ProcessTarget, Verdict, WaitingProcess,
};
pub use options::{
    CollectOptions, EngineChoice, EngineEndpoint, EventBufferOptions, ObserverOptions, PostureOptions,
    PublishOptions,
};
pub use procfs::{CgroupUnit, CgroupUnitKind, ProcTree, Stat, cgroup_path, container_id};
pub use source::host_workload;
pub use workload::{DeclaredProcess, DeclaredUser, PathVariables, Workload};

/// The README's example runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
