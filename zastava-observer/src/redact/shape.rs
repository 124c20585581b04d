//! Secrets that their own form gives away.

use std::ops::Range;

/// How the tokens of well-known services start, and the least length of what follows.
const STARTS: [(&str, usize); 27] = [
    ("ghp_", 16),
    ("gho_", 16),
    ("ghu_", 16),
    ("ghs_", 16),
    ("ghr_", 16),
    ("github_pat_", 16),
    ("glpat-", 12),
    ("gldt-", 12),
    ("glrt-", 12),
    ("xoxb-", 10),
    ("xoxp-", 10),
    ("xoxa-", 10),
    ("xapp-", 10),
    ("sk-", 20),
    ("sk_live_", 10),
    ("rk_live_", 10),
    ("sk_test_", 10),
    ("hvs.", 16),
    ("hvb.", 16),
    ("dckr_pat_", 16),
    ("npm_", 20),
    ("pypi-", 20),
    ("AIza", 30),
    ("SG.", 20),
    ("shpat_", 16),
    ("dop_v1_", 16),
    ("sha256~", 20),
];

/// Adds what looks like a token of a known service, a JSON Web Token or a private key.
pub(super) fn scan(text: &str, at: usize, secrets: &mut Vec<Range<usize>>) {
    if let Some(start) = text.find("-----BEGIN ").filter(|start| text[*start..].contains("PRIVATE KEY-----"))
    {
        secrets.push(at + start..at + text.len());
    }
    let mut end = 0;
    while let Some(start) = text[end..].find(is_of_token).map(|start| end + start) {
        let rest = &text[start..];
        end = start + rest.find(|letter| !is_of_token(letter)).unwrap_or(rest.len());
        let run = &text[start..end];
        if is_known(run) || is_web_token(run) {
            secrets.push(at + start..at + end);
        }
    }
}

fn is_of_token(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "_-.~".contains(letter)
}

fn is_known(run: &str) -> bool {
    let mut known = STARTS.iter().filter_map(|(start, least)| Some((run.strip_prefix(start)?, *least)));
    known.any(|(rest, least)| rest.len() >= least && rest.bytes().any(|byte| byte.is_ascii_digit()))
}

/// Header and payload of a JWT begin with `{"` in base64url (RFC 7519 section 3).
fn is_web_token(run: &str) -> bool {
    run.starts_with("eyJ") && run.matches('.').count() >= 2 && run.len() > 20
}
