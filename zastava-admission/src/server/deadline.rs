//! How long a review may take. The API server says so in the URL, as `?timeout=10s`.

use std::time::Duration;

/// An API server's timeout when the webhook's registration names none.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// The longest timeout that a registration can name.
const TIMEOUT_MAX: Duration = Duration::from_secs(30);
/// The least that is kept for the way there and back. An answer that comes too late counts as none.
const MARGIN_MIN: Duration = Duration::from_millis(300);
/// A tenth is kept of a longer timeout, for machines too busy to answer at once.
const MARGIN_PART: u32 = 10;
/// The least that a question to the policy source gets.
const BUDGET_MIN: Duration = Duration::from_millis(100);

/// How long the caller waits, from its URL's query.
pub(super) fn timeout(query: Option<&str>) -> Duration {
    let parameters = query.unwrap_or_default().split('&');
    let timeout = parameters.filter_map(|parameter| parameter.strip_prefix("timeout=")).find_map(parse);
    timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(TIMEOUT_DEFAULT).min(TIMEOUT_MAX)
}

/// The time left for a review that began `elapsed` ago.
pub(super) fn budget(timeout: Duration, elapsed: Duration) -> Duration {
    let margin = (timeout / MARGIN_PART).max(MARGIN_MIN);
    timeout.saturating_sub(margin).saturating_sub(elapsed).max(BUDGET_MIN)
}

/// A Go duration: decimal numbers with units, such as `1m30s` or `1.5s` (Go, `time.ParseDuration`).
fn parse(mut text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 6] =
        [("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let mut seconds = 0.0;
    if text.is_empty() {
        return None;
    }
    while !text.is_empty() {
        let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let (number, rest) = text.split_at(digits);
        let number: f64 = number.parse().ok()?;
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, rest) = rest.split_at(letters);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        seconds += number * factor;
        text = rest;
    }
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(TIMEOUT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_is_the_callers_timeout_less_a_margin() {
        for (query, elapsed_ms, expected_ms) in [
            (None, 0, 9_000),
            (Some("timeout=10s"), 0, 9_000),
            (Some("timeout=10s"), 1_000, 8_000),
            (Some("dryRun=All&timeout=1s"), 0, 700),
            (Some("timeout=1.5s"), 0, 1_200),
            (Some("timeout=1s500ms"), 0, 1_200),
            (Some("timeout=1m30s"), 0, 27_000),
            (Some("timeout=99999999999999999999999h"), 0, 27_000),
            (Some("timeout=200ms"), 0, 100),
            (Some("timeout=1s"), 5_000, 100),
            (Some("timeout=0s"), 0, 9_000),
            (Some("timeout="), 0, 9_000),
            (Some("timeout=10"), 0, 9_000),
            (Some("timeout=-1s"), 0, 9_000),
            (Some("timeout=1.2.3s"), 0, 9_000),
            (Some("timeout=10\u{b5}s"), 0, 9_000),
            (Some("nothing"), 0, 9_000),
        ] {
            let found = budget(timeout(query), Duration::from_millis(elapsed_ms));
            assert_eq!(found, Duration::from_millis(expected_ms), "{query:?}");
        }
    }
}
