//! The command line that both programs share.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::{Configuration, Faults, Origin, Problem, Section};

/// Where the configuration is when nobody says.
const CONFIG_PATH: &str = "/etc/zastava/zastava.yaml";

/// More than any configuration has; a device could be endless.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// What an own command's arguments are called inside.
const REST: &str = "arguments";

/// How a program ends. The numbers are part of the command line's promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitStatus {
    /// Everything asked for was done.
    Success = 0,
    /// Something failed that the log tells of.
    Failure = 1,
    /// The command line cannot be understood.
    Usage = 2,
    /// `invalidate-op-token` found no token to drop.
    NothingToDo = 3,
    /// The configuration has faults (`EX_CONFIG` of sysexits.h).
    Config = 78,
}

impl ExitStatus {
    /// Of `invalidate-op-token`, by how many tokens were dropped and how many processes did not answer.
    #[must_use]
    pub fn of_invalidation(tokens: usize, unanswered: usize) -> Self {
        match (tokens, unanswered) {
            (_, 1..) => Self::Failure,
            (0, 0) => Self::NothingToDo,
            (1.., 0) => Self::Success,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}

/// What a program is called and what it is.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "each program's main.rs writes one down")]
pub struct Program {
    /// As on the command line.
    pub name: &'static str,
    /// One sentence for `--help`.
    pub about: &'static str,
    /// The release.
    pub version: &'static str,
    /// The source's commit, or `unknown`.
    pub commit: &'static str,
}

/// A command that one program has and the others do not. It is shown among the shared ones, needs
/// no configuration, and reads its own arguments.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "each program's main.rs writes its own down")]
pub struct OwnCommand {
    /// As on the command line.
    pub name: &'static str,
    /// One sentence for `--help`.
    pub about: &'static str,
}

/// What a command line asks for.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a program with own commands must handle both")]
pub enum CommandLine {
    /// One of the commands that all programs share.
    Shared(Invocation),
    /// One of the program's own.
    Own {
        /// Its name.
        name: &'static str,
        /// What follows the name.
        arguments: Vec<OsString>,
    },
}

/// A command line that was understood, with its configuration merged and not yet read.
#[derive(Debug)]
pub struct Invocation {
    config: Configuration,
    command: Option<Command>,
    /// Log directive, such as `info` or `zastava_observer=debug`.
    pub log_filter: String,
}

/// What the program itself must do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "each program must handle every command")]
pub enum Action {
    /// Serve until told to end.
    Run,
    /// Drop the cached tokens for an audience, on disk and in running programs.
    InvalidateOpToken {
        /// The audience.
        audience: String,
    },
}

#[derive(Debug, Parser)]
struct Arguments {
    /// Configuration file [default: /etc/zastava/zastava.yaml, if it is there]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Sets one key over file and environment, such as zastava.runtime.tenant=acme; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE", global = true)]
    set: Vec<String>,
    /// Log directive, such as info or zastava_observer=debug
    #[arg(long, value_name = "FILTER", default_value = "info", global = true)]
    log: String,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until told to end (the default)
    Run,
    /// Checks or prints the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Drops cached tokens in the running program and on disk
    InvalidateOpToken {
        /// The audience whose tokens are dropped
        #[arg(long, value_name = "AUDIENCE")]
        audience: String,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Reports every fault with its place; exits with 78 if there is one
    Check,
    /// Prints every setting as it holds, and who set it
    Print,
}

impl Program {
    /// Understands this process's command line and environment.
    ///
    /// # Errors
    /// The status to end with, after help, version or a usage error was printed.
    pub fn invocation(&self) -> Result<Invocation, ExitStatus> {
        match self.command_line(&[])? {
            CommandLine::Shared(invocation) => Ok(invocation),
            CommandLine::Own { .. } => Err(ExitStatus::Usage),
        }
    }

    /// The same for a program that has commands of its own.
    ///
    /// # Errors
    /// As for [`Program::invocation`].
    pub fn command_line(&self, own: &[OwnCommand]) -> Result<CommandLine, ExitStatus> {
        self.parse(own, std::env::args_os(), std::env::vars_os())
    }

    fn parse(
        &self,
        own: &[OwnCommand],
        arguments: impl IntoIterator<Item = OsString>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<CommandLine, ExitStatus> {
        let version = format!("{} ({})", self.version, self.commit);
        let command = Arguments::command().name(self.name).about(self.about).version(version);
        let command = command.subcommands(own.iter().map(OwnCommand::declare));
        let found = command.try_get_matches_from(arguments).map_err(refuse)?;
        if let Some((name, rest)) = found.subcommand()
            && let Some(own) = own.iter().find(|own| own.name == name)
        {
            let arguments = rest.get_many(REST).into_iter().flatten().cloned().collect();
            return Ok(CommandLine::Own { name: own.name, arguments });
        }
        let arguments = Arguments::from_arg_matches(&found).map_err(refuse)?;
        let mut config = load(arguments.config.as_deref());
        config.overlay_environment(environment);
        for setting in &arguments.set {
            let Some((key, value)) = setting.split_once('=') else {
                complain(format_args!("{}: --set takes KEY=VALUE, found {setting:?}", self.name));
                return Err(ExitStatus::Usage);
            };
            config.set(key, value, &Origin::Flag("--set".to_owned()));
        }
        let invocation = Invocation { config, command: arguments.command, log_filter: arguments.log };
        Ok(CommandLine::Shared(invocation))
    }
}

impl OwnCommand {
    /// Everything behind the name, `--help` too, is the command's own.
    fn declare(&self) -> clap::Command {
        let rest = clap::Arg::new(REST)
            .num_args(0..)
            .trailing_var_arg(true)
            .allow_hyphen_values(true)
            .value_parser(clap::value_parser!(OsString));
        clap::Command::new(self.name).about(self.about).disable_help_flag(true).arg(rest)
    }
}

fn refuse(error: clap::Error) -> ExitStatus {
    // Nobody to tell when the terminal is gone.
    let _ = error.print();
    if error.use_stderr() { ExitStatus::Usage } else { ExitStatus::Success }
}

impl Invocation {
    /// Reads the options and answers the `config` commands.
    ///
    /// # Errors
    /// The status to end with: faults were printed, or a `config` command is done.
    pub fn options<T>(
        &self,
        read: impl FnOnce(&Section<'_>) -> Option<T>,
    ) -> Result<(T, Action), ExitStatus> {
        let (options, settings) = self.config.read(read).map_err(|faults| report(&faults))?;
        match &self.command {
            None | Some(Command::Run) => Ok((options, Action::Run)),
            Some(Command::InvalidateOpToken { audience }) => {
                Ok((options, Action::InvalidateOpToken { audience: audience.clone() }))
            }
            Some(Command::Config(ConfigCommand::Check)) => {
                Err(say(format_args!("the configuration is valid: {} settings\n", settings.iter().count())))
            }
            Some(Command::Config(ConfigCommand::Print)) => Err(say(settings)),
        }
    }
}

fn load(path: Option<&Path>) -> Configuration {
    let (path, required) = (path.unwrap_or_else(|| Path::new(CONFIG_PATH)), path.is_some());
    match read_bounded(path) {
        Ok(text) => Configuration::from_yaml(&text, path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => Configuration::empty(),
        Err(error) => Configuration::unreadable(path, &error),
    }
}

fn read_bounded(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(CONFIG_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > CONFIG_BYTES_MAX {
        return Err(std::io::Error::other(format!("larger than {CONFIG_BYTES_MAX} bytes")));
    }
    Ok(text)
}

fn report(faults: &Faults) -> ExitStatus {
    complain(faults);
    if faults.iter().any(|fault| fault.problem == Problem::Missing && fault.origin == Origin::Default) {
        complain(format_args!("there is no file {CONFIG_PATH}; --config names another"));
    }
    ExitStatus::Config
}

/// A reader that has seen enough, as in `config print | head`, is no failure; a full disk is.
fn say(text: impl Display) -> ExitStatus {
    let mut out = std::io::stdout();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            complain(format_args!("standard output cannot be written: {error}"));
            ExitStatus::Failure
        }
        _ => ExitStatus::Success,
    }
}

fn complain(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
