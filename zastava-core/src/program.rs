//! The frame of a program: command line, configuration file, logs, signals, and the listener for
//! probes, metrics and status.

mod command;
mod exit_status;
mod health;
mod log;
mod running;
mod shutdown;
mod table;

pub use command::{Action, CommandLine, Invocation, OwnCommand, Program};
pub use exit_status::ExitStatus;
pub use health::{Check, Health, HealthError, HealthServer};
pub use log::{LogWriter, init_logging, with_causes};
pub use running::{RunningProgram, RunningProgramError, said};
pub use shutdown::{Shutdown, shutdown_on_signal};
pub use table::Table;
