//! The layers of a configuration, merged into one tree.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::rc::Rc;

use super::fault::{Fault, Faults, Origin, Problem};
use super::section::{Findings, Section};
use super::settings::Settings;
use super::tree::{Node, Value};
use super::yaml;

/// Prefix of the environment variables that are settings, in any case.
const ENVIRONMENT_PREFIX: &str = "ZASTAVA__";

/// All settings of a program, before any part has read its own.
#[derive(Clone, Debug)]
pub struct Configuration {
    root: Node,
    faults: Vec<Fault>,
    /// The paths that flags have set, by their lower case.
    flags: HashMap<String, String>,
    /// No part of the file could be read. Then every required key would look missing.
    is_unreadable: bool,
}

impl Configuration {
    /// No settings at all.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            root: Node { value: Value::Map(Vec::new()), origin: Origin::Default },
            faults: Vec::new(),
            flags: HashMap::new(),
            is_unreadable: false,
        }
    }

    /// Settings from the text of a YAML file. Faults name the file as `path`.
    ///
    /// Faults of the text are kept; [`Configuration::read`] reports them with all others.
    #[must_use]
    pub fn from_yaml(text: &str, path: &Path) -> Self {
        let mut configuration = Self::empty();
        match yaml::parse(text, path, &mut configuration.faults) {
            Ok(root) => configuration.root = root,
            Err(fault) => {
                configuration.faults.push(fault);
                configuration.is_unreadable = true;
            }
        }
        configuration
    }

    /// A configuration whose file could not be read.
    #[must_use]
    pub fn unreadable(path: &Path, error: &io::Error) -> Self {
        let fault = Fault::of_file(path, 0, Problem::Unreadable(format!("cannot be read: {error}")));
        Self { faults: vec![fault], is_unreadable: true, ..Self::empty() }
    }

    /// Overrides settings by `ZASTAVA__…` variables. Other variables are ignored.
    pub fn overlay_environment(&mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) {
        let ours = |name: &OsString| {
            let start = name.as_encoded_bytes().get(..ENVIRONMENT_PREFIX.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(ENVIRONMENT_PREFIX.as_bytes()))
        };
        let mut settings: Vec<_> = variables.into_iter().filter(|(name, _)| ours(name)).collect();
        settings.sort();
        let mut known: HashMap<String, String> = HashMap::new();
        for (name, value) in settings {
            let origin = Origin::Environment(name.to_string_lossy().into_owned());
            match (name.to_str(), value.to_str()) {
                (Some(name), Some(value)) => {
                    let (path, key) = (path_of(name), name.to_ascii_lowercase().replace("__", "."));
                    if let Some(other) = known.insert(key.clone(), name.to_owned()) {
                        let problem = Problem::Conflict(format!("{other} sets the same key; one must go"));
                        self.faults.push(Fault { origin: origin.clone(), key, problem });
                    }
                    self.set(&path, value, &origin);
                }
                _ => {
                    let problem = Problem::Unreadable("is not UTF-8".to_owned());
                    self.faults.push(Fault { origin, key: String::new(), problem });
                }
            }
        }
    }

    /// Overrides one setting. `path` is dotted and matches keys in any case. Of two flags for one path the later one counts; in two
    /// spellings they are a fault, since nobody means that.
    pub fn set(&mut self, path: &str, text: &str, origin: &Origin) {
        if let Origin::Flag(_) = origin {
            let other = self.flags.insert(path.to_ascii_lowercase(), path.to_owned());
            if let Some(other) = other.filter(|other| other != path) {
                let problem = Problem::Conflict(format!("is set as {other} too; one must go"));
                self.faults.push(Fault { origin: origin.clone(), key: path.to_owned(), problem });
            }
        }
        let mut node = &mut self.root;
        for key in path.split('.') {
            node = node.child_or_insert(key, origin);
        }
        *node = Node { value: Value::Scalar(text.to_owned()), origin: origin.clone() };
    }

    /// Reads the section `zastava` with `read`, which must report a fault before it returns `None`.
    /// `read` passes over the sections of other programs with [`Section::skip`].
    ///
    /// # Errors
    /// All faults of the file, the values and the keys, together.
    pub fn read<T>(&self, read: impl FnOnce(&Section<'_>) -> Option<T>) -> Result<(T, Settings), Faults> {
        let findings = Rc::new(RefCell::new(Findings::default()));
        findings.borrow_mut().faults.clone_from(&self.faults);
        if !self.is_unreadable {
            let root = Section::root(&self.root, &findings);
            let zastava = root.section("zastava");
            let value = read(&zastava);
            zastava.finish();
            root.finish();
            let mut findings = findings.borrow_mut();
            match value {
                Some(value) if findings.faults.is_empty() => {
                    let Findings { settings, notes, .. } = std::mem::take(&mut *findings);
                    return Ok((value, Settings::new(settings, notes)));
                }
                _ => {}
            }
        }
        let faults = std::mem::take(&mut findings.borrow_mut().faults);
        Err(Faults::new(faults))
    }
}

/// The path that a variable sets. Names in capitals alone are how shells write any name.
fn path_of(variable: &str) -> String {
    let levels =
        variable.split("__").map(|level| match level.bytes().any(|byte| byte.is_ascii_lowercase()) {
            true => level.to_owned(),
            false => level.to_ascii_lowercase(),
        });
    levels.collect::<Vec<_>>().join(".")
}
