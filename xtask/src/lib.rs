//! Builds releases of Zastava.
//!
//! * [`images`]: static programs, put into images. [`sizes`]: the memory they take.
//! * [`workspace`]: where the source is and which commit.
//!
//! The program `xtask` (`cargo xtask --help`) is a command line around these.

pub mod images;
pub mod sizes;
pub mod workspace;

mod command;
mod error;
mod files;

pub use crate::error::Error;
