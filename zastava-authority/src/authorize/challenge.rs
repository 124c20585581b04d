//! What a resource server asks for with `WWW-Authenticate` (RFC 9110 section 11.6.1).

use http::{HeaderMap, StatusCode, header};

use crate::conversation::Reply;

/// Servers differ in whether a nonce challenge is a 401 or a 400. Both are understood.
pub(super) fn read(status: StatusCode, headers: &HeaderMap) -> Reply {
    if status.is_success() {
        return Reply::Accepted;
    }
    if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST) {
        return Reply::Other;
    }
    let values = headers.get_all(header::WWW_AUTHENTICATE);
    let mut errors = values.iter().filter_map(|value| value.to_str().ok()).flat_map(errors);
    let reply = errors.find_map(|error| match error.as_str() {
        // RFC 9449 section 9.
        "use_dpop_nonce" => Some(Reply::NonceRequired),
        // RFC 6750 section 3.1.
        "invalid_token" if status == StatusCode::UNAUTHORIZED => Some(Reply::TokenRefused),
        // RFC 9449 section 7.1.
        "invalid_dpop_proof" => Some(Reply::ProofRefused),
        _ => None,
    });
    reply.unwrap_or(Reply::Other)
}

/// The values of all `error` parameters, whatever the scheme: they can only be about our request.
fn errors(header: &str) -> Vec<String> {
    let parts = split_outside_quotes(header);
    let parameters = parts.iter().filter_map(|part| part.split_once('='));
    parameters
        .filter(|(name, _)| {
            // The first parameter follows its scheme: `DPoP error`.
            name.split_whitespace().next_back().is_some_and(|name| name.eq_ignore_ascii_case("error"))
        })
        .map(|(_, value)| unquoted(value.trim()))
        .collect()
}

/// Splits at commas outside of quoted strings.
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

/// Removes the quotes and escapes of a quoted string. A token stays as it is.
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

    #[track_caller]
    fn check(status: u16, header: &str, expected: Reply) {
        let headers = HeaderMap::from_iter([(header::WWW_AUTHENTICATE, header.parse().unwrap())]);
        assert_eq!(read(StatusCode::from_u16(status).unwrap(), &headers), expected, "{status} {header}");
    }

    #[test]
    fn challenges_are_found_among_others() {
        check(401, r#"DPoP error="use_dpop_nonce", algs="ES256""#, Reply::NonceRequired);
        check(400, r#"DPoP error="use_dpop_nonce""#, Reply::NonceRequired);
        check(401, "dpop ERROR=use_dpop_nonce", Reply::NonceRequired);
        check(401, r#"DPoP algs="ES256 PS256", error="invalid_token""#, Reply::TokenRefused);
        check(401, r#"Bearer realm="a, b", DPoP error = "invalid_token""#, Reply::TokenRefused);
        check(401, r#"Bearer error="invalid\_token""#, Reply::TokenRefused);
        check(401, r#"DPoP error_description="say error=\"invalid_token\", please""#, Reply::Other);
        check(401, r#"DPoP error="invalid_dpop_proof""#, Reply::ProofRefused);
        check(400, r#"Bearer error="invalid_token""#, Reply::Other);
        check(403, r#"DPoP error="insufficient_scope""#, Reply::Other);
        check(200, r#"DPoP error="use_dpop_nonce""#, Reply::Accepted);
        for broken in ["", ",", "=", "DPoP", "DPoP error", r#"DPoP error=""#, r#"DPoP error="\"#] {
            check(401, broken, Reply::Other);
        }
    }
}
