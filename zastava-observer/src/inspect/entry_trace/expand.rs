//! Expansion: words of a script to words of a command.

use super::field::{Field, Value};
use super::script::Script;
use crate::inspect::shell::{Part, PartKind, Pattern, Word, matches};

/// The longest value that is kept.
const VALUE_BYTES_MAX: usize = 4096;

/// Fields that are being made.
#[derive(Default)]
struct Fields {
    done: Vec<Field>,
    current: Option<Field>,
}

impl Fields {
    fn append(&mut self, text: &str) {
        match &mut self.current {
            Some(Field::Known(known)) if known.len() + text.len() <= VALUE_BYTES_MAX => known.push_str(text),
            Some(Field::Known(_)) => self.current = Some(Field::One),
            Some(_) => {}
            None => self.current = Some(Field::Known(text.to_owned())),
        }
    }

    fn append_unknown(&mut self, is_quoted: bool) {
        let is_many = !is_quoted || self.current == Some(Field::Many);
        self.current = Some(if is_many { Field::Many } else { Field::One });
    }

    fn end_field(&mut self) {
        self.done.extend(self.current.take());
    }

    fn append_value(&mut self, value: &Value, is_quoted: bool) {
        match value.text() {
            None => self.append_unknown(is_quoted),
            Some(text) if is_quoted => self.append(text),
            Some(text) => {
                for (at, word) in text.split_whitespace().enumerate() {
                    if at > 0 {
                        self.end_field();
                    }
                    self.append(word);
                }
            }
        }
    }

    fn append_fields(&mut self, fields: &[Field]) {
        for (at, field) in fields.iter().enumerate() {
            if at > 0 {
                self.end_field();
            }
            match field {
                Field::Known(text) => self.append(text),
                Field::One => self.append_unknown(true),
                Field::Many => self.append_unknown(false),
            }
        }
    }
}

