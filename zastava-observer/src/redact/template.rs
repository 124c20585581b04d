//! Where a secret stands in a text of a known form.

use std::ops::Range;

/// The place of the secret in a text of this form: `?` is the secret, `_` is something else, every other character
/// stands for itself. Both end at the character that follows them in the template; a secret that nothing ends
/// reaches to the end.
pub(super) fn secret_at(template: &str, text: &str) -> Option<Range<usize>> {
    let mut at = 0;
    let mut letters = template.chars().peekable();
    while let Some(letter) = letters.next() {
        let rest = text.get(at..)?;
        let end = letters.peek().map(|next| rest.find(*next));
        match letter {
            '?' => {
                let end = end.flatten().unwrap_or(rest.len());
                return (end > 0).then_some(at..at + end);
            }
            '_' => at += end.map_or(Some(rest.len()), |end| end)?,
            _ => at += rest.strip_prefix(letter).map(|_| letter.len_utf8())?,
        }
    }
    None
}

/// The template begins with text of its own, as in `-p?`.
pub(super) fn has_prefix(template: &str) -> bool {
    !template.starts_with(['?', '_'])
}
