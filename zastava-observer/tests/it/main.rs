//! What the observer promises, tested through its public API and against real parts.

mod cgroups;
mod config;
mod containerd;
mod delivery;
mod host;
mod order_and_loss;
mod parsers;
mod program;
mod scripted;
mod support;
