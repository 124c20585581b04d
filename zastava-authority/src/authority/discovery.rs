//! Where Authority issues tokens, by its metadata or by the configured path.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode, Uri, header};
use serde::Deserialize;
use zastava_core::json;

use crate::error::Error;
use crate::target_uri;

/// An error repeats this much of a foreign issuer.
const FOUND_CHARS_MAX: usize = 100;

/// The URLs of an issuer's metadata, in the order in which they are tried: OpenID Connect Discovery
/// section 4, then RFC 8414 section 3.
pub(super) fn documents(issuer: &Uri) -> [String; 2] {
    let base = base(issuer);
    let origin = base.strip_suffix(issuer.path().trim_end_matches('/')).unwrap_or(&base);
    let path = &base[origin.len()..];
    [
        format!("{base}/.well-known/openid-configuration"),
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
    ]
}

/// What a token request needs to know about its issuer.
#[derive(Clone, Debug)]
pub(super) struct Metadata {
    pub(super) token_endpoint: Uri,
    /// The token endpoint's.
    pub(super) origin: Arc<str>,
    /// The issuer as it spells itself.
    pub(super) issuer: String,
}

impl Metadata {
    fn new(token_endpoint: Uri, issuer: String) -> Self {
        let origin = target_uri::origin(&token_endpoint).unwrap_or_default().into();
        Self { token_endpoint, origin, issuer }
    }
}

/// The metadata of an issuer that publishes none.
pub(super) fn fallback(issuer: &Uri, token_path: &str) -> Result<Metadata, Error> {
    let url = format!("{}{token_path}", base(issuer));
    let token_endpoint =
        url.parse().map_err(|_| Error::Malformed { url, reason: "tokenPath makes no URL of it" })?;
    Ok(Metadata::new(token_endpoint, base(issuer)))
}

/// The issuer as text without a slash at its end.
fn base(issuer: &Uri) -> String {
    issuer.to_string().trim_end_matches('/').to_owned()
}

/// Whether this answer says that there is no such document. All other errors are failures: an outage
/// must not send requests to another place.
pub(super) fn is_absent(status: StatusCode) -> bool {
    status.is_client_error()
        && status != StatusCode::TOO_MANY_REQUESTS
        && status != StatusCode::REQUEST_TIMEOUT
}

/// Whether this is an HTML page, which some servers return for every path that they do not know.
pub(super) fn is_page(answer: &Response<Bytes>) -> bool {
    let media_type = answer.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media_type.is_some_and(|text| text.trim_start().to_ascii_lowercase().starts_with("text/html"))
}

#[derive(Deserialize)]
struct RawMetadata {
    issuer: String,
    token_endpoint: String,
    #[serde(default)]
    mtls_endpoint_aliases: Option<RawAliases>,
    #[serde(default)]
    dpop_signing_alg_values_supported: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct RawAliases {
    #[serde(default)]
    token_endpoint: Option<String>,
}

/// Reads the token endpoint from a document. With a client certificate it is the alias for mutual
/// TLS, if there is one (RFC 8705 section 5).
pub(super) fn read(
    document: &[u8],
    url: &str,
    issuer: &Uri,
    mutual_tls: bool,
    dpop: bool,
) -> Result<Metadata, Error> {
    let malformed = |reason| Error::Malformed { url: url.to_owned(), reason };
    let metadata: RawMetadata =
        json::from_slice(document).map_err(|_| malformed("it is no metadata of an authority"))?;
    check_issuer(&metadata.issuer, issuer)?;
    if let Some(algorithms) = metadata.dpop_signing_alg_values_supported.filter(|_| dpop)
        && !algorithms.iter().any(|algorithm| algorithm == "ES256")
    {
        return Err(Error::Unsupported { url: url.to_owned(), reason: "it takes no DPoP proofs with ES256" });
    }
    let aliases = metadata.mtls_endpoint_aliases.filter(|_| mutual_tls);
    let alias = aliases.and_then(|aliases| aliases.token_endpoint);
    let token_endpoint: Uri = alias
        .unwrap_or(metadata.token_endpoint)
        .parse()
        .map_err(|_| malformed("its token endpoint is no URL"))?;
    if token_endpoint.host().is_none() || token_endpoint.scheme().is_none() {
        return Err(malformed("its token endpoint is no absolute URL"));
    }
    Ok(Metadata::new(token_endpoint, metadata.issuer))
}

/// The issuer must be the same character for character (RFC 8414 section 3.3). An issuer without a
/// path may or may not end with a slash: parsing the setting adds one.
fn check_issuer(found: &str, issuer: &Uri) -> Result<(), Error> {
    let expected = issuer.to_string();
    let same = found == expected || (issuer.path() == "/" && format!("{found}/") == expected);
    if same {
        return Ok(());
    }
    Err(Error::Issuer { expected, found: found.chars().take(FOUND_CHARS_MAX).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_documents_are_where_the_standards_say() {
        let of = |issuer: &str| documents(&issuer.parse().unwrap());
        let (openid, oauth) =
            ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server");
        assert_eq!(of("https://a:1"), [format!("https://a:1{openid}"), format!("https://a:1{oauth}")]);
        assert_eq!(of("https://a/t/1/"), [format!("https://a/t/1{openid}"), format!("https://a{oauth}/t/1")]);
        let found = fallback(&"https://a/t/".parse().unwrap(), "/token").unwrap();
        assert_eq!(
            (found.token_endpoint.to_string().as_str(), found.issuer.as_str()),
            ("https://a/t/token", "https://a/t")
        );
    }

    #[test]
    fn metadata_of_another_issuer_is_thrown_away() {
        let rows = [
            ("https://a", "https://a", true),
            ("https://a", "https://a/", true),
            ("https://a/t", "https://a/t", true),
            ("https://a/t", "https://a/t/", false),
            ("https://a", "https://A", false),
            ("https://a", "https://a:443", false),
            ("https://a", "http://a", false),
            ("https://a/t", "https://a", false),
        ];
        for (issuer, found, expected) in rows {
            let document = format!(r#"{{"issuer":"{found}","token_endpoint":"https://a/token"}}"#);
            let outcome = read(document.as_bytes(), "", &issuer.parse().unwrap(), false, true);
            assert_eq!(
                outcome.ok().map(|known| known.issuer).as_deref(),
                expected.then_some(found),
                "{issuer}"
            );
        }
    }

    #[test]
    fn the_alias_serves_mutual_tls() {
        let document = br#"{"issuer":"https://a","token_endpoint":"https://a/token",
            "mtls_endpoint_aliases":{"token_endpoint":"https://mtls.a/token"}}"#;
        let issuer = "https://a".parse().unwrap();
        let endpoint = |mutual_tls| read(document, "", &issuer, mutual_tls, true).unwrap().token_endpoint;
        assert_eq!(endpoint(true), "https://mtls.a/token");
        assert_eq!(endpoint(false), "https://a/token");
        let none =
            br#"{"issuer":"https://a","token_endpoint":"https://a/token","mtls_endpoint_aliases":null}"#;
        assert_eq!(read(none, "", &issuer, true, true).unwrap().token_endpoint, "https://a/token");
    }

    #[test]
    fn a_server_without_es256_cannot_be_used_for_dpop() {
        let document = br#"{"issuer":"https://a","token_endpoint":"https://a/token",
            "dpop_signing_alg_values_supported":["RS256"]}"#;
        let issuer = "https://a".parse().unwrap();
        assert!(read(document, "", &issuer, false, true).is_err());
        assert!(read(document, "", &issuer, false, false).is_ok());
    }
}
