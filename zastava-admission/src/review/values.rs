//! How many values a review has, before anything is made of them.

/// The members and items that a review may have. An API server sends no object that etcd does not store, of which each takes two bytes
/// at least (docs/design/admission.md#how-many-values-can-a-review-have).
pub(super) const VALUES_MAX: usize = 3 << 20;

/// Whether the text has more members and items than a review may have. Of text that is not JSON the answer means nothing: its
/// reader refuses it.
pub(super) fn are_too_many(json: &[u8]) -> bool {
    // Each takes a byte at least, so a review of ordinary length is not read for this.
    if json.len() <= VALUES_MAX {
        return false;
    }
    let mut count = 0;
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        at += 1;
        match byte {
            b'"' => at = end_of_string(json, at),
            // A comma stands before each but the first.
            b',' | b'{' | b'[' => count += 1,
            _ => {}
        }
        if count > VALUES_MAX {
            return true;
        }
    }
    false
}

fn end_of_string(json: &[u8], mut at: usize) -> usize {
    loop {
        let rest = json.get(at..).unwrap_or_default();
        at += rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\')).count();
        match json.get(at) {
            Some(b'\\') => at += 2,
            _ => return at + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_items_count_and_text_does_not() {
        let many = |item: &str| format!("[{item}{}]", format!(",{item}").repeat(VALUES_MAX - 1));
        for (json, expected) in [
            (String::new(), false),
            (many("0"), false),
            (format!("[{}]", many("0")), true),
            (many("[]"), true),
            (many("{}"), true),
            (many("\"\""), false),
            (format!("\"{}\"", many("0")), false),
            (format!("\"\\\"{}\"", many("0")), false),
            (format!("\"\\\\\"[{}]", many("0")), true),
            ("\"".to_owned(), false),
            ("\"\\".to_owned(), false),
        ] {
            let beginning: String = json.chars().take(20).collect();
            assert_eq!(are_too_many(json.as_bytes()), expected, "{beginning}");
        }
    }
}
