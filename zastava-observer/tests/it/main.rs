//! The observer's promises, through its public door and against real parts.

mod config;
mod containerd;
mod delivery;
mod host;
mod parsers;
mod program;
mod support;
