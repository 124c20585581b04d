//! Settings that are lists or maps.

use std::collections::BTreeMap;

use super::super::fault::Origin;
use super::super::settings::Setting;
use super::super::tree::Value;
use super::super::value::SettingValue;
use super::Section;

impl Section<'_> {
    /// A list of values. Variables and flags separate items by commas.
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

    /// The items of a list from a variable or flag. YAML's brackets are refused: they would become part of the
    /// items.
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

    /// A list whose items are words (`Ok`) or sections (`Err`).
    #[must_use]
    pub fn items<T>(
        &self,
        key: &'static str,
        mut read: impl FnMut(Result<&str, Section<'_>>) -> Option<T>,
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
                        read(Ok(&self.literal(key, &item.origin, text)?))
                    }
                    _ => {
                        // The section's keys are recorded one by one.
                        shown.push("{…}");
                        let path = format!("{}[{index}]", self.path_of(key));
                        read(Err(Self::new(Some(item), item.origin.clone(), path, &self.findings)))
                    }
                })
                .collect(),
            Value::Scalar(text) if node.is_overlaid() => {
                let words = self.overlaid_words(key, &node.origin, text);
                let words = words.inspect(|word| shown.push(word));
                words.filter_map(|word| read(Ok(&self.literal(key, &node.origin, word)?))).collect()
            }
            _ => {
                self.report_invalid(key, &node.origin, "a list", "");
                Vec::new()
            }
        };
        self.record(key, format!("[{}]", shown.join(", ")), node.origin.clone());
        items
    }

    /// Sections by names that the author chooses.
    #[must_use]
    pub fn sections<T>(
        &self,
        key: &'static str,
        mut read: impl FnMut(&str, &Section<'_>) -> Option<T>,
    ) -> Vec<T> {
        let Some(node) = self.child(key) else { return Vec::new() };
        let Value::Map(members) = &node.value else {
            self.report_invalid(key, &node.origin, "a map of sections", "");
            return Vec::new();
        };
        let sections = members.iter().filter_map(|(name, node)| {
            let name = self.literal(key, &node.origin, name)?;
            let path = format!("{}.{name}", self.path_of(key));
            read(&name, &Self::new(Some(node), node.origin.clone(), path, &self.findings))
        });
        sections.collect()
    }

    /// A map of words to words.
    #[must_use]
    pub fn words(&self, key: &'static str) -> BTreeMap<String, String> {
        let Some(node) = self.child(key) else { return BTreeMap::new() };
        let Value::Map(members) = &node.value else {
            self.report_invalid(key, &node.origin, "a map of words", "");
            return BTreeMap::new();
        };
        let words = members.iter().filter_map(|(name, node)| {
            let name = self.literal(key, &node.origin, name)?;
            let word: String = self.parse_item(key, node)?;
            let key = format!("{}.{name}", self.path_of(key));
            let setting = Setting { key, value: word.clone(), origin: node.origin.clone() };
            self.findings.borrow_mut().settings.push(setting);
            Some((name.into_owned(), word))
        });
        words.collect()
    }
}
