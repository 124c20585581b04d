//! How long to wait after a failed request.

use std::time::Duration;

use crate::error::Error;

const CEILING_FIRST: Duration = Duration::from_millis(500);
const CEILING_MAX: Duration = Duration::from_secs(15);
const FLOOR: Duration = Duration::from_millis(250);
/// The longest wait that a server can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// A random wait below a ceiling that doubles with every failure. `jitter` is a number from 0 to 1.
///
/// Full jitter would start at zero and make about 45 requests in five minutes of outage. With a third
/// of the ceiling as floor it makes fewer than 40, within Authority's limit for a client, and still
/// spreads a fleet. A fault of configuration starts at the last ceiling: it does not pass by itself,
/// but the retries never end. See
/// docs/design/authority.md#why-is-the-back-off-never-shorter-than-a-third-of-its-ceiling.
pub(super) fn delay(failures: u32, error: &Error, jitter: f64) -> Duration {
    let ceiling = match failures {
        _ if error.is_configuration() => CEILING_MAX,
        0..=5 => (CEILING_FIRST * 2_u32.pow(failures)).min(CEILING_MAX),
        _ => CEILING_MAX,
    };
    let floor = (ceiling / 3).max(FLOOR);
    let wait = floor + (ceiling - floor).mul_f64(jitter.clamp(0.0, 1.0));
    wait.max(error.retry_after().unwrap_or_default().min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::error::Asked;

    fn refused(status: StatusCode, retry_after: Option<u64>) -> Error {
        let asked = Asked { url: "https://a.test/token".to_owned(), client_id: None };
        let retry_after = retry_after.map(Duration::from_secs);
        Error::Refused { status, code: None, description: None, asked: asked.into(), retry_after }
    }

    #[test]
    fn waits_double_up_to_fifteen_seconds() {
        let error = refused(StatusCode::BAD_GATEWAY, None);
        let ms = |failures, jitter| delay(failures, &error, jitter).as_millis();
        let longest = [0, 1, 2, 3, 4, 5, 6, 1000].map(|failures| ms(failures, 1.0));
        assert_eq!(longest, [500, 1000, 2000, 4000, 8000, 15000, 15000, 15000]);
        assert_eq!([0, 1, 4, 9].map(|failures| ms(failures, 0.0)), [250, 333, 2666, 5000]);
    }

    #[test]
    fn the_server_may_ask_for_more_but_not_for_ever() {
        let wait = |asked| delay(0, &refused(StatusCode::TOO_MANY_REQUESTS, Some(asked)), 0.0).as_secs();
        assert_eq!([60, 86400].map(wait), [60, 300]);
    }

    #[test]
    fn faults_of_configuration_are_retried_slowly() {
        assert_eq!(delay(0, &refused(StatusCode::UNAUTHORIZED, None), 0.0), Duration::from_secs(5));
    }

    #[test]
    fn five_minutes_of_outage_take_at_most_forty_requests() {
        let error = refused(StatusCode::BAD_GATEWAY, None);
        let (mut waited, mut requests, mut state) = (Duration::ZERO, 0, 1_u64);
        while waited < Duration::from_secs(300) {
            // A linear congruential generator: the test must not fail by chance.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            waited += delay(requests, &error, (state >> 11) as f64 / (1_u64 << 53) as f64);
            requests += 1;
        }
        assert!(requests <= 40, "{requests}");
    }
}
