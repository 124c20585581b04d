//! The command line.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Parser;

/// Prints the build-ids of ELF files.
///
/// Exit status: 0 if a GNU build-id was found, 1 if none was, 2 if anything could not be read.
#[derive(Debug, Parser)]
#[command(name = "zastava-elf")]
pub(crate) struct Arguments {
    /// Files, directories (with all below them, links not followed), and processes as `pid:1234`.
    #[arg(required = true, value_name = "PATH|pid:PID")]
    pub(crate) targets: Vec<Target>,

    /// For processes: every mapped file and not the program alone.
    #[arg(long)]
    pub(crate) maps: bool,

    /// One JSON object a line instead of a table.
    #[arg(long)]
    pub(crate) json: bool,

    /// Look for the debug file below this directory too, as /usr/lib/debug; may be given several times.
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) debug_root: Vec<PathBuf>,
}

/// Something to look at.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Pid(u32),
    Path(PathBuf),
}

impl FromStr for Target {
    type Err = Infallible;

    /// A file whose name looks like a pid can be given as `./pid:1`.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let pid = text.strip_prefix("pid:").filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()));
        Ok(match pid.and_then(|pid| pid.parse().ok()) {
            Some(pid) => Self::Pid(pid),
            None => Self::Path(text.into()),
        })
    }
}
