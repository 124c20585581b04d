//! `zastava.runtime.authority`: how tokens are requested and what they must be.

mod builder;
mod static_token;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use self::builder::{AuthorityOptionsBuilder, OptionsFault, OptionsFaults};
pub use self::static_token::{StaticTokenOptions, StaticTokenSource};
use crate::config::Section;

/// The OAuth 2.0 client that gets OpToks from Authority.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuthorityOptions {
    /// The issuer's URL; `https` unless `allow_insecure_http`.
    pub issuer: http::Uri,
    /// The path of the token endpoint below the issuer. Used when the issuer has no discovery document.
    pub token_path: String,
    /// The id of the OAuth client.
    pub client_id: String,
    /// The default audience. A token has one audience.
    pub audience: String,
    /// The requested scopes, for every audience that `audience_scopes` does not name.
    pub scopes: Vec<String>,
    /// The requested scopes of single audiences.
    pub audience_scopes: BTreeMap<String, Vec<String>>,
    /// Whether tokens must have the type `DPoP` (RFC 9449).
    pub require_dpop: bool,
    /// Whether the token endpoint requires a client certificate (RFC 8705).
    pub require_mutual_tls: bool,
    /// Whether the issuer and its token endpoint may be `http` URLs. Only for labs.
    pub allow_insecure_http: bool,
    /// The token to use until Authority first answers. `None` when a static token is not allowed.
    pub static_token: Option<StaticTokenOptions>,
    /// How long before its expiry a token is refreshed, at most half of its lifetime.
    pub refresh_skew: Duration,
    /// The directory of cached tokens and the control socket. Its mode is 0700.
    pub cache_dir: PathBuf,
    /// PEM or JWK file of the P-256 key that tokens are bound to. `None`: a new key for each run.
    pub dpop_key_path: Option<PathBuf>,
    /// PEM file of the client certificate chain.
    pub client_certificate_path: Option<PathBuf>,
    /// PEM file of the client certificate's key.
    pub client_key_path: Option<PathBuf>,
    /// File that holds the client secret, where mutual TLS is not required.
    pub client_secret_path: Option<PathBuf>,
    /// PEM or JWK file of the P-256 key that signs client assertions (`private_key_jwt`).
    pub client_assertion_key_path: Option<PathBuf>,
    /// The `kid` in the header of client assertions. `None`: that of the JWK, or none.
    pub client_assertion_key_id: Option<String>,
    /// PEM file of the certificate authorities that are trusted. `None`: those of the system.
    pub ca_bundle_path: Option<PathBuf>,
    /// How long one request to Authority may take.
    pub request_timeout: Duration,
}

impl AuthorityOptions {
    /// Options in code, with the defaults of the settings. [`build`](AuthorityOptionsBuilder::build) checks
    /// them as reading does.
    pub fn builder(issuer: http::Uri) -> AuthorityOptionsBuilder {
        AuthorityOptionsBuilder::new(Self::new(issuer))
    }

    fn new(issuer: http::Uri) -> Self {
        Self {
            issuer,
            token_path: "/token".to_owned(),
            client_id: "zastava-runtime".to_owned(),
            audience: "scanner".to_owned(),
            scopes: vec!["aud:scanner".to_owned(), "api:scanner.runtime.write".to_owned()],
            audience_scopes: BTreeMap::new(),
            require_dpop: true,
            require_mutual_tls: true,
            allow_insecure_http: false,
            static_token: None,
            refresh_skew: Duration::from_secs(120),
            cache_dir: PathBuf::from("/var/run/zastava/optok"),
            dpop_key_path: None,
            client_certificate_path: None,
            client_key_path: None,
            client_secret_path: None,
            client_assertion_key_path: None,
            client_assertion_key_id: None,
            ca_bundle_path: None,
            request_timeout: Duration::from_secs(10),
        }
    }

