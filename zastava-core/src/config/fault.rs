//! Faults of a configuration and their places.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Not set: the default holds.
    Default,
    /// A line of a file, counted from 1. Line 0 means the whole file.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A command-line flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// One fault of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where the faulty value was set, or the section that lacks the key.
    pub origin: Origin,
    /// The key's full path, such as `zastava.runtime.tenant`; empty for a fault of the whole file.
    pub key: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The key must be set and is not.
    Missing,
    /// No part reads this key.
    Unknown {
        /// The known key that looks most like it.
        similar: Option<&'static str>,
    },
    /// The value does not have the form that the key requires.
    Invalid {
        /// The form.
        expected: &'static str,
        /// The value, shortened; empty when it must not be shown.
        found: String,
    },
    /// The value is well-formed but contradicts another setting.
    Conflict(String),
    /// The file could not be read, or is not YAML.
    Unreadable(String),
}

impl Fault {
    /// A fault of a file that no key stands for.
    pub(super) fn of_file(path: &Path, line: usize, problem: Problem) -> Self {
        Self { origin: Origin::File { path: path.to_owned(), line }, key: String::new(), problem }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        match &self.problem {
            Problem::Missing => f.write_str("missing"),
            Problem::Unknown { similar: None } => f.write_str("unknown key"),
            Problem::Unknown { similar: Some(known) } => {
                write!(f, "unknown key; did you mean {known}?")
            }
            Problem::Invalid { expected, found } if found.is_empty() => write!(f, "expected {expected}"),
            Problem::Invalid { expected, found } => write!(f, "expected {expected}, found {found}"),
            Problem::Conflict(text) | Problem::Unreadable(text) => f.write_str(text),
        }
    }
}

/// All faults of a configuration, in the order of reading. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn new(faults: Vec<Fault>) -> Self {
        debug_assert!(!faults.is_empty(), "a configuration without faults is a value");
        Self(faults)
    }

    /// The faults one by one.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Fault> {
        self.0.iter()
    }
}

impl fmt::Display for Faults {
    /// One fault a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
