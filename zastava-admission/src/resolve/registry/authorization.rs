//! What a registry is shown instead of a password: a token for one repository, or the login itself where the registry knows
//! no tokens.
//!
//! The flow is that of the distribution project's token specification. The registry answers 401 and says where its tokens are
//! issued; whoever may pull gets one there, with or without a login.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Uri};
use serde::Deserialize;
use tokio::time::Instant;
use zastava_core::json;
use zastava_core::secret::Secret;

use super::challenge::Challenge;
use super::credentials::Login;

/// Repositories for which a header is kept.
const KEPT_MAX: usize = 256;
/// A token that ends sooner is not kept.
const LIFE_MIN: Duration = Duration::from_secs(10);
/// The token specification's default.
const TOKEN_LIFE_DEFAULT_SECONDS: u64 = 60;
/// How long a login or a token is used without asking for it anew.
const LIFE_MAX: Duration = Duration::from_secs(300);
const LOGIN_LIFE: Duration = Duration::from_secs(60);

/// A header `Authorization`, and how long it may be used.
#[derive(Clone, Debug)]
pub(super) struct Authorization {
    pub(super) header: HeaderValue,
    life: Duration,
}

/// What the registry wants to be shown.
#[derive(Debug)]
pub(super) enum Wanted {
    Login(Authorization),
    /// A token, which this address issues.
    Token(Uri),
}

/// Where a registry may send us for a token.
#[derive(Debug)]
pub(super) struct TokenPlaces {
    /// The registry's own host and port, and those of the setting `tokenHost`.
    pub(super) hosts: Vec<String>,
    pub(super) allow_http: bool,
}

impl Authorization {
    pub(super) fn login(login: &Login) -> Option<Self> {
        Some(Self { header: header("Basic", login.basic.expose())?, life: LOGIN_LIFE })
    }

    /// Reads the answer of a token's issuer.
    pub(super) fn token(answer: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Issued {
            token: Option<String>,
            access_token: Option<String>,
            expires_in: Option<u64>,
        }
        let Issued { token, access_token, expires_in } = json::from_slice(answer).ok()?;
        let token = Secret::new(token.filter(|token| !token.is_empty()).or(access_token)?);
        let seconds = expires_in.unwrap_or(TOKEN_LIFE_DEFAULT_SECONDS);
        let life = Duration::from_secs(seconds).saturating_sub(LIFE_MIN).min(LIFE_MAX);
        Some(Self { header: header("Bearer", token.expose())?, life })
    }
}

fn header(scheme: &str, credentials: &str) -> Option<HeaderValue> {
    let text = Secret::new(format!("{scheme} {credentials}"));
    let mut header = HeaderValue::from_str(text.expose()).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// What the challenges of a 401 ask for. The error says why it is not done.
pub(super) fn wanted(
    headers: &HeaderMap,
    repository: &str,
    login: Option<&Login>,
    places: &TokenPlaces,
) -> Result<Wanted, &'static str> {
    let challenges = Challenge::all(headers);
    let of_scheme = |scheme| challenges.iter().find(|challenge| challenge.scheme == scheme);
    if let Some(bearer) = of_scheme("bearer") {
        return Ok(Wanted::Token(places.token_uri(bearer, repository)?));
    }
    match (of_scheme("basic"), login) {
        (Some(_), Some(login)) => {
            Authorization::login(login).map(Wanted::Login).ok_or("the login for it cannot be sent")
        }
        (Some(_), None) => Err("it asks for a login, and there is none for it"),
        (None, _) => Err("it asks for neither a token nor a login"),
    }
}

impl TokenPlaces {
    /// The address of a token for pulling from the repository. The registry names it, and could name any; only a known host
    /// is asked, with or without a login.
    fn token_uri(&self, bearer: &Challenge, repository: &str) -> Result<Uri, &'static str> {
        let realm = bearer.parameter("realm").ok_or("it does not say who issues its tokens")?;
        let uri: Uri = realm.parse().map_err(|_| "the address of its tokens is malformed")?;
        let default_port = match uri.scheme_str() {
            Some("https") => 443,
            Some("http") if self.allow_http => 80,
            _ => return Err("its tokens are not issued by https"),
        };
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if !self.hosts.iter().any(|host| with_port(host, default_port) == with_port(authority, default_port))
        {
            return Err("its tokens are issued by another host, which tokenHost does not name");
        }
        let mut text = realm.split('#').next().unwrap_or_default().to_owned();
        text.push(if uri.query().is_some() { '&' } else { '?' });
        if let Some(service) = bearer.parameter("service") {
            text += &format!("service={}&", encoded(service));
        }
        let own = || format!("repository:{repository}:pull");
        let scope = bearer.parameter("scope").map_or_else(own, str::to_owned);
        text += &format!("scope={}", encoded(&scope));
        text.parse().map_err(|_| "the address of its tokens is malformed")
    }
}

