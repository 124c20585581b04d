//! YAML documents as JSON values, by the core schema (YAML 1.2 section 10.3).

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};
use serde_json::{Map, Value};

/// Every document of the text that holds anything.
pub(crate) fn documents(text: &str) -> Vec<Value> {
    let mut reader = Reader(Parser::new_from_str(text));
    let mut found = Vec::new();
    loop {
        match reader.next() {
            Event::StreamEnd => return found,
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            event => match reader.value(event) {
                Value::Null => {}
                value => found.push(value),
            },
        }
    }
}

pub(crate) fn document(text: &str) -> Value {
    let mut found = documents(text);
    assert_eq!(found.len(), 1, "one document: {text}");
    found.remove(0)
}

struct Reader<'a>(Parser<'a, StrInput<'a>>);

impl<'a> Reader<'a> {
    fn next(&mut self) -> Event<'a> {
        match self.0.next_event() {
            Some(event) => event.unwrap_or_else(|error| panic!("{error}")).0,
            None => Event::StreamEnd,
        }
    }

    fn value(&mut self, event: Event<'a>) -> Value {
        match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) => plain(&text),
            Event::Scalar(text, ..) => Value::from(text.into_owned()),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match self.next() {
                        Event::SequenceEnd => return Value::from(items),
                        event => items.push(self.value(event)),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut members = Map::new();
                loop {
                    let key = match self.next() {
                        Event::MappingEnd => return Value::from(members),
                        Event::Scalar(text, ..) => text.into_owned(),
                        other => panic!("a key that is no word: {other:?}"),
                    };
                    let event = self.next();
                    let value = self.value(event);
                    assert!(members.insert(key.clone(), value).is_none(), "{key} stands twice");
                }
            }
            other => panic!("nothing that a manifest needs: {other:?}"),
        }
    }
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => match text.parse::<i64>() {
            Ok(number) => Value::from(number),
            Err(_) => text.parse::<f64>().map_or_else(|_| Value::from(text), Value::from),
        },
    }
}
