//! What releasing Zastava needs and no program of it contains.
//!
//! * [`oci`]: container images from bytes, without a container engine and the same at every build. Tests
//!   make their workloads with it too.
//! * [`images`]: static programs, put into images. [`sizes`]: the memory they take.
//! * [`workspace`]: where the source is and which commit.
//!
//! The program `xtask` (`cargo xtask --help`) is a command line around these.

pub mod images;
pub mod oci;
pub mod sizes;
pub mod workspace;

mod command;
mod error;
mod files;

pub use crate::error::Error;
