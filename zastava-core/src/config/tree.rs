//! The merged tree of settings.

use std::cell::RefCell;
use std::ffi::OsString;
use std::rc::Rc;

use super::fault::{Fault, Faults, Origin, Problem};
use super::section::{Report, Section, Settings};

/// Prefix of the environment variables that are settings.
const ENVIRONMENT_PREFIX: &str = "ZASTAVA__";

/// All settings of a program, before any part has read its own.
#[derive(Clone, Debug)]
pub struct Configuration {
    root: Node,
    faults: Vec<Fault>,
    /// Nothing of the file could be read: every required key would look missing.
    is_unreadable: bool,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Configuration {
    /// No settings at all.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            root: Node { value: Value::Map(Vec::new()), origin: Origin::Default },
            faults: Vec::new(),
            is_unreadable: false,
        }
    }

    /// The settings of a YAML file's text; `path` is how faults call it.
    ///
    /// Faults of the text are kept and reported by [`Configuration::read`] with all others.
    #[must_use]
    pub fn from_yaml(text: &str, path: &std::path::Path) -> Self {
        let mut config = Self::empty();
        let parsed = super::yaml::parse(text, path, &mut config.faults);
        config.is_unreadable = !matches!(&parsed, Ok(Node { value: Value::Null | Value::Map(_), .. }));
        match parsed {
            Ok(Node { value: Value::Null, origin }) => config.root.origin = origin,
            Ok(root @ Node { value: Value::Map(_), .. }) => config.root = root,
            Ok(Node { value, .. }) => {
                let found = if matches!(value, Value::List(_)) { "a list" } else { "a word" };
                let problem = Problem::Invalid { expected: "a section with keys", found: found.to_owned() };
                let origin = Origin::File { path: path.to_owned(), line: 0 };
                config.faults.push(Fault { origin, key: String::new(), problem });
            }
            Err(fault) => config.faults.push(fault),
        }
        config
    }

    /// A configuration whose file could not be read.
    #[must_use]
    pub fn unreadable(path: &std::path::Path, error: &std::io::Error) -> Self {
        let origin = Origin::File { path: path.to_owned(), line: 0 };
        let problem = Problem::Unreadable(format!("cannot be read: {error}"));
        let faults = vec![Fault { origin, key: String::new(), problem }];
        Self { faults, is_unreadable: true, ..Self::empty() }
    }

    /// Puts `ZASTAVA__…` variables over what is there; others are left alone.
    pub fn overlay_environment(&mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) {
        let ours = |name: &OsString| name.as_encoded_bytes().starts_with(ENVIRONMENT_PREFIX.as_bytes());
        let mut settings: Vec<_> = variables.into_iter().filter(|(name, _)| ours(name)).collect();
        settings.sort();
        for (name, value) in settings {
            let origin = Origin::Environment(name.to_string_lossy().into_owned());
            match (name.to_str(), value.to_str()) {
                (Some(name), Some(value)) => {
                    self.set(&name.to_ascii_lowercase().replace("__", "."), value, &origin);
                }
                _ => {
                    let problem = Problem::Unreadable("is not UTF-8".to_owned());
                    self.faults.push(Fault { origin, key: String::new(), problem });
                }
            }
        }
    }

    /// Puts one value over what is there. `path` is dotted; upper and lower case are one.
    pub fn set(&mut self, path: &str, text: &str, origin: &Origin) {
        let mut node = &mut self.root;
        for key in path.split('.') {
            node = node.child_or_insert(key, origin);
        }
        *node = Node { value: Value::Scalar(text.to_owned()), origin: origin.clone() };
    }

    /// Reads the section `zastava` by `read`, which returns `None` only after reporting a fault.
    /// Sections of other programs are passed over by [`Section::skip`].
    ///
    /// # Errors
    /// Every fault of the file, the values and the keys, at once.
    pub fn read<T>(&self, read: impl FnOnce(&Section<'_>) -> Option<T>) -> Result<(T, Settings), Faults> {
        let report = Rc::new(RefCell::new(Report::default()));
        report.borrow_mut().faults.clone_from(&self.faults);
        if !self.is_unreadable {
            let root = Section::root(&self.root, &report);
            let zastava = root.section("zastava");
            let value = read(&zastava);
            zastava.finish();
            root.finish();
            let mut report = report.borrow_mut();
            match value {
                Some(value) if report.faults.is_empty() => {
                    return Ok((value, Settings::new(std::mem::take(&mut report.settings))));
                }
                _ => {}
            }
        }
        let faults = std::mem::take(&mut report.borrow_mut().faults);
        Err(Faults::new(faults))
    }
}

impl Node {
    /// The child of that name; a variable or flag names keys in any case.
    pub(super) fn child(&self, key: &str) -> Option<&Self> {
        let Value::Map(members) = &self.value else { return None };
        let exact = members.iter().find(|(name, _)| name == key);
        let overlaid =
            || members.iter().find(|(name, node)| node.is_overlaid() && name.eq_ignore_ascii_case(key));
        exact.or_else(overlaid).map(|(_, node)| node)
    }

    /// Set by a variable or a flag, whose spelling of keys is not binding.
    pub(super) fn is_overlaid(&self) -> bool {
        matches!(self.origin, Origin::Environment(_) | Origin::Flag(_))
    }

    fn child_or_insert(&mut self, key: &str, origin: &Origin) -> &mut Self {
        if !matches!(self.value, Value::Map(_)) {
            *self = Self { value: Value::Map(Vec::new()), origin: origin.clone() };
        }
        let Value::Map(members) = &mut self.value else { unreachable!("made a map above") };
        let index =
            members.iter().position(|(name, _)| name.eq_ignore_ascii_case(key)).unwrap_or_else(|| {
                members
                    .push((key.to_owned(), Self { value: Value::Map(Vec::new()), origin: origin.clone() }));
                members.len() - 1
            });
        &mut members[index].1
    }
}
