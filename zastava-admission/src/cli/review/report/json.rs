//! For a program: everything that is known.

use serde_json::{Map, Value, json};

use super::{Decided, counts};

pub(super) fn write(decided: &[Decided]) -> String {
    let [allowed, denied, skipped] = counts(decided);
    let objects: Vec<_> = decided.iter().map(object).collect();
    let report = json!({"allowed": allowed, "denied": denied, "skipped": skipped, "objects": objects});
    format!("{report:#}\n")
}

/// Members without a value are left out.
fn object(one: &Decided) -> Value {
    let mut members = Map::new();
    let mut put = |name: &str, value: Value| {
        if !matches!(&value, Value::Null) {
            members.insert(name.to_owned(), value);
        }
    };
    let subject = &one.subject;
    put("decision", one.outcome.word().into());
    put("kind", subject.kind.as_str().into());
    put("namespace", non_empty(&subject.namespace));
    put("name", subject.name.as_str().into());
    if let Some(place) = &subject.place {
        put("file", place.file.as_str().into());
        put("document", place.document.into());
        put("line", place.line.into());
        put("item", place.item.into());
        put("source", place.source.clone().into());
    }
    if let Some(answer) = one.outcome.answer() {
        put("message", non_empty(answer.message()));
        put("warnings", json!(answer.warnings));
        put("annotations", json!(answer.annotations));
        if !answer.images.is_empty() {
            put("images", json!(answer.images));
        }
    }
    members.into()
}

fn non_empty(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}
