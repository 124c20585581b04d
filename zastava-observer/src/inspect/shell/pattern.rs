//! Patterns of `case` and of `${x#…}`.

/// One character of a pattern.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::inspect) enum Pattern {
    Literal(char),
    /// `?`, and a class such as `[a-z]`, which is taken for any character.
    One,
    /// `*`
    Any,
}

/// Whether the pattern is that of the whole text. Takes time in proportion to the product of both at most.
pub(in crate::inspect) fn matches(pattern: &[Pattern], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut of) = (0, 0);
    // Where the last `*` stands, and how much of the text it has taken.
    let mut star: Option<(usize, usize)> = None;
    while of < text.len() {
        match pattern.get(at) {
            Some(Pattern::Any) => {
                star = Some((at, of));
                at += 1;
                continue;
            }
            Some(Pattern::One) => (at, of) = (at + 1, of + 1),
            Some(Pattern::Literal(wanted)) if *wanted == text[of] => (at, of) = (at + 1, of + 1),
            _ => {
                let Some((any, taken)) = star else { return false };
                star = Some((any, taken + 1));
                (at, of) = (any + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|rest| *rest == Pattern::Any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_the_whole_text() {
        let pattern = |text: &str| -> Vec<Pattern> {
            let one = |character| match character {
                '*' => Pattern::Any,
                '?' => Pattern::One,
                other => Pattern::Literal(other),
            };
            text.chars().map(one).collect()
        };
        for (text, of, wanted) in [
            ("-*", "--help", true),
            ("-*", "help", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("?", "ä", true),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("*.sh", "a.sh.sh", true),
            ("**a", "aaa", true),
        ] {
            assert_eq!(matches(&pattern(text), of), wanted, "{text} {of}");
        }
        // Many stars do not take exponential time.
        assert!(!matches(&pattern(&"*a".repeat(200)), &"a".repeat(199)));
    }
}