impl Script<'_> {
    /// The words that a word of the script becomes.
    pub(super) fn expand(&mut self, word: &Word) -> Vec<Field> {
        let mut fields = Fields::default();
        for part in &word.0 {
            self.expand_part(part, &mut fields);
        }
        fields.end_field();
        fields.done
    }

    /// The one text that a word becomes, as in an assignment.
    pub(super) fn expand_text(&mut self, word: &Word) -> Value {
        let mut text = String::new();
        for part in &word.0 {
            match self.value_of(part).text() {
                Some(known) if text.len() + known.len() <= VALUE_BYTES_MAX => text.push_str(known),
                _ => return Value::Unknown,
            }
        }
        Value::Known(text)
    }

    /// A word as a pattern; `None` if it depends on what is not known.
    pub(super) fn expand_pattern(&mut self, word: &Word) -> Option<Vec<Pattern>> {
        let mut pattern = Vec::new();
        for part in &word.0 {
            let value = self.value_of(part);
            for character in value.text()?.chars() {
                pattern.push(match character {
                    '*' if !part.is_quoted => Pattern::Any,
                    '?' if !part.is_quoted => Pattern::One,
                    // Classes of characters are not read.
                    '[' if !part.is_quoted => return None,
                    other => Pattern::Literal(other),
                });
            }
        }
        Some(pattern)
    }

    fn expand_part(&mut self, part: &Part, fields: &mut Fields) {
        match &part.kind {
            PartKind::Parameter { name, operator, operand } if name == "@" || name == "*" => {
                let all = self.parameters_from(operator, operand);
                fields.append_fields(&all);
            }
            // Which files there are is not asked.
            PartKind::Text(text) if !part.is_quoted && text.contains(['*', '?']) => {
                fields.append_unknown(false)
            }
            PartKind::Text(text) => fields.append(text),
            PartKind::Parameter { operator, operand, .. } if matches!(*operator, ":+" | "+" | ":-" | "-") => {
                // `${x:+"$@"}`: the operand may be several words.
                match self.operand_counts(part) {
                    None => fields.append_unknown(part.is_quoted),
                    Some(true) => {
                        let words = self.expand(operand);
                        fields.append_fields(&words);
                    }
                    Some(false) if operator.ends_with('+') => {}
                    Some(false) => {
                        let value = self.plain_value(part);
                        fields.append_value(&value, part.is_quoted);
                    }
                }
            }
            _ => {
                let value = self.value_of(part);
                fields.append_value(&value, part.is_quoted);
            }
        }
    }

    /// `$@`, or `${@:2}`, which begins at the second.
    fn parameters_from(&mut self, operator: &str, operand: &Word) -> Vec<Field> {
        match operator {
            "" => self.parameters.clone(),
            ":" => match operand.as_text().and_then(|text| text.trim().parse::<usize>().ok()) {
                Some(from) if !self.parameters.contains(&Field::Many) => {
                    self.parameters.iter().skip(from.saturating_sub(1)).cloned().collect()
                }
                _ => vec![Field::Many],
            },
            "-" | ":-" if self.parameters.is_empty() => self.expand(operand),
            "+" | ":+" if self.parameters.is_empty() => Vec::new(),
            "-" | ":-" | "+" | ":+" => self.parameters.clone(),
            _ => vec![Field::Many],
        }
    }

    /// Whether the operand of `${x:-y}` or `${x:+y}` takes the place of the value.
    fn operand_counts(&self, part: &Part) -> Option<bool> {
        let PartKind::Parameter { operator, .. } = &part.kind else { return Some(false) };
        let is_there = match self.plain_value(part) {
            Value::Unknown => return None,
            Value::Unset => false,
            Value::Known(text) => !text.is_empty() || !operator.starts_with(':'),
        };
        Some(is_there == operator.ends_with('+'))
    }

    /// The value of the parameter itself.
    fn plain_value(&self, part: &Part) -> Value {
        match &part.kind {
            PartKind::Parameter { name, .. } => self.variable(name),
            _ => Value::Unknown,
        }
    }

    fn value_of(&mut self, part: &Part) -> Value {
        match &part.kind {
            PartKind::Text(text) => Value::known(text),
            PartKind::Unknown => Value::Unknown,
            PartKind::Substitution(list) => self.substitute(list),
            PartKind::Parameter { name, operator, operand } => match *operator {
                "" | ":?" | "?" => self.variable(name),
                ":-" | "-" | ":+" | "+" | ":=" | "=" => self.value_or(part, name, operator, operand),
                "#" | "##" | "%" | "%%" => self.trimmed(name, operator, operand),
                ":" => self.substring(name, operand),
                _ => Value::Unknown,
            },
        }
    }

    fn value_or(&mut self, part: &Part, name: &str, operator: &str, operand: &Word) -> Value {
        match self.operand_counts(part) {
            None => Value::Unknown,
            Some(false) if operator.ends_with('+') => Value::known(""),
            Some(false) => self.variable(name),
            Some(true) => {
                let value = self.expand_text(operand);
                if operator.ends_with('=') {
                    self.assign(name, value.clone());
                }
                value
            }
        }
    }

    fn trimmed(&mut self, name: &str, operator: &str, operand: &Word) -> Value {
        let value = self.variable(name);
        let (Some(text), Some(pattern)) = (value.text(), self.expand_pattern(operand)) else {
            return Value::Unknown;
        };
        let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        let is_front = operator.starts_with('#');
        let covers = |at: &usize| matches(&pattern, if is_front { &text[..*at] } else { &text[*at..] });
        let mut covered = ends.filter(covers);
        // The shortest part is the first from the front and the last from the end.
        let at = if (operator.len() == 1) == is_front { covered.next() } else { covered.next_back() };
        Value::known(match at {
            None => text,
            Some(at) if is_front => &text[at..],
            Some(at) => &text[..at],
        })
    }

    /// `${1:0:1}`
    fn substring(&self, name: &str, operand: &Word) -> Value {
        let value = self.variable(name);
        let numbers = operand.as_text().map(|text| text.split(':').map(|part| part.trim().parse::<usize>()));
        let numbers: Option<Vec<usize>> = numbers.and_then(|numbers| numbers.collect::<Result<_, _>>().ok());
        let (Some(text), Some(numbers)) = (value.text(), numbers) else { return Value::Unknown };
        let from = text.chars().skip(numbers.first().copied().unwrap_or(0));
        Value::Known(from.take(numbers.get(1).copied().unwrap_or(usize::MAX)).collect())
    }
}
