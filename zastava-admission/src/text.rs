//! Text from outside on its way into messages: bounded, and unable to break a line or a header.

/// The text with unprintable characters escaped, cut to `chars_max` characters.
pub(crate) fn printable(text: &str, chars_max: usize) -> String {
    const CUT: &str = "...";
    let mut out = String::with_capacity(text.len().min(chars_max));
    let mut length = 0;
    for character in text.chars() {
        let printable = character == ' ' || character.is_ascii_graphic();
        let before = out.len();
        if printable {
            out.push(character);
            length += 1;
        } else {
            out.extend(character.escape_debug());
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
    use super::printable;

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
}
