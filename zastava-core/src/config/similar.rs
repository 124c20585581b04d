//! Suggests the key that a misspelled one was meant to be.

/// The known key that is nearest to `name`, at most two edits away. Case does not count.
pub(super) fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let distance = |key: &&'static str| edit_distance(&name.to_ascii_lowercase(), &key.to_ascii_lowercase());
    known.iter().copied().filter(|key| distance(key) <= 2).min_by_key(distance)
}

fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
