//! A part's view of the settings.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use super::fault::{Fault, Origin, Problem};
use super::tree::{Node, Value};
use super::value::SettingValue;

/// How much of a faulty value is shown.
const FOUND_LENGTH_MAX: usize = 60;

/// The settings below one key. Reading records what was asked for; [`Section::finish`] reports
/// the keys that nobody asked for.
#[derive(Debug)]
pub struct Section<'c> {
    node: Option<&'c Node>,
    /// The nearest place to point at when a key is missing.
    place: Origin,
    path: String,
    known: RefCell<Vec<&'static str>>,
    report: Rc<RefCell<Report>>,
}

#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) faults: Vec<Fault>,
    pub(super) settings: Vec<Setting>,
}

impl<'c> Section<'c> {
    pub(super) fn root(node: &'c Node, report: &Rc<RefCell<Report>>) -> Self {
        Self::new(Some(node), node.origin.clone(), String::new(), report)
    }

    fn new(node: Option<&'c Node>, place: Origin, path: String, report: &Rc<RefCell<Report>>) -> Self {
        let section = Self { node, place, path, known: RefCell::default(), report: Rc::clone(report) };
        if let Some(Node { value: Value::Scalar(text), origin }) = node {
            section.report_invalid("", origin, "a section with keys", text);
        }
        section
    }

    /// The section below `key`; empty when the key is not set.
    #[must_use]
    pub fn section(&self, key: &'static str) -> Self {
        let node = self.child(key);
        let place = node.map_or_else(|| self.place.clone(), |node| node.origin.clone());
        Self::new(node, place, self.path_of(key), &self.report)
    }

    /// Whether the key is set to anything.
    #[must_use]
    pub fn is_set(&self, key: &'static str) -> bool {
        self.child(key).is_some()
    }

    /// Accepts the key and all below it unread: it belongs to another program.
    pub fn skip(&self, key: &'static str) {
        self.known.borrow_mut().push(key);
    }

    /// The key's value; a fault when it is not set.
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

    /// The key's value, or what it is when nobody sets it.
    #[must_use]
    pub fn value<T: SettingValue>(&self, key: &'static str, default: T) -> T {
        match self.child(key) {
            // A faulty value is reported; the default only stands in until the reading ends.
            Some(node) => self.parse(key, node).unwrap_or(default),
            None => {
                self.record(key, default.show(), Origin::Default);
                default
            }
        }
    }

    /// A value that must also hold `valid`; `form` says so in words.
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

    /// A list of values; a variable or flag separates them by commas.
    #[must_use]
    pub fn list<T: SettingValue>(&self, key: &'static str, default: Vec<T>) -> Vec<T> {
        let shown = |items: &[T]| format!("[{}]", items.iter().map(T::show).collect::<Vec<_>>().join(", "));
        let (values, origin): (Vec<T>, _) = match self.child(key) {
            None => (default, Origin::Default),
            Some(node) => {
                let items = match &node.value {
                    Value::List(items) => {
                        items.iter().filter_map(|item| self.parse_item(key, item)).collect()
                    }
                    Value::Scalar(text) if node.is_overlaid() => {
                        let words = self.overlaid_words(key, &node.origin, text);
                        words.filter_map(|word| self.parse_text(key, &node.origin, word)).collect()
                    }
                    _ => {
                        self.report_invalid(key, &node.origin, "a list", "");
                        Vec::new()
                    }
                };
                (items, node.origin.clone())
            }
        };
        self.record(key, shown(&values), origin);
        values
    }

