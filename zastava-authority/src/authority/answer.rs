//! What Authority answers to a token request: RFC 6749 sections 5.1 and 5.2.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Deserialize;
use zastava_core::clock::Timestamp;
use zastava_core::json;
use zastava_core::scanner::retry_after;
use zastava_core::secret::Secret;

use crate::conversation::Reply;
use crate::encoding::is_token68;
use crate::error::{Asked, Error};
use crate::foreign;

/// The lifetime of a token whose answer does not state it: `expires_in` is optional (RFC 6749 section
/// 5.1).
const LIFETIME_DEFAULT: Duration = Duration::from_secs(120);
/// Longer lifetimes are cut to this.
const LIFETIME_MAX: Duration = Duration::from_secs(24 * 3600);
/// Errors repeat no longer words of a server than these. A part of a secret this short is of no use.
const CODE_CHARS_MAX: usize = 40;
const WORD_CHARS_MAX: usize = 11;

const NONCE_REQUIRED: &str = "use_dpop_nonce";

/// Reads the token of a success, if it is of the expected type, and its lifetime.
pub(super) fn read(
    answer: &Response<Bytes>,
    expected: &'static str,
    url: &str,
) -> Result<(Secret, Duration), Error> {
    let malformed = |reason| Error::Malformed { url: url.to_owned(), reason };
    let raw: RawToken = json::from_slice(answer.body()).map_err(|_| malformed("it holds no token"))?;
    let token = Secret::new(raw.access_token);
    if !raw.token_type.eq_ignore_ascii_case(expected) {
        return Err(Error::TokenType { expected, found: token_type_word(&raw.token_type) });
    }
    if !is_token68(token.expose()) {
        return Err(malformed("its token cannot stand in a header"));
    }
    let lifetime = raw.expires_in.map_or(Ok(LIFETIME_DEFAULT), RawLifetime::duration).map_err(malformed)?;
    Ok((token, lifetime.min(LIFETIME_MAX)))
}

/// Keeps the code, and the description as far as it cannot repeat `secret` or another credential.
pub(super) fn refusal(
    answer: &Response<Bytes>,
    asked: Arc<Asked>,
    secret: Option<&str>,
    now: Timestamp,
) -> Error {
    let raw: RawRefusal = json::from_slice(answer.body()).unwrap_or_default();
    let is_code = |code: &String| {
        (1..=CODE_CHARS_MAX).contains(&code.len())
            && foreign::is_plain(code)
            && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let secrets: Vec<&str> = secret.into_iter().collect();
    let description = raw.error_description.and_then(|text| foreign::prose(&text, &secrets));
    let retry_after = retry_after(answer.headers(), now);
    Error::Refused {
        status: answer.status(),
        code: raw.error.filter(is_code),
        description,
        asked,
        retry_after,
    }
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
    fn duration(self) -> Result<Duration, &'static str> {
        let seconds = match self {
            Self::Number(seconds) => Some(seconds),
            Self::Text(text) => text.parse().ok(),
        };
        match seconds {
            // Rounded down, and to what a duration can hold.
            Some(seconds) if seconds >= 1.0 => Ok(Duration::from_secs(seconds as u64)),
            Some(0.0..1.0) => Err("its token has no life"),
            _ => Err("its expires_in is no number of seconds"),
        }
    }
}

#[derive(Default, Deserialize)]
struct RawRefusal {
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    error_description: Option<String>,
}

/// What the outcome says about the attempt.
pub(super) fn reply<T>(outcome: &Result<T, Error>) -> Reply {
    match outcome {
        Ok(_) => Reply::Accepted,
        // RFC 9449 section 8: status 400. Some servers answer 401.
        Err(error) if error.oauth_code() == Some(NONCE_REQUIRED) => Reply::NonceRequired,
        // Servers disagree on the code for a proof or an assertion with the wrong time: `invalid_dpop_proof`,
        // `invalid_client`, `invalid_request`, `invalid_grant`. So any 400 may be about the time.
        Err(Error::Refused { status: StatusCode::BAD_REQUEST, .. }) => Reply::ProofRefused,
        Err(error) if matches!(error.oauth_code(), Some("invalid_dpop_proof" | "invalid_client")) => {
            Reply::ProofRefused
        }
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
        Error::TokenType { .. }
        | Error::Claim { .. }
        | Error::Issuer { .. }
        | Error::Malformed { .. }
        | Error::Unsupported { .. } => "malformed",
        _ => "unreachable",
    }
}

/// A word that could be a token type. Anything else may repeat what the server was sent.
fn token_type_word(text: &str) -> String {
    let is_word = text.len() <= WORD_CHARS_MAX && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    if is_word { text.to_owned() } else { "…".to_owned() }
}
