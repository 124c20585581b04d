//! The settings that all parts need, as valid options.
//!
//! Each type has a `read`, which reports faults to its section and returns `None` only after it
//! reported one.

mod authority;
mod backend;
mod health;
mod runtime;

pub use authority::{
    AuthorityOptions, AuthorityOptionsBuilder, OptionsFault, OptionsFaults, StaticTokenOptions,
    StaticTokenSource,
};
pub use backend::BackendOptions;
pub use health::HealthOptions;
pub use runtime::{Component, LoggingOptions, MetricsOptions, RuntimeOptions};
