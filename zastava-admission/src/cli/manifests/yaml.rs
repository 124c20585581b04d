//! YAML as kubectl reads it: documents, anchors, merged mappings; a key that stands twice is a mistake.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};
use serde_json::{Map, Value};

use super::scalar::plain;
use super::{Document, Malformed};

/// No object of Kubernetes is nested this deeply.
const DEPTH_MAX: usize = 100;
/// Values of one input. An alias counts as much as what it stands for, and so does an anchor, which keeps it; so a few lines cannot become gigabytes.
const VALUES_MAX: usize = 4_000_000;
/// Bytes of a text that count as a further value.
const VALUE_BYTES: usize = 64;
/// kubectl's reader takes them for line breaks, and this one does not: a comment would end elsewhere.
const OTHER_LINE_BREAKS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];
/// Before the name of the template that a document was made from.
const HELM_SOURCE: &str = "# Source: ";

pub(super) fn documents(text: &str) -> Result<Vec<Document>, Malformed> {
    let lines: Vec<&str> = text.lines().collect();
    let is_split = |line: &&str| line.contains(OTHER_LINE_BREAKS);
    let mut reader = Reader {
        events: Parser::new_from_str(text),
        number: 0,
        values: 0,
        anchors: HashMap::new(),
        item_lines: Vec::new(),
        split_line: lines.iter().position(is_split).map(|index| index + 1),
    };
    let (mut documents, mut read_until) = (Vec::new(), 0);
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => return Ok(documents),
            Event::DocumentStart(_) => {
                reader.number += 1;
                reader.anchors.clear();
            }
            Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
            event => {
                let (number, line) = (reader.number, span.start.line());
                let value = reader.value(event, span, 0)?;
                let source = helm_source(lines.get(read_until..line).unwrap_or_default());
                read_until = line;
                let item_lines = std::mem::take(&mut reader.item_lines);
                // A document of comments only, as Helm writes for a template that renders to nothing.
                if !value.is_null() {
                    documents.push(Document { number, line, source, value, item_lines });
                }
            }
        }
    }
}

