//! Turns YAML text into a tree of settings with line numbers.
//!
//! Anchors, aliases, tags and second documents are refused.
// docs/design/core.md#why-are-only-yamls-plain-parts-read

use std::collections::HashSet;
use std::path::Path;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::fault::{Fault, Origin, Problem};
use super::shown;
use super::tree::{Node, Value};

/// No setting is nested this deeply.
const DEPTH_MAX: usize = 16;
const TAB: &str = "a tab indents this line; YAML takes spaces only";

/// The root section, or the fault that ended the parsing. Faults that do not end it go to `faults`.
pub(super) fn parse(text: &str, path: &Path, faults: &mut Vec<Fault>) -> Result<Node, Fault> {
    let mut reader = Reader { events: Parser::new_from_str(text), text, path, faults };
    let mut root = reader.origin_node(Value::Null, 0);
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return section(root, path),
            (Event::DocumentStart(true), span) if !matches!(root.value, Value::Null) => {
                return Err(reader.fault(span, "a second document is not read"));
            }
            (Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing, _) => {}
            event => root = reader.node(event, 0)?,
        }
    }
}

/// The root must be a section. An empty file is an empty section.
fn section(root: Node, path: &Path) -> Result<Node, Fault> {
    let found = match root.value {
        Value::Map(_) => return Ok(root),
        Value::Null => return Ok(Node { value: Value::Map(Vec::new()), ..root }),
        Value::List(_) => "a list",
        Value::Scalar(_) => "a word",
    };
    let problem = Problem::Invalid { expected: "a section with keys", found: found.to_owned() };
    Err(Fault::of_file(path, 0, problem))
}

/// The first line that a tab indents, up to the one after `line`: the parser may stop before it. Counted from 1.
fn tabbed_line(text: &str, line: usize) -> Option<usize> {
    let is_tabbed =
        |line: &str| line.trim_start_matches([' ', '\t']).len() < line.trim_start_matches(' ').len();
    let mut lines = text.lines().enumerate().take(line + 1);
    lines.find(|(_, line)| is_tabbed(line)).map(|(index, _)| index + 1)
}

struct Reader<'a> {
    events: Parser<'a, saphyr_parser::StrInput<'a>>,
    text: &'a str,
    path: &'a Path,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Fault> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let marker = *error.marker();
                // The parser finds a tab in the indentation long after it, or calls it something else.
                let fault = |line| Fault::of_file(self.path, line, Problem::Unreadable(TAB.to_owned()));
                Err(tabbed_line(self.text, marker.line())
                    .map_or_else(|| self.fault(Span::empty(marker), error.info()), fault))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, (event, span): (Event<'a>, Span), depth: usize) -> Result<Node, Fault> {
        if depth > DEPTH_MAX {
            return Err(self.fault(span, "nested too deeply"));
        }
        let value = match event {
            Event::Scalar(text, ScalarStyle::Plain, 0, None) if matches!(&*text, "" | "~" | "null") => {
                Value::Null
            }
            Event::Scalar(text, _, 0, None) => Value::Scalar(text.into_owned()),
            Event::SequenceStart(0, None) => self.list(depth)?,
            Event::MappingStart(0, None) => self.map(depth)?,
            _ => return Err(self.fault(span, "anchors, aliases and tags are not read")),
        };
        Ok(self.origin_node(value, span.start.line()))
    }

    fn list(&mut self, depth: usize) -> Result<Value, Fault> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                event => items.push(self.node(event, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Fault> {
        let mut members: Vec<(String, Node)> = Vec::new();
        let mut names = HashSet::new();
        loop {
            let (key, span) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Value::Map(members)),
                (Event::Scalar(key, _, 0, None), span) => (key.into_owned(), span),
                (_, span) => return Err(self.fault(span, "a key must be a plain word")),
            };
            let event = self.next()?;
            let value = self.node(event, depth + 1)?.value;
            if names.insert(key.clone()) {
                // The key's line and not the value's: a block's content starts below its key.
                members.push((key, self.origin_node(value, span.start.line())));
            } else {
                let fault = self.fault(span, &format!("the key {} is given twice", shown::text_of(&key)));
                self.faults.push(fault);
            }
        }
    }

    fn origin_node(&self, value: Value, line: usize) -> Node {
        Node { value, origin: Origin::File { path: self.path.to_owned(), line } }
    }

    fn fault(&self, span: Span, problem: &str) -> Fault {
        Fault::of_file(self.path, span.start.line(), Problem::Unreadable(problem.to_owned()))
    }
}
