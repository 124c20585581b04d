//! The shared vocabulary of the Zastava runtime plane: wire contracts, image references,
//! configuration, a Scanner client and metrics.
//!
//! Take this crate to produce or consume what Zastava's programs exchange, or to build a service
//! that is configured, logs and is measured as they are.
//!
//! | to | use | feature |
//! | --- | --- | --- |
//! | read or write runtime events, admission decisions and policy verdicts | [`contract`] | `platform` |
//! | know the words that events contain | [`vocabulary`] | `platform` |
//! | parse image references and digests | [`image`] | `image` |
//! | read JSON whose structures are objects | [`json`] | `json` |
//! | read settings from a file, the environment and flags | [`config`], [`options`] | `platform` |
//! | send events to Scanner, or ask it for verdicts | [`scanner`], over any [`http_service`] | `platform` |
//! | count, and render `/metrics` | [`telemetry`] | `platform` |
//! | handle time and secrets, and recognise a missing token | [`clock`], [`secret`], [`no_token`] | always |
//! | have a command line, JSON logs, signals, probes | `program` | `program` |
//!
//! # A configuration with all its faults
//!
//! Faults do not stop the reading. They are reported together, each with its file and line, variable
//! or flag.
//!
//! ```
//! # #[cfg(feature = "platform")] {
//! use std::path::Path;
//! use zastava_core::config::{Configuration, Origin};
//! use zastava_core::options::RuntimeOptions;
//!
//! let file = "zastava: {runtime: {tennant: acme, authority: {requireMutualTls: false}}}";
//! let configuration = Configuration::from_yaml(file, Path::new("zastava.yaml"));
//! let faults = configuration.read(|root| RuntimeOptions::read(&root.section("runtime"))).unwrap_err();
//! assert_eq!(
//!     faults.to_string(),
//!     "zastava.yaml:1: zastava.runtime.tenant: missing\n\
//!      zastava.yaml:1: zastava.runtime.authority.issuer: missing\n\
//!      zastava.yaml:1: zastava.runtime.tennant: unknown key; did you mean tenant?"
//! );
//!
//! let flag = Origin::Flag("--set".to_owned());
//! let mut configuration = Configuration::empty();
//! configuration.set("zastava.runtime.tenant", "acme", &flag);
//! configuration.set("zastava.runtime.authority.issuer", "https://authority.internal", &flag);
//! configuration.set("zastava.runtime.authority.requireMutualTls", "false", &flag);
//! let (options, settings) = configuration.read(|root| RuntimeOptions::read(&root.section("runtime"))).unwrap();
//! assert_eq!(options.tenant, "acme");
//! assert!(settings.to_string().contains("zastava.runtime.environment: default"));
//! # }
//! ```
//!
//! # An event, made and encoded
//!
//! ```
//! # #[cfg(feature = "platform")] {
//! use zastava_core::clock::Timestamp;
//! use zastava_core::contract::{
//!     EngineIdentity, EventKind, Evidence, KindStyle, RuntimeEvent, RuntimeEventEnvelope, Workload,
//!     encode_batch, event_id,
//! };
//! use zastava_core::vocabulary::{Annotation, Engine, Platform, Signal};
//!
//! let (tenant, node, kind) = ("acme", "node-1", EventKind::ContainerStop);
//! let id = event_id(tenant, node, "containerd://4f1a", kind, "start time");
//! let engine = EngineIdentity::new(Engine::Containerd);
//! let workload = Workload {
//!     container_id: Some("containerd://4f1a".to_owned()),
//!     ..Workload::new(Platform::Kubernetes)
//! };
//! let when = Timestamp::UNIX_EPOCH;
//! let mut event = RuntimeEvent::new(id, when, kind, tenant.into(), node.into(), engine, workload);
//! event.evidence.push(Evidence::new(Signal::ContainerdContainer, "k8s.io"));
//! event.annotate(Annotation::ExitStatus, "137");
//!
//! let json = RuntimeEventEnvelope::new(event).encode(KindStyle::Pascal).unwrap();
//! let batch = encode_batch("batch-1", [json.as_slice()]);
//! assert!(String::from_utf8_lossy(&batch).contains(r#""kind":"ContainerStop""#));
//!
//! // Reading is tolerant: it keeps words that this release does not list.
//! let newer = String::from_utf8_lossy(&json).replace("containerd.container", "overlay.upper");
//! let read: RuntimeEventEnvelope = serde_json::from_str(&newer).unwrap();
//! assert_eq!(read.event.evidence[0].signal.to_string(), "overlay.upper");
//! # }
//! ```
//!
//! The modules [`image`], [`scanner`], [`telemetry`] and [`vocabulary`] begin with an example of their own.
//!
//! # Features
//!
//! | feature | adds | dependencies of note |
//! | --- | --- | --- |
//! | none | time, secrets, PEM files, the missing token | base64, jiff, serde, zeroize |
//! | `platform` (default) | everything in the table above but `program` | serde_json, saphyr-parser, tower, http, prometheus-client |
//! | `image` (in `platform`) | digests and image references alone | sha2 |
//! | `json` (in `platform`) | JSON whose structures are objects | serde_json |
//! | `program` | command line, configuration file, JSON logs, signals, the health listener | clap, tokio, hyper, tracing-subscriber |
//!
//! Without `program` no code here opens a socket, reads a file or needs an async runtime.
//!
//! # Errors
//!
//! Each thing that can fail has one error type, which says what to look at: [`config::Faults`] (key and
//! line), [`scanner::ScannerError`] (what to do next), [`image::ImageError`] (which part of a reference),
//! [`contract::CanonicalError`], [`vocabulary::UnlistedWord`]. Bytes from outside never cause a panic.
//! Text from outside is shortened and escaped before it becomes part of an error.
//!
//! # What it does not do
//!
//! It issues, requests and verifies no tokens: take `stellaops-zastava-authority`, which also connects
//! a [`scanner::ScannerClient`] for you. It does not observe workloads (`stellaops-zastava-observer`) or
//! decide reviews (`stellaops-zastava-admission`), and it does not know Kubernetes or ELF
//! (`stellaops-zastava-elf`).
//!
//! # Stability
//!
//! The wire forms, setting keys, metric names and exit statuses are stable within a major version.
//! The Rust API follows semantic versioning; before 1.0 a minor release may change it. The minimum
//! supported Rust version is 1.95, and raising it is a minor change.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod clock;
#[cfg(feature = "platform")]
pub mod config;
#[cfg(feature = "platform")]
pub mod contract;
#[cfg(feature = "platform")]
pub mod http_service;
#[cfg(feature = "image")]
pub mod image;
#[cfg(feature = "json")]
pub mod json;
pub mod no_token;
#[cfg(feature = "platform")]
pub mod options;
pub mod pem;
#[cfg(feature = "program")]
pub mod program;
#[cfg(feature = "platform")]
pub mod scanner;
pub mod secret;
#[cfg(feature = "platform")]
pub mod telemetry;
mod text;
#[cfg(feature = "platform")]
pub mod vocabulary;

/// The example in the README, kept true.
#[cfg(all(doctest, feature = "platform"))]
#[doc = include_str!("../README.md")]
struct Readme;