/// The template that Helm names in a comment before the document.
fn helm_source(lines: &[&str]) -> Option<String> {
    let mut names = lines.iter().filter_map(|line| line.strip_prefix(HELM_SOURCE));
    names.next_back().map(|name| name.trim().to_owned())
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    /// Of the document.
    number: usize,
    /// So far.
    values: usize,
    /// What an alias stands for, and how many values that are.
    anchors: HashMap<usize, (Value, usize)>,
    item_lines: Vec<usize>,
    /// The first line with one of [`OTHER_LINE_BREAKS`].
    split_line: Option<usize>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Malformed> {
        match self.events.next_event() {
            Some(Ok((_, span))) if self.split_line.is_some_and(|line| line <= span.end.line()) => {
                Err(Malformed {
                    document: self.number.max(1),
                    line: self.split_line.unwrap_or_default(),
                    problem: "kubectl takes U+0085, U+2028 and U+2029 for line breaks; write them as escapes"
                        .to_owned(),
                })
            }
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(Malformed {
                document: self.number.max(1),
                line: error.marker().line(),
                problem: format!("the YAML cannot be read: {}", error.info()),
            }),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn value(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Value, Malformed> {
        if depth > DEPTH_MAX {
            return Err(self.malformed(span, "it is nested too deeply"));
        }
        let before = self.values;
        self.count(1, span)?;
        let (value, anchor) = match event {
            Event::Alias(anchor) => {
                // The parser refuses an alias before its anchor. This one is inside of it.
                let known = self.anchors.get(&anchor).cloned();
                let (value, values) =
                    known.ok_or_else(|| self.malformed(span, "an alias stands in what it means"))?;
                self.count(values, span)?;
                return Ok(value);
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.count(text.len() / VALUE_BYTES, span)?;
                (self.scalar(&text, style, tag.as_deref(), span)?, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", span)?;
                (self.list(depth)?.0.into(), anchor)
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", span)?;
                (self.map(depth)?.into(), anchor)
            }
            _ => return Err(self.malformed(span, "a value is missing")),
        };
        if anchor > 0 {
            let values = self.values - before;
            self.count(values, span)?;
            self.anchors.insert(anchor, (value.clone(), values));
        }
        Ok(value)
    }

    fn scalar(
        &self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<Value, Malformed> {
        match tag {
            None if style == ScalarStyle::Plain => Ok(plain(text)),
            None => Ok(text.into()),
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Ok(text.into()),
            Some(tag) => {
                Err(self.malformed(span, &format!("the tag {}{} is not read", tag.handle, tag.suffix)))
            }
        }
    }

    fn check_tag(&self, tag: Option<&Tag>, taken: &str, span: Span) -> Result<(), Malformed> {
        match tag {
            Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == taken) => {
                Err(self.malformed(span, &format!("the tag {}{} is not read", tag.handle, tag.suffix)))
            }
            _ => Ok(()),
        }
    }

    /// The entries and their lines.
    fn list(&mut self, depth: usize) -> Result<(Vec<Value>, Vec<usize>), Malformed> {
        let (mut entries, mut lines) = (Vec::new(), Vec::new());
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok((entries, lines)),
                (event, span) => {
                    lines.push(span.start.line());
                    entries.push(self.value(event, span, depth + 1)?);
                }
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Map<String, Value>, Malformed> {
        let (mut members, mut merged) = (Map::new(), Map::new());
        loop {
            let (event, span) = self.next()?;
            let (key, is_merge) = match event {
                Event::MappingEnd => break,
                Event::Scalar(text, style, 0, None) => {
                    (self.key(&text, style, span)?, style == ScalarStyle::Plain && text == "<<")
                }
                _ => return Err(self.malformed(span, "a key must be a word")),
            };
            let (event, at) = self.next()?;
            let value = match event {
                Event::SequenceStart(0, None) if depth == 0 && key == "items" => {
                    let (items, lines) = self.list(depth + 1)?;
                    self.item_lines = lines;
                    items.into()
                }
                event => self.value(event, at, depth + 1)?,
            };
            if is_merge {
                let mut merging = Map::new();
                self.merge(value, &mut merging, span)?;
                // A later mapping outweighs what stands before it for kubectl, and not by YAML's own rule.
                if let Some(key) =
                    merging.keys().find(|key| members.contains_key(*key) || merged.contains_key(*key))
                {
                    let problem = format!(
                        "the merged mapping repeats the key {key:?} before it, of which readers take different ones"
                    );
                    return Err(self.malformed(span, &problem));
                }
                merged.extend(merging);
            } else if members.insert(key.clone(), value).is_some() {
                return Err(self.malformed(span, &format!("the key {key:?} stands twice")));
            }
        }
        for (key, value) in merged {
            members.entry(key).or_insert(value);
        }
        Ok(members)
    }

    /// Kubernetes has words as keys only. kubectl turns numbers and booleans into words.
    fn key(&self, text: &str, style: ScalarStyle, span: Span) -> Result<String, Malformed> {
        match self.scalar(text, style, None, span)? {
            Value::String(key) => Ok(key),
            Value::Null => Err(self.malformed(span, "a key is missing")),
            key => Ok(key.to_string()),
        }
    }

    /// The value of the key `<<`: a mapping, or several of which the first has precedence.
    fn merge(&self, value: Value, into: &mut Map<String, Value>, span: Span) -> Result<(), Malformed> {
        match value {
            Value::Object(members) => {
                members.into_iter().for_each(|(key, value)| _ = into.entry(key).or_insert(value));
                Ok(())
            }
            Value::Array(values) => values.into_iter().try_for_each(|value| self.merge(value, into, span)),
            _ => Err(self.malformed(span, "only a mapping can be merged")),
        }
    }

    fn count(&mut self, values: usize, span: Span) -> Result<(), Malformed> {
        self.values += values;
        match self.values > VALUES_MAX {
            true => Err(self.malformed(span, &format!("the input has more than {VALUES_MAX} values"))),
            false => Ok(()),
        }
    }

    fn malformed(&self, span: Span, problem: &str) -> Malformed {
        Malformed { document: self.number, line: span.start.line(), problem: problem.to_owned() }
    }
}