    /// The words of a list from the environment or a flag. A list in YAML would be taken for words with brackets.
    fn overlaid_words<'t>(
        &self,
        key: &'static str,
        origin: &Origin,
        text: &'t str,
    ) -> impl Iterator<Item = &'t str> + use<'t> {
        let is_yaml = text.trim_start().starts_with(['[', '{']);
        if is_yaml {
            self.report_invalid(key, origin, "words with commas between, without brackets", text);
        }
        let words = if is_yaml { "" } else { text };
        words.split(',').map(str::trim).filter(|word| !word.is_empty())
    }

    /// A list whose items are words or sections; `read` gets each item as one or the other.
    #[must_use]
    pub fn items<T>(
        &self,
        key: &'static str,
        mut read: impl FnMut(Result<&str, Self>) -> Option<T>,
    ) -> Vec<T> {
        let Some(node) = self.child(key) else {
            self.record(key, "[]".to_owned(), Origin::Default);
            return Vec::new();
        };
        let mut shown = Vec::new();
        let items: Vec<T> = match &node.value {
            Value::List(items) => items
                .iter()
                .enumerate()
                .filter_map(|(index, item)| match &item.value {
                    Value::Scalar(text) => {
                        shown.push(text.as_str());
                        read(Ok(text))
                    }
                    _ => {
                        // Its keys are shown one by one.
                        shown.push("{…}");
                        let path = format!("{}[{index}]", self.path_of(key));
                        read(Err(Self::new(Some(item), item.origin.clone(), path, &self.report)))
                    }
                })
                .collect(),
            Value::Scalar(text) if node.is_overlaid() => {
                let words = self.overlaid_words(key, &node.origin, text);
                words.inspect(|word| shown.push(word)).filter_map(|word| read(Ok(word))).collect()
            }
            _ => {
                self.report_invalid(key, &node.origin, "a list", "");
                Vec::new()
            }
        };
        self.record(key, format!("[{}]", shown.join(", ")), node.origin.clone());
        items
    }

    /// A map of words to words.
    #[must_use]
    pub fn words(&self, key: &'static str) -> BTreeMap<String, String> {
        let Some(node) = self.child(key) else { return BTreeMap::new() };
        let Value::Map(members) = &node.value else {
            self.report_invalid(key, &node.origin, "a map of words", "");
            return BTreeMap::new();
        };
        let words: BTreeMap<_, _> = members
            .iter()
            .filter_map(|(name, node)| Some((name.clone(), self.parse_item::<String>(key, node)?)))
            .collect();
        for (name, node) in members {
            if let Some(word) = words.get(name) {
                let key = format!("{}.{name}", self.path_of(key));
                let setting = Setting { key, value: word.clone(), origin: node.origin.clone() };
                self.report.borrow_mut().settings.push(setting);
            }
        }
        words
    }

    /// Reports that a well-formed value contradicts something else.
    pub fn conflict(&self, key: &'static str, text: impl Into<String>) {
        let origin = self.child(key).map_or_else(|| self.place.clone(), |node| node.origin.clone());
        self.report(&origin, key, Problem::Conflict(text.into()));
    }

    /// Reports every key that was not asked for. Called once, after all reading.
    pub fn finish(&self) {
        let Some(Node { value: Value::Map(members), .. }) = self.node else { return };
        let known = self.known.borrow();
        for (name, node) in members {
            let matches = |key: &&str| *key == name || (node.is_overlaid() && key.eq_ignore_ascii_case(name));
            if !known.iter().any(matches) {
                let similar = nearest(name, &known);
                let key = if self.path.is_empty() { name.clone() } else { format!("{}.{name}", self.path) };
                let fault =
                    Fault { origin: node.deepest_origin(), key, problem: Problem::Unknown { similar } };
                self.report.borrow_mut().faults.push(fault);
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
        let value = T::parse(text);
        if value.is_none() {
            self.report_invalid(key, origin, T::FORM, if T::SECRET { "" } else { text });
        }
        value
    }

    fn record(&self, key: &'static str, value: String, origin: Origin) {
        self.report.borrow_mut().settings.push(Setting { key: self.path_of(key), value, origin });
    }

    fn report_invalid(&self, key: &'static str, origin: &Origin, expected: &'static str, found: &str) {
        let mut found: String = found.chars().take(FOUND_LENGTH_MAX).flat_map(char::escape_debug).collect();
        if !found.is_empty() {
            found = format!("\"{found}\"");
        }
        self.report(origin, key, Problem::Invalid { expected, found });
    }

    fn report(&self, origin: &Origin, key: &'static str, problem: Problem) {
        let fault = Fault { origin: origin.clone(), key: self.path_of(key), problem };
        self.report.borrow_mut().faults.push(fault);
    }

    fn path_of(&self, key: &'static str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }
}

impl Node {
    /// A variable's own place, even when only the levels above it are unknown.
    fn deepest_origin(&self) -> Origin {
        match &self.value {
            Value::Map(members) if self.is_overlaid() => {
                members.first().map_or_else(|| self.origin.clone(), |(_, node)| node.deepest_origin())
            }
            _ => self.origin.clone(),
        }
    }
}

/// The known key within two edits of `name`, upper and lower case being one.
fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let distance = |key: &&'static str| edit_distance(&name.to_ascii_lowercase(), &key.to_ascii_lowercase());
    known.iter().copied().filter(|key| distance(key) <= 2).min_by_key(distance)
}

fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

/// One setting as it holds, for `config print`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key's full path.
    pub key: String,
    /// Its value; `…` for a secret.
    pub value: String,
    /// Who set it.
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
    pub fn iter(&self) -> std::slice::Iter<'_, Setting> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Settings {
    type Item = &'a Setting;
    type IntoIter = std::slice::Iter<'a, Setting>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
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
