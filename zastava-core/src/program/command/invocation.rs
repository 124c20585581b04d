//! What a program does after its command line was parsed.

use std::fmt::Display;
use std::io::{Read as _, Write as _};
use std::path::Path;

use super::{Command, ConfigCommand};
use crate::config::{Configuration, Faults, Origin, Problem, Section};
use crate::program::ExitStatus;

/// The configuration file when no flag names one.
const CONFIG_PATH: &str = "/etc/zastava/zastava.yaml";
/// Larger than any configuration. A device such as /dev/zero would be endless.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// A parsed command line with its configuration merged and not yet read.
#[derive(Debug)]
pub struct Invocation {
    pub(super) configuration: Configuration,
    pub(super) command: Option<Command>,
    /// Log directive, such as `info` or `zastava_observer=debug`.
    pub log_filter: String,
}

/// What the program must do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "each program must handle every command")]
pub enum Action {
    /// Serve until a signal ends the program.
    Run,
    /// Drop the cached tokens for an audience, on disk and in running programs.
    InvalidateOpToken {
        /// The audience.
        audience: String,
    },
}

impl Invocation {
    /// Reads the options with `read`. The `config` commands are answered here.
    ///
    /// # Errors
    /// The status to exit with, after faults were printed or a `config` command was answered.
    pub fn options<T>(
        &self,
        read: impl FnOnce(&Section<'_>) -> Option<T>,
    ) -> Result<(T, Action), ExitStatus> {
        let (options, settings) = self.configuration.read(read).map_err(|faults| report(&faults))?;
        match &self.command {
            None | Some(Command::Run) => Ok((options, Action::Run)),
            Some(Command::InvalidateOpToken { audience }) => {
                Ok((options, Action::InvalidateOpToken { audience: audience.clone() }))
            }
            Some(Command::Config(ConfigCommand::Check)) => {
                settings.notes().for_each(|note| print_error(format_args!("note: {note}")));
                Err(print(format_args!("the configuration is valid: {} settings\n", settings.iter().count())))
            }
            Some(Command::Config(ConfigCommand::Print)) => Err(print(settings)),
        }
    }
}

pub(super) fn load(path: Option<&Path>) -> Configuration {
    let (path, required) = (path.unwrap_or_else(|| Path::new(CONFIG_PATH)), path.is_some());
    match read_bounded(path) {
        Ok(text) => Configuration::from_yaml(&text, path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => Configuration::empty(),
        Err(error) => Configuration::unreadable(path, &error),
    }
}

fn read_bounded(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(CONFIG_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > CONFIG_BYTES_MAX {
        return Err(std::io::Error::other(format!("larger than {CONFIG_BYTES_MAX} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        std::io::Error::other(format!("line {line} is not UTF-8 text"))
    })?;
    // A byte order mark, which some editors write, is no part of the YAML.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn report(faults: &Faults) -> ExitStatus {
    print_error(faults);
    if faults.iter().any(|fault| fault.problem == Problem::Missing && fault.origin == Origin::Default) {
        print_error(format_args!("there is no file {CONFIG_PATH}; --config names another"));
    }
    ExitStatus::Config
}

/// Prints to standard output. A reader that has seen enough, as in `config print | head`, is not a failure. A full
/// disk is.
fn print(text: impl Display) -> ExitStatus {
    let mut out = std::io::stdout();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            print_error(format_args!("standard output cannot be written: {error}"));
            ExitStatus::Failure
        }
        _ => ExitStatus::Success,
    }
}

pub(super) fn print_error(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
