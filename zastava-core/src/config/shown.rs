//! What a fault shows of a value: enough to find the mistake, and nothing of a secret that was put in the
//! wrong place.

/// How much of a faulty value is shown.
const CHARS_MAX: usize = 60;
/// Runs of characters this long may be keys, tokens or hashes.
const RUN_CHARS_MAX: usize = 20;
/// Hexadecimal text needs no capitals to be a secret.
const HEX_CHARS_MAX: usize = 32;

/// The value of the key in quotes, shortened and escaped; empty if it must not be shown.
pub(super) fn value(key: &str, text: &str) -> String {
    // A path is expected, and the secret itself was given.
    let names_secret = ["secret", "key", "password", "statictoken"]
        .iter()
        .any(|word| key.to_ascii_lowercase().contains(word));
    if text.is_empty() || names_secret || text.contains("-----BEGIN") || text.trim_end().contains('\n') {
        return String::new();
    }
    let shown: String = text_of(text).chars().take(CHARS_MAX).flat_map(char::escape_debug).collect();
    format!("\"{shown}\"")
}

/// The text, with `…` for whatever could be a credential: the user of a URL, and long runs of mixed
/// characters.
pub(super) fn text_of(text: &str) -> String {
    if let Some(begin) = text.find("-----BEGIN") {
        let end = text.rfind("-----").map_or(text.len(), |at| at + 5);
        return format!("{}…{}", text_of(&text[..begin]), text_of(&text[end..]));
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_run) {
        shown.push_str(&rest[..start]);
        let run = &rest[start..];
        let run = &run[..run.find(|character| !is_run(character)).unwrap_or(run.len())];
        shown.push_str(if is_material(run) && !shown.ends_with("sha256:") { "…" } else { run });
        rest = &rest[start + run.len()..];
    }
    shown.push_str(rest);
    without_user(shown)
}

fn is_run(character: char) -> bool {
    character.is_ascii_alphanumeric() || "+/=_-".contains(character)
}

fn is_material(run: &str) -> bool {
    let has = |class: fn(&u8) -> bool| run.bytes().any(|byte| class(&byte));
    let is_mixed = has(u8::is_ascii_digit) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
    (run.len() >= RUN_CHARS_MAX && is_mixed)
        || (run.len() >= HEX_CHARS_MAX
            && has(u8::is_ascii_digit)
            && run.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn without_user(text: String) -> String {
    let Some(start) = text.find("://").map(|at| at + 3) else { return text };
    let end = text[start..].find(['/', ' ', '"', '\'']).map_or(text.len(), |at| start + at);
    match text[start..end].rfind('@') {
        Some(at) => format!("{}…{}", &text[..start], &text[start + at..]),
        None => text,
    }
}
