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

/// Every setting that was read, in the order of reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(Vec<Setting>);

impl Settings {
    pub(super) fn new(settings: Vec<Setting>) -> Self {
        Self(settings)
    }

    /// The settings one by one.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Setting> {
        self.0.iter()
    }
}

impl fmt::Display for Settings {
    /// One setting a line: `key: value  # origin`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|setting| {
            let line = format!("{}: {}", setting.key, setting.value);
            writeln!(f, "{line:<72} # {}", setting.origin)
        })
    }
}