    /// Reads the section `zastava.runtime.authority`.
    #[must_use]
    pub fn read(section: &Section<'_>) -> Option<Self> {
        let issuer: Option<http::Uri> = section.required("issuer");
        let defaults = Self::new(issuer.clone().unwrap_or_default());
        let allow_insecure_http = section.value("allowInsecureHttp", defaults.allow_insecure_http);
        let options = Self {
            token_path: section.checked("tokenPath", defaults.token_path, ROOTED, |path| is_rooted(path)),
            client_id: section.value("clientId", defaults.client_id),
            audience: section.value("audience", defaults.audience),
            scopes: section.list("scopes", defaults.scopes),
            audience_scopes: read_audience_scopes(section),
            require_dpop: section.value("requireDpop", defaults.require_dpop),
            require_mutual_tls: section.value("requireMutualTls", defaults.require_mutual_tls),
            allow_insecure_http,
            static_token: StaticTokenOptions::read(section),
            refresh_skew: section.value("refreshSkewSeconds", defaults.refresh_skew),
            cache_dir: section.value("cacheDir", defaults.cache_dir),
            dpop_key_path: section.optional("dpopKeyPath"),
            client_certificate_path: section.optional("clientCertificatePath"),
            client_key_path: section.optional("clientKeyPath"),
            client_secret_path: section.optional("clientSecretPath"),
            client_assertion_key_path: section.optional("clientAssertionKeyPath"),
            client_assertion_key_id: section.optional("clientAssertionKeyId"),
            ca_bundle_path: section.optional("caBundlePath"),
            request_timeout: section.checked(
                "requestTimeoutSeconds",
                defaults.request_timeout,
                "more than nothing",
                |timeout| !timeout.is_zero(),
            ),
            issuer: defaults.issuer,
        };
        options.conflicts().into_iter().for_each(|(key, text)| section.conflict(key, text));
        section.finish();
        issuer.map(|_| options)
    }

    /// The scopes that a token for this audience is requested with.
    #[must_use]
    pub fn scopes_for(&self, audience: &str) -> &[String] {
        self.audience_scopes.get(audience).unwrap_or(&self.scopes)
    }

    /// What contradicts what, each under the key that must change.
    fn conflicts(&self) -> Vec<(&'static str, String)> {
        let mut conflicts = Vec::new();
        let mut report = |key, text: &str| conflicts.push((key, text.to_owned()));
        if self.issuer.scheme_str() == Some("http") && !self.allow_insecure_http {
            report("issuer", "must be https; allowInsecureHttp takes http in a lab");
        }
        let listed = [("scopes", &self.scopes)].into_iter();
        for (key, scopes) in listed.chain(self.audience_scopes.values().map(|own| ("audienceScopes", own))) {
            for scope in scopes.iter().filter(|scope| !is_scope(scope)) {
                report(key, &format!("{scope:?} is not one scope; each is an item of its own"));
            }
        }
        if self.client_secret_path.is_some() && self.client_assertion_key_path.is_some() {
            report("clientSecretPath", "clientAssertionKeyPath is set too; one of them must go");
        }
        if self.client_assertion_key_id.is_some() && self.client_assertion_key_path.is_none() {
            report("clientAssertionKeyId", "names the key of clientAssertionKeyPath, which is not set");
        }
        let certificate = self.client_certificate_path.is_some();
        if certificate != self.client_key_path.is_some() {
            let missing = if certificate { "clientKeyPath" } else { "clientCertificatePath" };
            report(missing, "clientCertificatePath and clientKeyPath go together");
        } else if self.require_mutual_tls && !certificate {
            report(
                "requireMutualTls",
                "needs clientCertificatePath and clientKeyPath; false turns mutual TLS off in a lab",
            );
        }
        conflicts
    }
}

const ROOTED: &str = "a URL path that starts with /";

fn is_rooted(path: &str) -> bool {
    path.starts_with('/') && path.parse::<http::uri::PathAndQuery>().is_ok()
}

/// RFC 6749, section 3.3: a blank separates scopes.
fn is_scope(scope: &str) -> bool {
    scope.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte))
}

/// Scopes by audience, with blanks between them as on the wire.
fn read_audience_scopes(section: &Section<'_>) -> BTreeMap<String, Vec<String>> {
    let words = |text: String| text.split_ascii_whitespace().map(str::to_owned).collect();
    section.words("audienceScopes").into_iter().map(|(audience, text)| (audience, words(text))).collect()
}
