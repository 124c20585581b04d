//! Placeholders that a shell, Kubernetes or a template should have replaced, and text that only looks like one.
//!
//! One `$` more in front keeps the text, as in a shell's here-document of many tools: `$${NAME}` is `${NAME}`.

use std::borrow::Cow;
use std::ops::Range;

/// How much of one is shown.
const CHARS_MAX: usize = 60;

/// The value that the text stands for, or the first placeholder in it.
pub(super) fn literal(text: &str) -> Result<Cow<'_, str>, &str> {
    let is_kept =
        |place: &Range<usize>| text[place.clone()].starts_with('$') && text[..place.start].ends_with('$');
    let mut kept = Vec::new();
    for place in places(text) {
        if !is_kept(&place) {
            let found = &text[place];
            return Err(if found.len() <= CHARS_MAX { found } else { &found[..2] });
        }
        kept.push(place.start);
    }
    if kept.is_empty() {
        return Ok(Cow::Borrowed(text));
    }
    kept.sort_unstable();
    let (mut value, mut from) = (String::with_capacity(text.len()), 0);
    for start in kept {
        value.push_str(&text[from..start - 1]);
        from = start;
    }
    value.push_str(&text[from..]);
    Ok(Cow::Owned(value))
}

fn places(text: &str) -> impl Iterator<Item = Range<usize>> {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
    };
    let forms = [("${", "}"), ("$(", ")"), ("{{", "}}")];
    forms.into_iter().flat_map(move |(open, close)| {
        text.match_indices(open).filter_map(move |(start, _)| {
            let inner = &text[start + open.len()..];
            let inner = &inner[..inner.find(close)?];
            // Helm's `{{- NAME -}}` takes the white space around it away.
            let name = if open == "{{" { inner.trim_start_matches('-') } else { inner };
            let name = name.split([':', '-', '|']).next().unwrap_or_default().trim();
            is_name(name).then_some(start..start + open.len() + inner.len() + close.len())
        })
    })
}
