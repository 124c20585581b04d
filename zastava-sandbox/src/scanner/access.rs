//! Whether a request may be served: RFC 9449 section 7.1.

use http::request::Parts;
use http::{StatusCode, Uri, header};
use serde_json::Value;
use zastava_authority::verify::ReceivedProof;
use zastava_core::clock::Timestamp;

use super::{AUDIENCE, SCOPE};
use crate::answer::{Answer, problem, set_header};
use crate::shared::Shared;

/// Why a request is not served.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    /// The OAuth error code; none for a request without credentials (RFC 6750 section 3.1).
    code: Option<&'static str>,
    reason: String,
}

/// Checks the token, then the proof: a proof is spent only on a request that would be served.
pub(super) fn authorize(shared: &Shared, parts: &Parts, now: Timestamp) -> Result<(), Refusal> {
    if is_static_token(shared, parts) {
        return Ok(());
    }
    let checked = token(parts).and_then(|token| Ok((token, check_token(shared, token, now)?)));
    let (token, thumbprint) = checked.inspect_err(|refusal| {
        tracing::debug!(reason = refusal.reason, "token refused");
        if refusal.code.is_some() {
            shared.count(|counts| counts.tokens_refused += 1);
        }
    })?;
    let uri = format!("{}{}", shared.scanner_url, parts.uri.path()).parse::<Uri>().unwrap_or_default();
    let received = ReceivedProof {
        method: &parts.method,
        uri: &uri,
        headers: &parts.headers,
        access_token: Some(token),
        thumbprint: Some(&thumbprint),
    };
    let verified = shared.verify(&shared.scanner_proofs, &received, now);
    verified.map(drop).map_err(|error| Refusal::unauthorized(error.oauth_code(), &error.to_string()))
}

/// Whether the request carries the bearer token that was handed out for the bootstrap.
fn is_static_token(shared: &Shared, parts: &Parts) -> bool {
    let value = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = value.and_then(|value| value.strip_prefix("Bearer "));
    let known = shared.options.static_token.as_ref();
    token.zip(known).is_some_and(|(token, known)| token == known.expose())
}

/// The token of the one `Authorization: DPoP` header.
fn token(parts: &Parts) -> Result<&str, Refusal> {
    let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) => value,
        (None, _) => {
            let reason = "a token is required".to_owned();
            return Err(Refusal { status: StatusCode::UNAUTHORIZED, code: None, reason });
        }
        (_, Some(_)) => {
            let reason = "more than one Authorization header".to_owned();
            return Err(Refusal { status: StatusCode::BAD_REQUEST, code: None, reason });
        }
    };
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).unwrap_or_default();
    if scheme.eq_ignore_ascii_case("dpop") {
        return Ok(token.trim());
    }
    // Section 7.2: a bound token must not be taken as a bearer token.
    Err(Refusal::invalid_token("the token is bound to a key and needs the scheme DPoP"))
}

/// The thumbprint of the key that a good token is bound to.
fn check_token(shared: &Shared, token: &str, now: Timestamp) -> Result<String, Refusal> {
    let invalid = Refusal::invalid_token;
    let claims = shared.token_key.verify(token).ok_or_else(|| invalid("the token is not of this issuer"))?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("iss") != shared.issuer {
        return Err(invalid("the token is another issuer's"));
    }
    if text("aud") != AUDIENCE {
        return Err(invalid("the token is for another audience"));
    }
    if claims.get("exp").and_then(Value::as_i64).is_none_or(|expiry| expiry <= now.unix_seconds()) {
        return Err(invalid("the token has expired"));
    }
    let thumbprint = claims.get("cnf").and_then(|cnf| cnf.get("jkt")).and_then(Value::as_str);
    let thumbprint = thumbprint.ok_or_else(|| invalid("the token is bound to no key"))?;
    if !text("scope").split(' ').any(|scope| scope == SCOPE) {
        let reason = format!("the token lacks the scope {SCOPE}");
        return Err(Refusal { status: StatusCode::FORBIDDEN, code: Some("insufficient_scope"), reason });
    }
    Ok(thumbprint.to_owned())
}

impl Refusal {
    fn unauthorized(code: &'static str, reason: &str) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, code: Some(code), reason: reason.to_owned() }
    }

    fn invalid_token(reason: &str) -> Self {
        Self::unauthorized("invalid_token", reason)
    }

    pub(super) fn answer(&self) -> Answer {
        let kind = match self.status {
            StatusCode::UNAUTHORIZED => "unauthorized",
            StatusCode::FORBIDDEN => "forbidden",
            _ => "invalid-request",
        };
        let mut answer = problem(self.status, kind, &self.reason);
        // The reasons above and those of proofs need no escapes.
        let challenge = match self.code {
            Some(code) => {
                format!(r#"DPoP error="{code}", error_description="{}", algs="ES256""#, self.reason)
            }
            None => r#"DPoP algs="ES256""#.to_owned(),
        };
        if self.status != StatusCode::BAD_REQUEST {
            set_header(&mut answer, "www-authenticate", &challenge);
        }
        answer
    }
}
