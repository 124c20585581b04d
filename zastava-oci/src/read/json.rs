//! JSON documents, with the member in every error.

use serde::de::DeserializeOwned;

use super::ReadError;
use super::place::{Document, Place, escaped};

/// Nesting is bounded by serde_json, to 128 levels.
pub(super) fn parse<T: DeserializeOwned>(document: &Document, bytes: &[u8]) -> Result<T, ReadError> {
    let fault = |at: String, error: &serde_json::Error| ReadError::Json {
        place: Place::new(document.clone(), at),
        message: escaped(&error.to_string()),
    };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        // The whole document is `.`, and `?` where it was cut off before a member.
        let path = error.path().to_string();
        fault(path.trim_matches(['.', '?']).to_owned(), error.inner())
    })?;
    json.end().map_err(|error| fault(String::new(), &error))?;
    Ok(value)
}
