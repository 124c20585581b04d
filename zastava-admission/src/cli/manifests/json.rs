//! JSON values, one after the other.

use serde_json::Value;

use super::{Document, Malformed};

pub(super) fn documents(text: &str) -> Result<Vec<Document>, Malformed> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let mut documents = Vec::new();
    loop {
        let (number, from) = (documents.len() + 1, values.byte_offset());
        match values.next() {
            None => return Ok(documents),
            Some(Ok(value)) => {
                let blank = text[from..].len() - text[from..].trim_start().len();
                let line = 1 + text[..from + blank].matches('\n').count();
                documents.push(Document { number, line, source: None, value, item_lines: Vec::new() });
            }
            Some(Err(error)) => {
                let problem = error.to_string();
                // The place stands before the problem.
                let problem = problem.split(" at line ").next().unwrap_or_default().to_owned();
                return Err(Malformed { document: number, line: error.line(), problem });
            }
        }
    }
}
