//! Manifests from files: the objects that a review is made of, each with the place where it stands.
//!
//! A file holds YAML of any number of documents, or JSON values one after the other. A document is an object, a list of
//! objects, or an AdmissionReview. `-` is standard input.

mod json;
mod scalar;
mod yaml;

use std::fmt;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use super::with_causes;

/// The longest input. All objects of a large cluster fit.
const INPUT_BYTES_MAX: u64 = 256 << 20;
/// What a place of standard input is called.
const STANDARD_INPUT: &str = "standard input";

/// An object and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Manifest {
    pub(super) place: Place,
    pub(super) object: Map<String, Value>,
}

/// Where an object stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: String,
    /// Counted from 1.
    pub(super) document: usize,
    /// Counted from 1.
    pub(super) line: usize,
    /// Its number in a list, counted from 1.
    pub(super) item: Option<usize>,
    /// The template that Helm made the document from, by Helm's comment.
    pub(super) source: Option<String>,
}

/// Why a file cannot be read, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub(super) struct InputError {
    place: Place,
    problem: String,
}

impl InputError {
    pub(super) fn new(place: Place, problem: String) -> Self {
        Self { place, problem }
    }
}

/// One document of a file.
#[derive(Debug, PartialEq)]
struct Document {
    number: usize,
    /// Of its first value.
    line: usize,
    source: Option<String>,
    value: Value,
    /// Of each entry of its member `items`, if they are known.
    item_lines: Vec<usize>,
}

/// What is wrong with a text. The document is 0 where it cannot be said.
#[derive(Debug, PartialEq, Eq)]
struct Malformed {
    document: usize,
    line: usize,
    problem: String,
}

/// Reads a file, or standard input by the name `-`.
pub(super) fn read(path: &Path) -> Result<Vec<Manifest>, InputError> {
    let is_stdin = path == Path::new("-");
    let file = if is_stdin { STANDARD_INPUT.to_owned() } else { path.display().to_string() };
    let of_file = |error: std::io::Error| InputError {
        place: Place { file: file.clone(), ..Place::default() },
        problem: with_causes(&error),
    };
    let text = match is_stdin {
        true => bounded(std::io::stdin().lock()),
        false => std::fs::File::open(path).and_then(bounded),
    };
    manifests(&file, &text.map_err(of_file)?)
}

fn bounded(input: impl Read) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    input.take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > INPUT_BYTES_MAX {
        return Err(std::io::Error::other(format!("it has more than {} MiB", INPUT_BYTES_MAX >> 20)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        std::io::Error::other(format!("line {line} is not UTF-8 text"))
    })
}

/// The objects of a text in their order; those of lists one by one.
fn manifests(file: &str, text: &str) -> Result<Vec<Manifest>, InputError> {
    let text = text.trim_start_matches('\u{feff}');
    let documents = documents(text).map_err(|Malformed { document, line, problem }| InputError {
        place: Place { file: file.to_owned(), document, line, ..Place::default() },
        problem,
    })?;
    let mut manifests = Vec::new();
    for document in documents {
        let Document { number, line, source, value, item_lines } = document;
        let place = Place { file: file.to_owned(), document: number, line, item: None, source };
        objects(place, value, &item_lines, &mut manifests)?;
    }
    Ok(manifests)
}

/// JSON begins with a brace or a bracket. So does YAML in flow style, which is therefore tried second.
fn documents(text: &str) -> Result<Vec<Document>, Malformed> {
    if !text.trim_start().starts_with(['{', '[']) {
        return yaml::documents(text);
    }
    json::documents(text).or_else(|fault| yaml::documents(text).map_err(|_| fault))
}

fn objects(
    place: Place,
    value: Value,
    item_lines: &[usize],
    out: &mut Vec<Manifest>,
) -> Result<(), InputError> {
    let fail = |problem: &str| InputError { place: place.clone(), problem: problem.to_owned() };
    let Value::Object(mut object) = value else {
        return Err(fail("expected an object with apiVersion and kind"));
    };
    let text = |name| object.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (Some(kind), Some(version)) = (text("kind"), text("apiVersion")) else {
        return Err(fail("the object has no kind or no apiVersion"));
    };
    // `List`, and what an API server answers for a resource: `PodList`. An object of that name without `items` is none.
    let Some(item_kind) = kind.strip_suffix("List").filter(|_| object.get("items").is_some_and(is_list))
    else {
        out.push(Manifest { place, object });
        return Ok(());
    };
    if place.item.is_some() {
        return Err(fail("a list in a list is not read"));
    }
    let typed = (!item_kind.is_empty()).then(|| (version.to_owned(), item_kind.to_owned()));
    let Some(Value::Array(items)) = object.remove("items") else { return Ok(()) };
    for (index, mut item) in items.into_iter().enumerate() {
        // Items of a typed list do without.
        if let (Some((version, kind)), Value::Object(item)) = (&typed, &mut item) {
            item.entry("apiVersion").or_insert_with(|| version.clone().into());
            item.entry("kind").or_insert_with(|| kind.clone().into());
        }
        let line = item_lines.get(index).copied().unwrap_or(place.line);
        let place = Place { item: Some(index + 1), line, ..place.clone() };
        objects(place, item, &[], out)?;
    }
    Ok(())
}

fn is_list(value: &Value) -> bool {
    value.is_array() || value.is_null()
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.document > 0 {
            write!(f, ", document {}", self.document)?;
        }
        if self.line > 0 {
            write!(f, ", line {}", self.line)?;
        }
        match self.item {
            Some(item) => write!(f, ", item {item}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
