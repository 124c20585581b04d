//! The settings in effect, for `config print`.

use std::fmt;

use super::fault::Origin;

/// One setting in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key's full path.
    pub key: String,
    /// Its value; `…` for a secret.
    pub value: String,
    /// Where it was set.
    pub origin: Origin,
}

/// Every setting that was read, in the order of reading, and what there is to note about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    settings: Vec<Setting>,
    notes: Vec<String>,
}

impl Settings {
    pub(super) fn new(settings: Vec<Setting>, notes: Vec<String>) -> Self {
        Self { settings, notes }
    }

    /// What is no fault and worth saying, each with its place and its key.
    pub fn notes(&self) -> impl ExactSizeIterator<Item = &str> {
        self.notes.iter().map(String::as_str)
    }

    /// The settings one by one.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Setting> {
        self.settings.iter()
    }
}

impl fmt::Display for Settings {
    /// One setting a line: `key: value  # origin`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.iter().try_for_each(|setting| {
            let line = format!("{}: {}", setting.key, setting.value);
            writeln!(f, "{line:<72} # {}", setting.origin)
        })
    }
}
