//! Collector: how the declared program of a container leads to the program that really runs.
//!
//! Entrypoints are often scripts that prepare something and then `exec "$@"`, inits, or programs that change the user.
//! They are read and followed as far as they are known; nothing is executed, and what is not known stays so.

mod branch;
mod builtin;
mod condition;
mod expand;
mod field;
mod script;
mod tracer;
mod wrapper;

use zastava_core::contract::EntryTrace;

use self::tracer::Tracer;
use super::container_root::ContainerRoot;

/// The steps from the declared program to the one that runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace {
    /// A step without a target could not be followed further.
    pub(super) steps: Vec<EntryTrace>,
    /// Whether every script was read and no bound cut it short. Otherwise other programs may run than the last one.
    pub(super) is_whole: bool,
}

/// The trace of the declared program, in at most `steps_max` steps.
pub(super) fn trace(container: &ContainerRoot<'_>, steps_max: usize) -> Trace {
    Tracer::new(container, steps_max).trace()
}

#[cfg(test)]
mod tests;
