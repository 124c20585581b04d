//! `zastava-elf`: the build-ids of files, directories, processes and all that processes have mapped.
//!
//! Exits like grep: 0 if at least one GNU build-id was found, 1 if none was and nothing failed, 2 if anything
//! failed, be it one file of many.

mod arguments;
mod subject;
mod write;

use std::io::{self, BufWriter, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use zastava_elf::{BuildId, DebugStore, Error, Lookup};

use crate::arguments::{Arguments, Target};
use crate::subject::{Answer, Subject};

/// What of a run is told by its exit status.
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
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut outcome = Outcome::default();
    let mut out = BufWriter::new(io::stdout().lock());
    match run(&arguments, &mut outcome, &mut out).and_then(|()| out.flush()) {
        Ok(()) => outcome.code(),
        // Whoever reads has seen enough, as `head` has.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => outcome.code(),
        Err(error) => {
            complain("standard output", &error.to_string());
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
                fail(outcome, &format!("--debug-root {}", roots.join(" ")), &error);
                return Ok(());
            }
        },
    };
    let mut writer = write::Writer::new(arguments.json, store.is_some(), out);
    for target in &arguments.targets {
        let mut each = |answer: Answer| -> io::Result<()> {
            let identity = match &answer.identity {
                Ok(identity) => identity,
                // Among the files of a directory or process, those that are no ELF files are not meant.
                Err(Error::NotElf | Error::NotRegular) if answer.is_one_of_many => return Ok(()),
                Err(error) => {
                    fail(outcome, &answer.name, error);
                    return writer.failure(&answer, error);
                }
            };
            outcome.found |= identity.build_id.is_some();
            let debug = identity.build_id.zip(store.as_ref()).map(|(id, store)| state(store, &id));
            if let Some(Err(error)) = &debug {
                fail(outcome, &answer.name, error);
            }
            writer.identity(&answer, identity, debug.and_then(Result::ok))
        };
        let subject = Subject { target, all: arguments.maps };
        if let Err(error) = subject.answers(&mut each)? {
            fail(outcome, &target.to_string(), &error);
        }
    }
    writer.end()
}

/// Whether the store has the debug file.
fn state(store: &DebugStore, id: &BuildId) -> Result<&'static str, Error> {
    Ok(match store.find(id)? {
        Lookup::Found(_) => "found",
        Lookup::Mismatch { .. } => "mismatch",
        _ => "missing",
    })
}

fn fail(outcome: &mut Outcome, name: &str, error: &Error) {
    outcome.failed = true;
    match std::error::Error::source(error) {
        Some(cause) => complain(name, &format!("{error}: {cause}")),
        None => complain(name, &error.to_string()),
    }
}

#[expect(clippy::print_stderr, reason = "this is a program's standard error")]
fn complain(name: &str, what: &str) {
    eprintln!("zastava-elf: {}: {what}", write::Visible(name));
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pid(pid) => write!(f, "pid:{pid}"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}
