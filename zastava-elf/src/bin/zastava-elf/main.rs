//! `zastava-elf`: prints the build-ids of files, directories, processes and their mapped files.
//!
//! Exits as grep does: 0 if at least one GNU build-id was found, 1 if none was found and nothing failed, 2 if
//! anything failed, even one file of many.

mod arguments;
mod input;
mod output;

use std::ffi::OsStr;
use std::io::{self, BufWriter, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use zastava_elf::{BuildId, DebugStore, Error, Lookup};

use crate::arguments::Arguments;
use crate::input::Reading;
use crate::output::{Output, Visible};

/// What the exit status says.
#[derive(Default)]
struct Outcome {
    found: bool,
    failed: bool,
}

impl Outcome {
    fn code(&self) -> ExitCode {
        match (self.failed, self.found) {
            (true, _) => ExitCode::from(2),
            (false, true) => ExitCode::SUCCESS,
            (false, false) => ExitCode::from(1),
        }
    }

    fn fail(&mut self, name: impl AsRef<OsStr>, error: &Error) {
        self.failed = true;
        match std::error::Error::source(error) {
            Some(cause) => print_error(name, &format!("{error}: {cause}")),
            None => print_error(name, &error.to_string()),
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut outcome = Outcome::default();
    let mut out = BufWriter::new(io::stdout().lock());
    match run(&arguments, &mut outcome, &mut out).and_then(|()| out.flush()) {
        Ok(()) => outcome.code(),
        // The reader has seen enough, as `head` has.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => outcome.code(),
        Err(error) => {
            print_error("standard output", &error.to_string());
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments, outcome: &mut Outcome, out: &mut dyn io::Write) -> io::Result<()> {
    let store = match arguments.debug_root.as_slice() {
        [] => None,
        roots => match DebugStore::open(roots) {
            Ok(store) => Some(store),
            Err(error) => {
                let roots: Vec<_> = roots.iter().map(|root| root.display().to_string()).collect();
                outcome.fail(format!("--debug-root {}", roots.join(" ")), &error);
                return Ok(());
            }
        },
    };
    let mut output = Output::new(arguments.json, store.is_some(), out);
    for input in &arguments.inputs {
        let mut report = |reading| print(&reading, store.as_ref(), outcome, &mut output);
        if let Err(error) = input::read(input, arguments.maps, &mut report)? {
            outcome.fail(input.to_string(), &error);
        }
    }
    output.flush()
}

fn print(
    reading: &Reading,
    store: Option<&DebugStore>,
    outcome: &mut Outcome,
    output: &mut Output<'_>,
) -> io::Result<()> {
    let identity = match &reading.identity {
        Ok(identity) => identity,
        // A directory and the mappings of a process also hold files that are not ELF files.
        Err(Error::NotElf | Error::NotRegular) if reading.is_one_of_many => return Ok(()),
        Err(error) => {
            outcome.fail(&reading.path, error);
            return output.failure(reading, error);
        }
    };
    outcome.found |= identity.build_id.is_some();
    let debug_file = match identity.build_id.zip(store).map(|(id, store)| look_up(store, &id)) {
        Some(Err(error)) => {
            outcome.fail(&reading.path, &error);
            None
        }
        looked_up => looked_up.and_then(Result::ok),
    };
    output.identity(reading, identity, debug_file)
}

/// Whether the store has the debug file.
fn look_up(store: &DebugStore, id: &BuildId) -> Result<&'static str, Error> {
    Ok(match store.find(id)? {
        Lookup::Found(_) => "found",
        Lookup::Mismatch { .. } => "mismatch",
        _ => "missing",
    })
}

#[expect(clippy::print_stderr, reason = "this is a program's standard error")]
fn print_error(name: impl AsRef<OsStr>, message: &str) {
    eprintln!("zastava-elf: {}: {message}", Visible(name.as_ref()));
}
