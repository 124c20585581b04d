//! What a program needs around the library: command line, configuration, logs, signals, and the
//! listener for probes, metrics and status.

mod command;
mod health;
mod log;
mod shutdown;

pub use command::{Action, CommandLine, ExitStatus, Invocation, OwnCommand, Program};
pub use health::{Check, Health, HealthError, HealthServer};
pub use log::{LogWriter, init_logging};
pub use shutdown::{Shutdown, shutdown_on_signal};
