//! The command line.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::Parser;
use clap::builder::{OsStringValueParser, TypedValueParser as _};

/// Prints the build-ids of ELF files.
///
/// Exit status: 0 if a GNU build-id was found, 1 if none was found, 2 if anything could not be read.
#[derive(Debug, Parser)]
#[command(name = "zastava-elf", version)]
pub(crate) struct Arguments {
    /// Files, directories (searched to the bottom, without following links), and processes as `pid:1234`.
    #[arg(required = true, value_name = "PATH|pid:PID", value_parser = OsStringValueParser::new().map(Input::from))]
    pub(crate) inputs: Vec<Input>,

    /// Print all mapped files of a process, not only its program.
    #[arg(long)]
    pub(crate) maps: bool,

    /// Print one JSON object for each file instead of a table.
    #[arg(long)]
    pub(crate) json: bool,

    /// Look for debug files below this directory, such as /usr/lib/debug. Can be given several times.
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) debug_root: Vec<PathBuf>,
}

/// What to read.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    Process(u32),
    Path(PathBuf),
}

impl From<OsString> for Input {
    /// A file whose name looks like a process can be given as `./pid:1`.
    fn from(text: OsString) -> Self {
        let pid = text.to_str().and_then(|text| text.strip_prefix("pid:"));
        let pid = pid.filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()));
        match pid.and_then(|pid| pid.parse().ok()) {
            Some(pid) => Self::Process(pid),
            None => Self::Path(text.into()),
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(pid) => write!(f, "pid:{pid}"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}
