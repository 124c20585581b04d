//! Text from outside on its way into messages: bounded, and unable to break a line or a header.

/// Prose with unprintable characters escaped, among them those that turn the direction of text, cut to `chars_max` characters.
pub(crate) fn printable(text: &str, chars_max: usize) -> String {
    escaped(text, chars_max, |character, out| out.extend(character.escape_debug()))
}

/// A name, of which only ASCII is shown as it is: a letter of another script must not pass for the one that it looks like.
///
/// docs/design/admission.md#why-are-names-shown-in-ascii
pub(crate) fn name(text: &str, chars_max: usize) -> String {
    escaped(text, chars_max, |character, out| out.extend(character.escape_default()))
}

fn escaped(text: &str, chars_max: usize, escape: fn(char, &mut String)) -> String {
    const CUT: &str = "...";
    let is_plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if text.len() <= chars_max && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len().min(chars_max));
    let mut length = 0;
    for character in text.chars() {
        let before = out.len();
        if character == ' ' || character.is_ascii_graphic() {
            out.push(character);
            length += 1;
        } else {
            escape(character, &mut out);
            length += out[before..].chars().count();
        }
        if length > chars_max {
            let kept = out.char_indices().nth(chars_max.saturating_sub(CUT.len())).map_or(0, |(at, _)| at);
            out.truncate(kept);
            out.push_str(CUT);
            return out;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{name, printable};

    #[test]
    fn foreign_text_is_cut_and_escaped() {
        for (text, chars_max, expected) in [
            ("nginx:1.27", 20, "nginx:1.27"),
            ("0123456789", 10, "0123456789"),
            ("0123456789a", 10, "0123456..."),
            ("a\nb\u{202e}c", 40, "a\\nb\\u{202e}c"),
            ("größe", 40, "größe"),
            ("\n\n\n\n", 4, "\\..."),
        ] {
            let found = printable(text, chars_max);
            assert_eq!(found, expected);
            assert!(found.chars().count() <= chars_max);
        }
    }

    /// Cyrillic, Greek and full-width letters, invisible ones, and those that turn the direction of text.
    #[test]
    fn homographs_in_names_are_escaped() {
        for (text, expected) in [
            ("registry.example/team/api@sha256:1 \"'\\", "registry.example/team/api@sha256:1 \"'\\"),
            ("n\u{433}inx", "n\\u{433}inx"),
            ("p\u{430}ypal", "p\\u{430}ypal"),
            ("\u{3bf}", "\\u{3bf}"),
            ("\u{ff41}", "\\u{ff41}"),
            ("a\u{200b}\u{3164}\u{ad}b", "a\\u{200b}\\u{3164}\\u{ad}b"),
            ("\u{202e}a\u{2066}\u{feff}", "\\u{202e}a\\u{2066}\\u{feff}"),
            ("e\u{301}", "e\\u{301}"),
            ("a\tb\r\n\u{0}\u{7f}\u{85}\u{2028}", "a\\tb\\r\\n\\u{0}\\u{7f}\\u{85}\\u{2028}"),
        ] {
            assert_eq!(name(text, 80), expected);
        }
    }
}
