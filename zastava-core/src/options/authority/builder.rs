//! Authority's options without a configuration, for services that have one of their own.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::{AuthorityOptions, ROOTED, StaticTokenOptions, is_rooted};
use crate::config::SettingValue as _;

/// Makes [`AuthorityOptions`]. What is not set has the default of its setting.
///
/// ```
/// use zastava_core::options::AuthorityOptions;
///
/// let issuer = http::Uri::from_static("https://authority.example");
/// let options = AuthorityOptions::builder(issuer)
///     .client_id("orders")
///     .audience("https://api.example")
///     .scopes(["orders.read"])
///     .client_certificate("/tls/tls.crt", "/tls/tls.key")
///     .build()
///     .unwrap();
/// assert!(options.require_dpop && options.require_mutual_tls);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct AuthorityOptionsBuilder(AuthorityOptions);

/// Why options cannot be used: a setting, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OptionsFault {
    /// The name of the setting, as in a configuration.
    pub key: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

/// All faults of options. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionsFaults(Vec<OptionsFault>);

impl OptionsFaults {
    /// The faults one by one.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &OptionsFault> {
        self.0.iter()
    }
}

impl fmt::Display for OptionsFaults {
    /// One fault a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.iter().map(|fault| format!("{}: {}", fault.key, fault.problem)).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for OptionsFaults {}

impl AuthorityOptionsBuilder {
    pub(super) fn new(options: AuthorityOptions) -> Self {
        Self(options)
    }

    /// The id of the OAuth client.
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.0.client_id = client_id.into();
        self
    }

    /// The default audience.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.0.audience = audience.into();
        self
    }

    /// The scopes of all audiences without scopes of their own.
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.0.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// The scopes of one audience.
    pub fn audience_scopes<S: Into<String>>(
        mut self,
        audience: impl Into<String>,
        scopes: impl IntoIterator<Item = S>,
    ) -> Self {
        let scopes = scopes.into_iter().map(Into::into).collect();
        self.0.audience_scopes.insert(audience.into(), scopes);
        self
    }

    /// Whether tokens must be bound to a key. Default: true.
    pub fn require_dpop(mut self, required: bool) -> Self {
        self.0.require_dpop = required;
        self
    }

    /// Whether Authority requires a client certificate. Default: true.
    pub fn require_mutual_tls(mut self, required: bool) -> Self {
        self.0.require_mutual_tls = required;
        self
    }

    /// A lab switch: `http` URLs are taken.
    pub fn allow_insecure_http(mut self, allowed: bool) -> Self {
        self.0.allow_insecure_http = allowed;
        self
    }

    /// PEM files of the client certificate chain and its key.
    pub fn client_certificate(mut self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        (self.0.client_certificate_path, self.0.client_key_path) = (Some(chain.into()), Some(key.into()));
        self
    }

    /// PEM or JWK file of the P-256 key that tokens are bound to. Without it each run has a new key, and no
    /// token is kept on disk.
    pub fn dpop_key(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.dpop_key_path = Some(path.into());
        self
    }

    /// File of the client secret.
    pub fn client_secret(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.client_secret_path = Some(path.into());
        self
    }

    /// PEM or JWK file of the key that signs client assertions, and the `kid` under which Authority knows
    /// it. A JWK has a `kid` of its own.
    pub fn client_assertion_key(mut self, path: impl Into<PathBuf>, key_id: Option<&str>) -> Self {
        self.0.client_assertion_key_path = Some(path.into());
        self.0.client_assertion_key_id = key_id.map(str::to_owned);
        self
    }

    /// PEM file of the certificate authorities that are trusted. Default: those of the system.
    pub fn ca_bundle(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.ca_bundle_path = Some(path.into());
        self
    }

    /// The directory of cached tokens and of the control socket.
    pub fn cache_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.cache_dir = path.into();
        self
    }

    /// The path of the token endpoint of an issuer without metadata. Default: `/token`.
    pub fn token_path(mut self, path: impl Into<String>) -> Self {
        self.0.token_path = path.into();
        self
    }

    /// How long before its expiry a token is refreshed, at most half of its lifetime. Default: 120 s.
    pub fn refresh_skew(mut self, skew: Duration) -> Self {
        self.0.refresh_skew = skew;
        self
    }

    /// How long one request to Authority may take. Default: 10 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.0.request_timeout = timeout;
        self
    }

    /// A token to use until Authority first answers.
    pub fn static_token(mut self, token: StaticTokenOptions) -> Self {
        self.0.static_token = Some(token);
        self
    }

    /// The options, if they can be used. Unlike those of a configuration, paths may be relative.
    ///
    /// # Errors
    /// All faults.
    pub fn build(self) -> Result<AuthorityOptions, OptionsFaults> {
        let options = self.0;
        let fault = |key, problem: &str| OptionsFault { key, problem: problem.to_owned() };
        let conflicts = options.conflicts();
        let mut faults: Vec<_> = conflicts.iter().map(|(key, problem)| fault(key, problem)).collect();
        if http::Uri::parse(&options.issuer.to_string()).is_none() {
            faults.push(fault("issuer", &format!("must be {}", http::Uri::FORM)));
        }
        let scopes = options.scopes.iter().chain(options.audience_scopes.values().flatten());
        let words = [("clientId", &options.client_id), ("audience", &options.audience)].into_iter();
        for (key, _) in words.chain(scopes.map(|scope| ("scopes", scope))).filter(|(_, word)| !is_word(word))
        {
            faults.push(fault(key, &format!("must be {}", String::FORM)));
        }
        if !is_rooted(&options.token_path) {
            faults.push(fault("tokenPath", &format!("must be {ROOTED}")));
        }
        if options.request_timeout.is_zero() {
            faults.push(fault("requestTimeoutSeconds", "must be more than nothing"));
        }
        if faults.is_empty() { Ok(options) } else { Err(OptionsFaults(faults)) }
    }
}

/// Reading takes white space away from both ends of a word.
fn is_word(text: &str) -> bool {
    String::parse(text).is_some_and(|word| word == text)
}
