//! The command line that all programs share.

mod invocation;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub use invocation::{Action, Invocation};

use super::exit_status::ExitStatus;
use crate::config::Origin;
use invocation::{load, print_error};

/// The name of an own command's arguments inside clap.
const REST: &str = "arguments";

/// A program's name and build.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "each program's main.rs declares one")]
pub struct Program {
    /// The name on the command line.
    pub name: &'static str,
    /// One sentence for `--help`.
    pub about: &'static str,
    /// The release.
    pub version: &'static str,
    /// The commit of the source, or `unknown`.
    pub commit: &'static str,
}

/// A command that only one program has. Help lists it among the shared commands. It parses its own
/// arguments.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "each program's main.rs declares its own")]
pub struct OwnCommand {
    /// The name on the command line.
    pub name: &'static str,
    /// One sentence for `--help`.
    pub about: &'static str,
    /// Whether it reads the configuration. Then `--config`, `--set` and `--log` may stand before and after its name,
    /// and none of its own arguments may have these names.
    pub reads_configuration: bool,
}

/// What a command line asks for.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a program with own commands must handle both")]
pub enum CommandLine {
    /// A command that all programs have.
    Shared(Invocation),
    /// A command of this program alone.
    Own {
        /// Its name.
        name: &'static str,
        /// What follows the name.
        arguments: Vec<OsString>,
        /// The configuration, merged and not yet read. A command that needs none ignores it.
        invocation: Box<Invocation>,
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

/// The arguments that every command has.
#[derive(Debug, Parser)]
struct Shared {
    #[arg(long)]
    config: Option<PathBuf>,
    #[arg(long = "set")]
    set: Vec<String>,
    #[arg(long, default_value = "info")]
    log: String,
}

impl Shared {
    /// Those before the name of an own command.
    fn of_matches(found: &clap::ArgMatches) -> Self {
        Self {
            config: found.get_one("config").cloned(),
            set: found.get_many("set").into_iter().flatten().cloned().collect(),
            log: found.get_one("log").cloned().unwrap_or_default(),
        }
    }

    /// Takes those out that stand after the name, and returns the others.
    fn take(&mut self, arguments: impl Iterator<Item = OsString>) -> Result<Vec<OsString>, ExitStatus> {
        let (mut own, mut arguments) = (Vec::new(), arguments);
        while let Some(argument) = arguments.next() {
            let name = argument.to_string_lossy().split('=').next().unwrap_or_default().to_owned();
            if !["--config", "--set", "--log"].contains(&name.as_str()) {
                own.push(argument);
                continue;
            }
            let value = if argument.len() == name.len() { arguments.next() } else { None };
            let parts = [OsString::new(), argument].into_iter().chain(value);
            let one = Self::try_parse_from(parts).map_err(refuse)?;
            self.config = one.config.or_else(|| self.config.take());
            self.set.extend(one.set);
            if name == "--log" {
                self.log = one.log;
            }
        }
        Ok(own)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until a signal ends it (the default)
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
    /// Prints every setting in effect and where it was set
    Print,
}

impl Program {
    /// Parses this process's command line and environment.
    ///
    /// # Errors
    /// The status to exit with, after help, version or a usage error was printed.
    pub fn invocation(&self) -> Result<Invocation, ExitStatus> {
        match self.command_line(&[])? {
            CommandLine::Shared(invocation) => Ok(invocation),
            CommandLine::Own { .. } => Err(ExitStatus::Usage),
        }
    }

    /// Like [`Program::invocation`], for a program with commands of its own.
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
            let mut shared = Shared::of_matches(&found);
            let arguments = rest.get_many(REST).into_iter().flatten().cloned();
            let arguments =
                if own.reads_configuration { shared.take(arguments)? } else { arguments.collect() };
            let invocation = Box::new(self.invoke(shared, None, environment)?);
            return Ok(CommandLine::Own { name: own.name, arguments, invocation });
        }
        let Arguments { config, set, log, command } = Arguments::from_arg_matches(&found).map_err(refuse)?;
        let invocation = self.invoke(Shared { config, set, log }, command, environment)?;
        Ok(CommandLine::Shared(invocation))
    }

    fn invoke(
        &self,
        shared: Shared,
        command: Option<Command>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Invocation, ExitStatus> {
        let mut configuration = load(shared.config.as_deref());
        configuration.overlay_environment(environment);
        for setting in &shared.set {
            let Some((key, value)) = setting.split_once('=') else {
                // What is not a key may be a value, and that a secret.
                let key = setting.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).next();
                let key = key.unwrap_or_default();
                print_error(format_args!("{}: --set takes KEY=VALUE, found {key:?} without =", self.name));
                return Err(ExitStatus::Usage);
            };
            configuration.set(key, value, &Origin::Flag("--set".to_owned()));
        }
        Ok(Invocation { configuration, command, log_filter: shared.log })
    }
}

impl OwnCommand {
    /// All arguments after the name, including `--help`, go to the command.
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
    // When the terminal is gone, nobody can read the error.
    let _ = error.print();
    if error.use_stderr() { ExitStatus::Usage } else { ExitStatus::Success }
}
