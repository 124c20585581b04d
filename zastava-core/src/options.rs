//! The settings that every part needs, already valid.
//!
//! Each type is read from its section by `read`, which reports faults to the section and returns
//! `None` only after it reported one. Defaults stand beside the keys, each with its reason.

mod authority;
mod backend;
mod health;
mod runtime;

pub use authority::{AuthorityOptions, StaticTokenOptions, StaticTokenSource};
pub use backend::BackendOptions;
pub use health::HealthOptions;
pub use runtime::{Component, LoggingOptions, MetricsOptions, RuntimeOptions};
