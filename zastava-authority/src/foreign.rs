//! Text that a server wrote, made fit for logs and errors.
//!
//! A server may repeat what it was sent: a secret, an assertion, a token. So a word is shown only if it
//! could stand in prose, and a text that repeats a secret of ours is not shown at all.

/// The longest text that is shown.
const CHARS_MAX: usize = 200;
/// Longer words must be plain to be shown. A part of a credential this short is of no use.
const WORD_CHARS_MAX: usize = 11;
/// The longest plain word.
const PLAIN_CHARS_MAX: usize = 40;
/// A text that has this many bytes in common with a secret repeats it.
const SHARED_BYTES: usize = 8;

/// The text in one line, with `…` for each word that could be a credential. `None` if nothing is left, or
/// if it repeats one of the secrets.
pub(crate) fn prose(text: &str, secrets: &[&str]) -> Option<String> {
    if secrets.iter().any(|secret| repeats(text, secret)) {
        return None;
    }
    let mut shown = String::new();
    for word in text.split(|character: char| character.is_whitespace() || character.is_control()) {
        if word.is_empty() || shown.chars().count() > CHARS_MAX {
            continue;
        }
        if !shown.is_empty() {
            shown.push(' ');
        }
        shown.push_str(if is_plain(word) { word } else { "…" });
    }
    let some = shown.chars().any(char::is_alphanumeric);
    some.then(|| shown.chars().take(CHARS_MAX).collect())
}

/// Whether the word could stand in prose: it is short, or it is all lower case but for its first letter.
pub(crate) fn is_plain(word: &str) -> bool {
    let is_shown = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    if !word.bytes().all(is_shown) {
        return false;
    }
    let rest = word.trim_start_matches(|character: char| character.is_ascii_punctuation());
    let rest = rest.strip_prefix(|first: char| first.is_ascii_uppercase()).unwrap_or(rest);
    word.len() <= WORD_CHARS_MAX
        || word.len() <= PLAIN_CHARS_MAX
            && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_punctuation())
}

fn repeats(text: &str, secret: &str) -> bool {
    let length = SHARED_BYTES.min(secret.len());
    length > 0
        && secret.as_bytes().windows(length).any(|part| text.as_bytes().windows(length).any(|w| w == part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_shown_and_credentials_are_not() {
        let rows = [
            ("Client certificate missing, or its thumbprint didn't match", None),
            ("DPoP proof is not active", None),
            ("invalid tls_client_auth registration for 'zastava'", None),
            ("Invalid client: x5t#S256 required", None),
            ("a\nb\t c\u{7f}d  e", Some("a b c d e")),
            ("client zastava-runtime has no scope api:scanner.runtime.write", None),
            ("token eyJhbGciOiJFUzI1NiJ9.e30.x is unknown", Some("token … is unknown")),
            ("Basic emFzdGF2YStydW50aW1lOnAlM0FzK3c=", Some("Basic …")),
            ("canary0token0canary", None),
            ("\"quoted\" caf\u{e9}", None),
            ("", None),
        ];
        for (text, expected) in rows {
            let hidden = ["canary0token0canary", "\"quoted\" caf\u{e9}", ""].contains(&text);
            let expected = if hidden { None } else { Some(expected.unwrap_or(text)) };
            assert_eq!(prose(text, &[]).as_deref(), expected, "{text}");
        }
        assert_eq!(prose(&"word ".repeat(1000), &[]).unwrap().len(), CHARS_MAX);
    }

    #[test]
    fn a_text_that_repeats_a_secret_is_not_shown() {
        let secrets = ["correct horse battery staple", "pw"];
        assert_eq!(prose("wrong secret: horse battery", &secrets), None);
        assert_eq!(prose("wrong pw", &secrets), None);
        assert_eq!(prose("wrong secret", &secrets).as_deref(), Some("wrong secret"));
    }
}
