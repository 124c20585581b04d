//! Conditions: `[ … ]` and `[[ … ]]`.

use super::field::{Field, Value};
use super::script::Script;
use crate::inspect::shell::{Pattern, Word, matches};

/// A word of a condition.
struct Item {
    text: Value,
    /// What it is as a pattern, in `[[ … ]]`.
    pattern: Option<Option<Vec<Pattern>>>,
}

impl Item {
    fn is(&self, word: &str) -> bool {
        self.text.text() == Some(word)
    }
}

/// And, or and not, when one side may not be known.
pub(super) fn and(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn or(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    and(left.map(|left| !left), right.map(|right| !right)).map(|neither| !neither)
}

impl Script<'_> {
    /// `[ … ]` without its brackets.
    pub(super) fn test(&self, fields: &[Field]) -> Option<bool> {
        if fields.contains(&Field::Many) {
            return None;
        }
        let text = |field: &Field| field.known().map_or(Value::Unknown, Value::known);
        let items: Vec<Item> = fields.iter().map(|field| Item { text: text(field), pattern: None }).collect();
        self.any(&items, "-o", "-a")
    }

    /// `[[ … ]]` without its brackets.
    pub(super) fn extended_test(&mut self, words: &[Word]) -> Option<bool> {
        let mut items = Vec::with_capacity(words.len());
        for word in words {
            items.push(Item { text: self.expand_text(word), pattern: Some(self.expand_pattern(word)) });
        }
        self.any(&items, "||", "&&")
    }

    fn any(&self, items: &[Item], or_word: &str, and_word: &str) -> Option<bool> {
        // Groups are not read.
        if items.len() > 3 && items.iter().any(|item| item.is("(")) {
            return None;
        }
        let mut found = Some(false);
        for alternative in items.split(|item| item.is(or_word)) {
            let mut all = Some(true);
            for term in alternative.split(|item| item.is(and_word)) {
                all = and(all, self.term(term));
            }
            found = or(found, all);
        }
        found
    }

    fn term(&self, mut items: &[Item]) -> Option<bool> {
        let mut is_wanted = true;
        while let [first, rest @ ..] = items
            && first.is("!")
            && !rest.is_empty()
        {
            (items, is_wanted) = (rest, !is_wanted);
        }
        let found = match items {
            [] => Some(false),
            [one] => Some(!one.text.text()?.is_empty()),
            [operator, one] => self.unary(operator.text.text()?, one),
            [left, operator, right] => binary(left, operator.text.text()?, right),
            _ => None,
        };
        found.map(|found| found == is_wanted)
    }

    fn unary(&self, operator: &str, item: &Item) -> Option<bool> {
        let text = item.text.text()?;
        match operator {
            "-z" => Some(text.is_empty()),
            "-n" => Some(!text.is_empty()),
            "-f" | "-e" | "-d" | "-x" | "-s" | "-r" => self.file_test(operator, text),
            // Look-ups follow links, so that it does not matter.
            "-h" | "-L" => Some(false),
            "-v" => match self.variable(text) {
                Value::Unknown => None,
                value => Some(value != Value::Unset),
            },
            _ => None,
        }
    }
}

fn binary(left: &Item, operator: &str, right: &Item) -> Option<bool> {
    let text = left.text.text();
    match operator {
        "=" | "==" | "!=" => {
            let is_equal = match &right.pattern {
                Some(pattern) => matches(pattern.as_ref()?, text?),
                None => text? == right.text.text()?,
            };
            Some(is_equal == (operator != "!="))
        }
        "=~" => Some(matches(&regular(right.text.text()?)?, text?)),
        "-eq" | "-ne" | "-gt" | "-ge" | "-lt" | "-le" => {
            let number = |text: Option<&str>| text?.trim().parse::<i64>().ok();
            let (left, right) = (number(text)?, number(right.text.text())?);
            Some(match operator {
                "-eq" => left == right,
                "-ne" => left != right,
                "-gt" => left > right,
                "-ge" => left >= right,
                "-lt" => left < right,
                _ => left <= right,
            })
        }
        _ => None,
    }
}

/// A regular expression as a pattern, if it is a simple one.
fn regular(text: &str) -> Option<Vec<Pattern>> {
    let (front, text) = text.strip_prefix('^').map_or((Some(Pattern::Any), text), |rest| (None, rest));
    let (back, text) = text.strip_suffix('$').map_or((Some(Pattern::Any), text), |rest| (None, rest));
    let mut pattern: Vec<Pattern> = front.into_iter().collect();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        pattern.push(match character {
            '.' if characters.next_if_eq(&'*').is_some() => Pattern::Any,
            '.' => Pattern::One,
            '*' | '+' | '?' | '[' | '(' | '|' | '{' | '\\' | '^' | '$' => return None,
            _ if matches!(characters.peek(), Some('*' | '+' | '?' | '{')) => return None,
            other => Pattern::Literal(other),
        });
    }
    pattern.extend(back);
    Some(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_regular_expressions_are_patterns() {
        for (expression, text, wanted) in [
            ("^-D.*", "-Da", Some(true)),
            ("^-D.*", "start", Some(false)),
            ("java", "my-java-app", Some(true)),
            ("^a.c$", "abc", Some(true)),
            ("^a.c$", "abcd", Some(false)),
            (".+", "a", None),
            ("[0-9]", "1", None),
            ("ab*", "a", None),
        ] {
            assert_eq!(
                regular(expression).map(|pattern| matches(&pattern, text)),
                wanted,
                "{expression} {text}"
            );
        }
    }
}