fn with_port(authority: &str, default_port: u16) -> String {
    let authority = authority.to_ascii_lowercase();
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    if has_port { authority } else { format!("{authority}:{default_port}") }
}

/// As the value of a query's parameter (RFC 3986 section 2.1).
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            byte => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

/// The headers in use, by repository.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<HashMap<String, (HeaderValue, Instant)>>);

impl Kept {
    pub(super) fn header(&self, repository: &str) -> Option<HeaderValue> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(repository).filter(|(_, until)| Instant::now() < *until).map(|(header, _)| header.clone())
    }

    /// Keeps a header that the registry took.
    pub(super) fn keep(&self, repository: &str, Authorization { header, life }: Authorization) {
        let now = Instant::now();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.retain(|_, (_, until)| now < *until);
        }
        if !life.is_zero() && (kept.len() < KEPT_MAX || kept.contains_key(repository)) {
            kept.insert(repository.to_owned(), (header, now + life));
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    fn places(allow_http: bool) -> TokenPlaces {
        TokenPlaces { hosts: vec!["registry.example:5000".into(), "auth.example".into()], allow_http }
    }

    fn asked(challenge: &str, allow_http: bool) -> Result<String, &'static str> {
        let headers = HeaderMap::from_iter([(header::WWW_AUTHENTICATE, challenge.parse().unwrap())]);
        match wanted(&headers, "a/b", None, &places(allow_http))? {
            Wanted::Token(uri) => Ok(uri.to_string()),
            Wanted::Login(_) => panic!("there is no login"),
        }
    }

    #[test]
    fn tokens_are_fetched_from_known_hosts_alone() {
        const QUERY: &str = "service=r%20x&scope=repository%3Aa%2Fb%3Apull";
        let bearer = |realm: &str| format!(r#"Bearer realm="{realm}",service="r x""#);
        for (realm, allow_http, expected) in [
            ("https://auth.example/token", false, Some("https://auth.example/token?")),
            ("https://AUTH.example:443/token?a=b", false, Some("https://AUTH.example:443/token?a=b&")),
            ("https://registry.example:5000/token", false, Some("https://registry.example:5000/token?")),
            ("http://registry.example:5000/token", true, Some("http://registry.example:5000/token?")),
            ("http://registry.example:5000/token", false, None),
            ("https://registry.example/token", false, None),
            ("https://registry.example:5000.evil.example/token", false, None),
            ("https://auth.example@evil.example/token", false, None),
            ("https://user@auth.example/token", false, None),
            ("https://evil.example/auth.example", false, None),
            ("ftp://auth.example/", true, None),
            ("/token", true, None),
            ("", true, None),
        ] {
            let expected = expected.map(|start| format!("{start}{QUERY}"));
            assert_eq!(asked(&bearer(realm), allow_http).ok(), expected, "{realm}");
        }
        let scoped = r#"Bearer realm="https://auth.example/t",scope="repository:hub/a/b:pull""#;
        assert_eq!(
            asked(scoped, false),
            Ok("https://auth.example/t?scope=repository%3Ahub%2Fa%2Fb%3Apull".to_owned())
        );
    }

    #[test]
    fn a_login_goes_only_where_it_is_asked_for() {
        let login = Login { basic: Secret::new("dTpw".to_owned()) };
        let wanted = |challenge: &str, login| {
            let headers = HeaderMap::from_iter([(header::WWW_AUTHENTICATE, challenge.parse().unwrap())]);
            wanted(&headers, "a/b", login, &places(false))
        };
        let Ok(Wanted::Login(found)) = wanted("Basic realm=x", Some(&login)) else { panic!("a login") };
        assert_eq!(found.header, "Basic dTpw");
        assert!(!format!("{found:?}").contains("dTpw"));
        assert!(wanted("Basic realm=x", None).is_err());
        assert!(wanted("Negotiate", Some(&login)).is_err());
        assert!(wanted("", Some(&login)).is_err());
    }

    #[test]
    fn what_an_issuer_answers_is_a_token_or_nothing() {
        let life = |answer: &str| {
            let token = Authorization::token(answer.as_bytes());
            token.map(|token| (token.header.to_str().unwrap().to_owned(), token.life.as_secs()))
        };
        let bearer = |text: &str| format!("Bearer {text}");
        assert_eq!(life(r#"{"token": "a"}"#), Some((bearer("a"), 50)));
        assert_eq!(life(r#"{"access_token": "b", "expires_in": 300}"#), Some((bearer("b"), 290)));
        assert_eq!(life(r#"{"token": "", "access_token": "b", "expires_in": 9}"#), Some((bearer("b"), 0)));
        assert_eq!(life(r#"{"token": "a", "expires_in": 86400}"#), Some((bearer("a"), 300)));
        for broken in ["", "{}", "[]", r#"{"token": "a\nb"}"#, r#"{"token": "a", "expires_in": -1}"#] {
            assert_eq!(life(broken), None, "{broken}");
        }
    }
}
