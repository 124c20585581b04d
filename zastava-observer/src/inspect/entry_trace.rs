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
use super::prepared::ContainerRoot;

/// The steps from the declared program to the one that runs, at most `steps_max`. A step without a target could not be
/// followed further.
pub(super) fn trace(container: &ContainerRoot<'_>, steps_max: usize) -> Vec<EntryTrace> {
    Tracer::new(container, steps_max).trace()
}

#[cfg(test)]
mod tests;
