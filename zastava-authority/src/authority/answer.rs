//! What Authority answers to a token request: RFC 6749 sections 5.1 and 5.2.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Deserialize;
use zastava_core::clock::Timestamp;
use zastava_core::scanner::retry_after;
use zastava_core::secret::Secret;

use crate::conversation::Reply;
use crate::encoding::is_token68;
use crate::error::Error;

/// The lifetime of a token whose answer does not state it: `expires_in` is optional (RFC 6749 section
/// 5.1).
const LIFETIME_DEFAULT: Duration = Duration::from_secs(120);
/// Longer lifetimes are cut to this.
const LIFETIME_MAX: Duration = Duration::from_secs(24 * 3600);
/// Errors repeat no longer words of a server than these.
const CODE_CHARS_MAX: usize = 64;
const WORD_CHARS_MAX: usize = 16;

const NONCE_REQUIRED: &str = "use_dpop_nonce";

/// Reads the token, if it is of the expected type, and its lifetime.
pub(super) fn read(
    answer: &Response<Bytes>,
    expected: &'static str,
    now: Timestamp,
) -> Result<(Secret, Duration), Error> {
    if !answer.status().is_success() {
        return Err(refusal(answer, now));
    }
    let raw: RawToken = serde_json::from_slice(answer.body())
        .map_err(|_| Error::Malformed { reason: "no token in its answer" })?;
    let token = Secret::new(raw.access_token);
    if !raw.token_type.eq_ignore_ascii_case(expected) {
        return Err(Error::TokenType { expected, found: token_type_word(&raw.token_type) });
    }
    if !is_token68(token.expose()) {
        return Err(Error::Malformed { reason: "its token cannot stand in a header" });
    }
    Ok((token, raw.expires_in.map_or(Ok(LIFETIME_DEFAULT), RawLifetime::duration)?.min(LIFETIME_MAX)))
}

/// Keeps the error code but not its description, in which a server may repeat what it was sent.
pub(super) fn refusal(answer: &Response<Bytes>, now: Timestamp) -> Error {
    let raw: RawRefusal = serde_json::from_slice(answer.body()).unwrap_or_default();
    let is_code = |code: &String| {
        (1..=CODE_CHARS_MAX).contains(&code.len())
            && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let retry_after = retry_after(answer.headers(), now);
    Error::Refused { status: answer.status(), code: raw.error.filter(is_code), retry_after }
}

#[derive(Deserialize)]
struct RawToken {
    access_token: String,
    #[serde(default)]
    token_type: String,
    #[serde(default)]
    expires_in: Option<RawLifetime>,
}

/// Some servers write the number as a string, or with a fraction.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawLifetime {
    Number(f64),
    Text(String),
}

impl RawLifetime {
    fn duration(self) -> Result<Duration, Error> {
        let seconds = match self {
            Self::Number(seconds) => Some(seconds),
            Self::Text(text) => text.parse().ok(),
        };
        match seconds {
            // Rounded down, and to what a duration can hold.
            Some(seconds) if seconds >= 1.0 => Ok(Duration::from_secs(seconds as u64)),
            Some(0.0..1.0) => Err(Error::Malformed { reason: "its token has no life" }),
            _ => Err(Error::Malformed { reason: "its expires_in is no number of seconds" }),
        }
    }
}

#[derive(Default, Deserialize)]
struct RawRefusal {
    #[serde(default)]
    error: Option<String>,
}

/// What the outcome says about the attempt.
pub(super) fn reply<T>(outcome: &Result<T, Error>) -> Reply {
    match outcome.as_ref().map_err(Error::oauth_code) {
        Ok(_) => Reply::Accepted,
        // RFC 9449 section 8: status 400. Some servers answer 401.
        Err(Some(NONCE_REQUIRED)) => Reply::NonceRequired,
        // A server refuses a proof or an assertion with the wrong time like this.
        Err(Some("invalid_dpop_proof" | "invalid_client")) => Reply::ProofRefused,
        Err(_) => Reply::Other,
    }
}

/// The label `result` of the metric that counts token requests.
pub(super) fn result_name(error: &Error) -> &'static str {
    match error {
        error if error.oauth_code() == Some(NONCE_REQUIRED) => "nonce",
        Error::Refused { status: StatusCode::TOO_MANY_REQUESTS, .. } => "limited",
        Error::Refused { status, .. } if status.is_server_error() => "failed",
        Error::Refused { .. } => "refused",
        Error::TokenType { .. } | Error::Issuer { .. } | Error::Malformed { .. } => "malformed",
        _ => "unreachable",
    }
}

/// A word that could be a token type. Anything else may repeat what the server was sent.
fn token_type_word(text: &str) -> String {
    let is_word = text.len() <= WORD_CHARS_MAX && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    if is_word { text.to_owned() } else { "…".to_owned() }
}
