//! Which log lines only repeat others.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

/// A line is written once in so long.
const WINDOW: Duration = Duration::from_secs(30);
/// The most different lines that are remembered. When there are more, the oldest half is forgotten.
const LINES_MAX: usize = 1024;

/// Remembers the warnings and errors of the last half minute. Pure.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    seen: HashMap<u64, Seen>,
}

#[derive(Debug)]
struct Seen {
    written: Instant,
    left_out: u64,
}

impl Repeats {
    /// How many lines like this one were left out since it was last written, or `None` if it is to be left out too.
    pub(super) fn admit(&mut self, key: u64, now: Instant) -> Option<u64> {
        if let Some(seen) = self.seen.get_mut(&key) {
            if now.saturating_duration_since(seen.written) < WINDOW {
                seen.left_out += 1;
                return None;
            }
            seen.written = now;
            return Some(std::mem::take(&mut seen.left_out));
        }
        if self.seen.len() >= LINES_MAX {
            self.forget_oldest();
        }
        self.seen.insert(key, Seen { written: now, left_out: 0 });
        Some(0)
    }

    fn forget_oldest(&mut self) {
        let mut times: Vec<Instant> = self.seen.values().map(|seen| seen.written).collect();
        times.sort_unstable();
        let middle = times[times.len() / 2];
        self.seen.retain(|_, seen| seen.written > middle);
    }
}

/// What makes a line the same as another one: its place in the code and its words. Numbers such as a count or a wait change
/// from line to line and say nothing new.
pub(super) fn key(place: &impl std::hash::Hash, fields: &Map<String, Value>) -> u64 {
    let mut hasher = DefaultHasher::new();
    place.hash(&mut hasher);
    for (name, value) in fields {
        if !value.is_number() {
            (name, value.as_str(), value.as_bool()).hash(&mut hasher);
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_written_once_in_half_a_minute_and_says_how_often_it_was_left_out() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        assert_eq!(repeats.admit(1, start), Some(0));
        assert_eq!(repeats.admit(2, start), Some(0));
        for second in 1..30 {
            assert_eq!(repeats.admit(1, start + Duration::from_secs(second)), None);
        }
        assert_eq!(repeats.admit(1, start + WINDOW), Some(29));
        assert_eq!(repeats.admit(1, start + 3 * WINDOW), Some(0));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        for line in 0..10_000 {
            assert_eq!(repeats.admit(line, start + Duration::from_millis(line)), Some(0));
        }
        assert!(repeats.seen.len() <= LINES_MAX);
        assert_eq!(repeats.admit(9999, start + Duration::from_secs(11)), None);
    }

    #[test]
    fn words_distinguish_lines_and_numbers_do_not() {
        let key_of = |fields: Value| key(&"a.rs:1", fields.as_object().expect("is an object"));
        let known = key_of(json!({"reason": "evicted", "count": 1}));
        assert_eq!(key_of(json!({"reason": "evicted", "count": 2})), known);
        assert_ne!(key_of(json!({"reason": "corrupt", "count": 1})), known);
        assert_ne!(key(&"a.rs:2", json!({"reason": "evicted"}).as_object().expect("is one")), known);
    }
}
