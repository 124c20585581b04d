//! What a resource server asks for with `WWW-Authenticate` (RFC 9110 section 11.6.1).

use http::{HeaderMap, StatusCode, header};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A proof with a newer nonce (RFC 9449 section 9).
    Nonce,
    /// Another token (RFC 6750 section 3.1).
    InvalidToken,
    /// Another proof: it was wrong, perhaps about the time (RFC 9449 section 7.1).
    InvalidProof,
}

/// Servers differ in whether a nonce challenge is a 401 or a 400; both are understood.
pub(super) fn read(status: StatusCode, headers: &HeaderMap) -> Option<Challenge> {
    if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST) {
        return None;
    }
    let values = headers.get_all(header::WWW_AUTHENTICATE);
    let mut errors = values.iter().filter_map(|value| value.to_str().ok()).flat_map(errors);
    errors.find_map(|error| match error.as_str() {
        "use_dpop_nonce" => Some(Challenge::Nonce),
        "invalid_token" if status == StatusCode::UNAUTHORIZED => Some(Challenge::InvalidToken),
        "invalid_dpop_proof" => Some(Challenge::InvalidProof),
        _ => None,
    })
}

/// The values of all `error` parameters, whatever the scheme: ours are all that it can be about.
fn errors(header: &str) -> Vec<String> {
    let parts = split_outside_quotes(header);
    let parameters = parts.iter().filter_map(|part| part.split_once('='));
    parameters
        .filter(|(name, _)| {
            // The first parameter stands behind its scheme: `DPoP error`.
            name.split_whitespace().next_back().is_some_and(|name| name.eq_ignore_ascii_case("error"))
        })
        .map(|(_, value)| unquoted(value.trim()))
        .collect()
}

/// Splits at commas that stand in no quoted string.
fn split_outside_quotes(text: &str) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(|character| {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            ',' => return !quoted,
            _ => {}
        }
        false
    })
    .collect()
}

/// A token as it is; a quoted string without quotes and escapes.
fn unquoted(value: &str) -> String {
    match value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) {
        None => value.to_owned(),
        Some(inner) => {
            let mut escaped = false;
            inner
                .chars()
                .filter(|character| {
                    escaped = !escaped && *character == '\\';
                    !escaped
                })
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, header: &str, expected: Option<Challenge>) {
        let headers = HeaderMap::from_iter([(header::WWW_AUTHENTICATE, header.parse().unwrap())]);
        assert_eq!(read(StatusCode::from_u16(status).unwrap(), &headers), expected, "{status} {header}");
    }

    #[test]
    fn challenges_are_found_among_others() {
        let (nonce, invalid) = (Some(Challenge::Nonce), Some(Challenge::InvalidToken));
        check(401, r#"DPoP error="use_dpop_nonce", algs="ES256""#, nonce);
        check(400, r#"DPoP error="use_dpop_nonce""#, nonce);
        check(401, r#"DPoP algs="ES256 PS256", error="invalid_token""#, invalid);
        check(401, "dpop ERROR=use_dpop_nonce", nonce);
        check(401, r#"Bearer realm="a, b", DPoP error = "invalid_token""#, invalid);
        check(401, r#"Bearer error="invalid\_token""#, invalid);
        check(401, r#"DPoP error_description="say error=\"invalid_token\", please""#, None);
        check(401, r#"DPoP error="invalid_dpop_proof""#, Some(Challenge::InvalidProof));
        check(400, r#"Bearer error="invalid_token""#, None);
        check(403, r#"DPoP error="insufficient_scope""#, None);
        check(200, r#"DPoP error="use_dpop_nonce""#, None);
        for broken in ["", ",", "=", "DPoP", "DPoP error", r#"DPoP error=""#, r#"DPoP error="\"#] {
            check(401, broken, None);
        }
    }
}
