//! What a resource server asks for with `WWW-Authenticate` (RFC 9110 section 11.6.1).

use http::{HeaderMap, StatusCode, header};

use crate::conversation::Reply;
use crate::foreign;

/// Servers differ in whether a nonce challenge is a 401 or a 400. Both are understood.
pub(super) fn read(status: StatusCode, headers: &HeaderMap) -> Reply {
    if status.is_success() {
        return Reply::Accepted;
    }
    if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST) {
        return Reply::Other;
    }
    let mut errors = challenges(headers).flat_map(|challenge| parameters(challenge, "error"));
    let reply = errors.find_map(|error| match error.as_str() {
        // RFC 9449 section 9.
        "use_dpop_nonce" => Some(Reply::NonceRequired),
        // RFC 6750 section 3.1.
        "invalid_token" if status == StatusCode::UNAUTHORIZED => Some(Reply::TokenRefused),
        // RFC 9449 section 7.1.
        "invalid_dpop_proof" => Some(Reply::ProofRefused),
        _ => None,
    });
    // A 400 that speaks of DPoP is about the proof, whatever its code.
    let is_about_proof = |challenge: &str| {
        challenge.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("dpop "))
            && !parameters(challenge, "error").is_empty()
    };
    reply.unwrap_or_else(|| {
        match status == StatusCode::BAD_REQUEST && challenges(headers).any(is_about_proof) {
            true => Reply::ProofRefused,
            false => Reply::Other,
        }
    })
}

/// Why the server refused: its code and its description, as far as they are fit to be shown.
pub(super) fn reason(headers: &HeaderMap) -> Option<String> {
    let first =
        |name| challenges(headers).find_map(|challenge| parameters(challenge, name).into_iter().next());
    let words: Vec<_> = [first("error"), first("error_description")].into_iter().flatten().collect();
    foreign::prose(&words.join(": "), &[])
}

fn challenges(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok())
}

/// The values of all parameters of this name, whatever the scheme: they can only be about our request.
fn parameters(challenge: &str, wanted: &str) -> Vec<String> {
    let parts = split_outside_quotes(challenge);
    let parameters = parts.iter().filter_map(|part| part.split_once('='));
    parameters
        .filter(|(name, _)| {
            // The first parameter follows its scheme: `DPoP error`.
            name.split_whitespace().next_back().is_some_and(|name| name.eq_ignore_ascii_case(wanted))
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
        check(400, r#"DPoP error="invalid_request", algs="ES256""#, Reply::ProofRefused);
        check(400, r#"dpop algs="ES256""#, Reply::Other);
        check(401, r#"DPoP error="invalid_request""#, Reply::Other);
        check(403, r#"DPoP error="insufficient_scope""#, Reply::Other);
        check(200, r#"DPoP error="use_dpop_nonce""#, Reply::Accepted);
        for broken in ["", ",", "=", "DPoP", "DPoP error", r#"DPoP error=""#, r#"DPoP error="\"#] {
            check(401, broken, Reply::Other);
        }
    }

    #[test]
    fn the_servers_reason_is_shown_and_credentials_in_it_are_not() {
        let reason = |header: &str| {
            reason(&HeaderMap::from_iter([(header::WWW_AUTHENTICATE, header.parse().unwrap())]))
        };
        let rows = [
            (
                r#"DPoP error="invalid_token", error_description="no cnf.jkt""#,
                Some("invalid_token: no cnf.jkt"),
            ),
            (r#"Bearer error=invalid_token"#, Some("invalid_token")),
            (r#"DPoP error_description="a, \"b\" c""#, Some("a, … c")),
            (r#"DPoP error="eyJhbGciOiJFUzI1NiJ9.e30.x""#, None),
            (r#"DPoP algs="ES256""#, None),
        ];
        for (header, expected) in rows {
            assert_eq!(reason(header).as_deref(), expected, "{header}");
        }
    }
}
