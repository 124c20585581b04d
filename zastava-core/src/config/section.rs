//! A part's view of the configuration.

mod collections;

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use super::fault::{Fault, Origin, Problem};
use super::placeholder;
use super::settings::Setting;
use super::shown;
use super::similar::nearest;
use super::tree::{Node, Value};
use super::value::SettingValue;

/// The settings below one key.
///
/// Every read records its key. [`Section::finish`] then reports the keys that were not read.
#[derive(Debug)]
pub struct Section<'c> {
    node: Option<&'c Node>,
    /// What a fault points at when a key is missing.
    place: Origin,
    path: String,
    known: RefCell<Vec<&'static str>>,
    findings: Rc<RefCell<Findings>>,
}

/// What reading has found so far, shared by all sections of a configuration.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) faults: Vec<Fault>,
    /// What is no fault and worth saying.
    pub(super) notes: Vec<String>,
    pub(super) settings: Vec<Setting>,
}

impl<'c> Section<'c> {
    pub(super) fn root(node: &'c Node, findings: &Rc<RefCell<Findings>>) -> Self {
        Self::new(Some(node), node.origin.clone(), String::new(), findings)
    }

    fn new(node: Option<&'c Node>, place: Origin, path: String, findings: &Rc<RefCell<Findings>>) -> Self {
        let section = Self { node, place, path, known: RefCell::default(), findings: Rc::clone(findings) };
        if let Some(Node { value: Value::Scalar(text), origin }) = node {
            section.report_invalid("", origin, "a section with keys", text);
        }
        section
    }

    /// The section below `key`. It is empty when the key is not set.
    #[must_use]
    pub fn section(&self, key: &'static str) -> Self {
        let node = self.child(key);
        let place = node.map_or_else(|| self.place.clone(), |node| node.origin.clone());
        Self::new(node, place, self.path_of(key), &self.findings)
    }

    /// Whether the key is set to anything.
    #[must_use]
    pub fn is_set(&self, key: &'static str) -> bool {
        self.child(key).is_some()
    }

    /// Accepts the key and everything below it unread, since it belongs to another program.
    pub fn skip(&self, key: &'static str) {
        self.known.borrow_mut().push(key);
    }

    /// The key's value. A missing key is a fault.
    #[must_use]
    pub fn required<T: SettingValue>(&self, key: &'static str) -> Option<T> {
        match self.child(key) {
            Some(node) => self.parse(key, node),
            None => {
                self.report(&self.place, key, Problem::Missing);
                None
            }
        }
    }

    /// The key's value, if it is set.
    #[must_use]
    pub fn optional<T: SettingValue>(&self, key: &'static str) -> Option<T> {
        self.child(key).and_then(|node| self.parse(key, node))
    }

    /// The key's value, or `default` when it is not set.
    #[must_use]
    pub fn value<T: SettingValue>(&self, key: &'static str, default: T) -> T {
        match self.child(key) {
            // A faulty value was reported, so the default is never used.
            Some(node) => self.parse(key, node).unwrap_or(default),
            None => {
                self.record(key, default.show(), Origin::Default);
                default
            }
        }
    }

    /// Like [`Section::value`], and the value must satisfy `valid`. `form` describes valid values.
    #[must_use]
    pub fn checked<T: SettingValue>(
        &self,
        key: &'static str,
        default: T,
        form: &'static str,
        valid: impl FnOnce(&T) -> bool,
    ) -> T {
        let value = self.value(key, default);
        if !valid(&value) {
            let origin = self.child(key).map_or(Origin::Default, |node| node.origin.clone());
            self.report_invalid(key, &origin, form, &value.show());
        }
        value
    }

    /// Reports that the key's value contradicts another setting.
    pub fn conflict(&self, key: &'static str, text: impl Into<String>) {
        let origin = self.child(key).map_or_else(|| self.place.clone(), |node| node.origin.clone());
        self.report(&origin, key, Problem::Conflict(shown::text_of(&text.into())));
    }

    /// Notes something about the key's value that is no fault. `config check` prints it.
    pub fn note(&self, key: &'static str, text: impl Into<String>) {
        let origin = self.child(key).map_or_else(|| self.place.clone(), |node| node.origin.clone());
        let note = Fault { origin, key: self.path_of(key), problem: Problem::Conflict(text.into()) };
        self.findings.borrow_mut().notes.push(note.to_string());
    }

    /// Reports every key that was not read. Call it once, after all reads.
    pub fn finish(&self) {
        let Some(Node { value: Value::Map(members), .. }) = self.node else { return };
        let known = self.known.borrow();
        for (name, node) in members {
            let matches = |key: &&str| *key == name || (node.is_overlaid() && key.eq_ignore_ascii_case(name));
            if !known.iter().any(matches) {
                let similar = nearest(name, &known);
                let name = shown::text_of(name);
                let key = if self.path.is_empty() { name } else { format!("{}.{name}", self.path) };
                let fault =
                    Fault { origin: node.deepest_origin(), key, problem: Problem::Unknown { similar } };
                self.findings.borrow_mut().faults.push(fault);
            }
        }
    }

    fn child(&self, key: &'static str) -> Option<&'c Node> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
        self.node?.child(key).filter(|node| !matches!(node.value, Value::Null))
    }

    fn parse<T: SettingValue>(&self, key: &'static str, node: &Node) -> Option<T> {
        let value: T = self.parse_item(key, node)?;
        self.record(key, value.show(), node.origin.clone());
        Some(value)
    }

    fn parse_item<T: SettingValue>(&self, key: &'static str, node: &Node) -> Option<T> {
        let Value::Scalar(text) = &node.value else {
            self.report_invalid(key, &node.origin, T::FORM, "a list or section");
            return None;
        };
        self.parse_text(key, &node.origin, text)
    }

    fn parse_text<T: SettingValue>(&self, key: &'static str, origin: &Origin, text: &str) -> Option<T> {
        let text = self.literal(key, origin, text)?;
        let value = T::parse(&text);
        if value.is_none() {
            self.report_invalid(key, origin, T::FORM, if T::SECRET { "" } else { &text });
        }
        value
    }

    fn record(&self, key: &'static str, value: String, origin: Origin) {
        self.findings.borrow_mut().settings.push(Setting { key: self.path_of(key), value, origin });
    }

    fn report_invalid(&self, key: &'static str, origin: &Origin, expected: &'static str, found: &str) {
        self.report(origin, key, Problem::Invalid { expected, found: shown::value(key, found) });
    }

    /// The value that the text stands for. Reports a placeholder that somebody else should have filled in.
    fn literal<'t>(&self, key: &'static str, origin: &Origin, text: &'t str) -> Option<Cow<'t, str>> {
        let report = |placeholder| {
            let placeholder = shown::text_of(placeholder);
            let text = format!("holds {placeholder}, which nothing replaces here; write the value itself");
            self.report(origin, key, Problem::Conflict(text));
        };
        placeholder::literal(text).map_err(report).ok()
    }

    fn report(&self, origin: &Origin, key: &'static str, problem: Problem) {
        let fault = Fault { origin: origin.clone(), key: self.path_of(key), problem };
        self.findings.borrow_mut().faults.push(fault);
    }

    fn path_of(&self, key: &'static str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }
}
