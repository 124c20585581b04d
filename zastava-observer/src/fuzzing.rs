//! Readers of foreign text for the workspace's fuzz targets, with what holds for any input. No part of the interface.

pub use crate::inspect::fuzzing::{mountinfo, shebang};
pub use crate::source::fuzzing::{container_info, oci_spec};
