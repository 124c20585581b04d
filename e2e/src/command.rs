//! Runs other programs, reports their failures, and waits for conditions.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Error;

/// How much of a failed program's output an error shows.
const OUTPUT_SHOWN_BYTES_MAX: usize = 4000;
/// The pause between two checks of a condition.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Runs a program to its end. Returns its standard output, or an error with the end of both outputs.
pub(crate) fn output(command: &mut Command) -> Result<String, Error> {
    output_of(command, Stdio::null())
}

/// The same for a program that reads its input.
pub(crate) fn output_of(command: &mut Command, input: impl Into<Stdio>) -> Result<String, Error> {
    let shown = show(command);
    let output = command.stdin(input).output().map_err(|source| Error::Start {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })?;
    let standard = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(standard);
    }
    let both = standard + &String::from_utf8_lossy(&output.stderr);
    let output_shown = tail(both.trim_end(), OUTPUT_SHOWN_BYTES_MAX).to_owned();
    Err(Error::Failed { command: shown, status: output.status, output: output_shown })
}

/// Runs a command line whose words hold no spaces.
pub(crate) fn line(text: &str) -> Result<String, Error> {
    let mut words = text.split_whitespace();
    output(Command::new(words.next().unwrap_or_default()).args(words))
}

/// Checks until there is an answer. The error at the end of the time holds the last failure.
pub(crate) fn wait_for<T>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Result<T, String>,
) -> Result<T, Error> {
    let start = Instant::now();
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(last) if start.elapsed() >= patience => {
                return Err(Error::Late { what: what.to_owned(), waited: patience, last });
            }
            Err(_) => std::thread::sleep(LOOK_INTERVAL),
        }
    }
}

/// Creates the directory and its parents.
pub(crate) fn make_directory(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).map_err(Error::file(path))
}

/// Writes a whole file.
pub(crate) fn write(path: &Path, text: impl AsRef<[u8]>) -> Result<(), Error> {
    std::fs::write(path, text).map_err(Error::file(path))
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn tail(text: &str, bytes_max: usize) -> &str {
    let start = (text.len().saturating_sub(bytes_max)..=text.len()).find(|at| text.is_char_boundary(*at));
    &text[start.unwrap_or(0)..]
}
