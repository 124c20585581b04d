//! SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format"), which code hosts show beside the changed lines.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::super::decider::Answer;
use super::super::super::manifests::Place;
use super::Decided;

/// The rule of a warning that names none.
const WARNING_RULE: &str = "warning";

pub(super) fn write(decided: &[Decided]) -> String {
    let results: Vec<_> = decided.iter().filter_map(|one| Some((one, one.outcome.answer()?))).collect();
    let results: Vec<_> = results.into_iter().flat_map(|(one, answer)| results_of(one, answer)).collect();
    let rules: BTreeSet<_> = results.iter().filter_map(|result| result["ruleId"].as_str()).collect();
    let rules: Vec<_> = rules.into_iter().map(|rule| json!({"id": rule})).collect();
    let driver = json!({"name": crate::PROGRAM.name, "version": crate::PROGRAM.version, "rules": rules});
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    });
    format!("{log:#}\n")
}

fn results_of(one: &Decided, answer: &Answer) -> Vec<Value> {
    let denial = (!answer.allowed).then(|| ("error", answer.message()));
    let warnings = answer.warnings.iter().map(|warning| ("warning", warning.as_str()));
    let rule = answer.annotations.get("rule").map_or(WARNING_RULE, String::as_str);
    let result = |(level, text): (&str, &str)| {
        let message = json!({"text": format!("{}: {text}", one.object())});
        let mut result = json!({"ruleId": rule, "level": level, "message": message});
        if let Some(place) = &one.subject.place {
            result["locations"] = json!([{"physicalLocation": location(place)}]);
        }
        result
    };
    denial.into_iter().chain(warnings).map(result).collect()
}

/// The template is what can be changed, where Helm names it. The line is one of Helm's output, and says nothing there.
fn location(place: &Place) -> Value {
    match &place.source {
        Some(source) => json!({"artifactLocation": {"uri": uri(source)}}),
        None => {
            json!({"artifactLocation": {"uri": uri(&place.file)}, "region": {"startLine": place.line.max(1)}})
        }
    }
}

/// A path as a relative reference (RFC 3986, section 4.2).
fn uri(path: &str) -> String {
    let mut out = String::new();
    for byte in path.trim_start_matches("./").bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(byte.into())
            }
            _ => _ = write!(out, "%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn paths_become_references() {
        assert_eq!(uri("./deploy/a b.yaml"), "deploy/a%20b.yaml");
        assert_eq!(uri("standard input"), "standard%20input");
        assert_eq!(uri("é:1"), "%C3%A9%3A1");
    }
}
