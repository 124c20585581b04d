//! What the observer promises, tested through its public API and against real parts.

mod bundles;
mod cgroups;
mod commands;
mod config;
mod containerd;
mod crio;
mod delivery;
mod docker;
mod drift;
mod fuse;
mod host;
mod hung;
mod interpreters;
mod later_looks;
mod moved_names;
mod order_and_loss;
mod parsers;
mod prepared;
mod process_facts;
mod program;
mod removals;
mod restart;
mod scripted;
mod support;
