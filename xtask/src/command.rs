//! Runs other programs, with their name in every error.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process;

use crate::Error;

/// How many lines of a failed program's standard error an error shows.
const MESSAGE_LINES_MAX: usize = 20;

/// A program to run in a folder.
#[derive(Debug)]
pub(crate) struct Command {
    program: OsString,
    inner: process::Command,
}

impl Command {
    pub(crate) fn new(program: impl AsRef<OsStr>, folder: &Path) -> Self {
        let mut inner = process::Command::new(program.as_ref());
        inner.current_dir(folder).stdin(process::Stdio::null());
        Self { program: program.as_ref().to_owned(), inner }
    }

    pub(crate) fn arguments<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.inner.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.inner.env(name, value);
        self
    }

    /// Runs the program and returns its standard output.
    pub(crate) fn output(mut self) -> Result<String, Error> {
        let output = self.inner.output();
        let output = output.map_err(|source| Error::Spawn { program: self.name(), source })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let lines: Vec<_> = said.trim().lines().collect();
            let last = lines[lines.len().saturating_sub(MESSAGE_LINES_MAX)..].join("\n");
            return Err(Error::Failed {
                program: self.name(),
                message: format!("{}\n{last}", output.status),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs the program with this program's own outputs.
    pub(crate) fn run(mut self) -> Result<(), Error> {
        let status = self.inner.status();
        let status = status.map_err(|source| Error::Spawn { program: self.name(), source })?;
        if status.success() {
            Ok(())
        } else {
            Err(Error::Failed { program: self.name(), message: status.to_string() })
        }
    }

    fn name(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }
}
