//! Secrets that their own form gives away.

use std::ops::Range;
use std::sync::LazyLock;

use super::place::lines;

/// How the tokens of well-known services start, and the least length of what follows.
static STARTS: LazyLock<Vec<(&str, usize)>> = LazyLock::new(|| {
    let start = |line: &'static str| {
        let (start, least) = line.split_once(' ')?;
        Some((start, least.parse().ok()?))
    };
    lines(include_str!("tokens.txt")).filter_map(start).collect()
});

/// Adds what looks like a token of a known service, a JSON Web Token or a private key.
pub(super) fn scan(text: &str, secrets: &mut Vec<Range<usize>>) {
    if let Some(start) = text.find("-----BEGIN ").filter(|start| text[*start..].contains("PRIVATE KEY")) {
        secrets.push(start..text.len());
    }
    let mut end = 0;
    while let Some(start) = text[end..].find(is_of_token).map(|start| end + start) {
        let rest = &text[start..];
        end = start + rest.find(|letter| !is_of_token(letter)).unwrap_or(rest.len());
        let run = &text[start..end];
        if is_known(run) || is_web_token(run) {
            secrets.push(start..end);
        }
    }
}

fn is_of_token(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "_-.~".contains(letter)
}

fn is_known(run: &str) -> bool {
    let mut known = STARTS.iter().filter_map(|(start, least)| Some((run.strip_prefix(*start)?, *least)));
    known.any(|(rest, least)| rest.len() >= least && rest.bytes().any(|byte| byte.is_ascii_digit()))
}

/// Header and payload of a JWT begin with `{"` in base64url (RFC 7519 section 3).
fn is_web_token(run: &str) -> bool {
    run.starts_with("eyJ") && run.matches('.').count() >= 2 && run.len() > 20
}
