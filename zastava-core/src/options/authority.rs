//! `zastava.runtime.authority`: how tokens are requested and what they must be.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::Section;
use crate::secret::Secret;

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
    /// The requested scopes.
    pub scopes: Vec<String>,
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
    /// PEM file of the certificate authorities that are trusted. `None`: those of the system.
    pub ca_bundle_path: Option<PathBuf>,
    /// How long one request to Authority may take.
    pub request_timeout: Duration,
}

impl AuthorityOptions {
    /// Reads the section `zastava.runtime.authority`.
    #[must_use]
    pub fn read(section: &Section<'_>) -> Option<Self> {
        let issuer: Option<http::Uri> = section.required("issuer");
        let allow_insecure_http = section.value("allowInsecureHttp", false);
        let require_mutual_tls = section.value("requireMutualTls", true);
        let scopes = vec!["aud:scanner".to_owned(), "api:scanner.runtime.write".to_owned()];
        let options = Self {
            issuer: issuer.clone().unwrap_or_default(),
            token_path: section.checked(
                "tokenPath",
                "/token".to_owned(),
                "a path that starts with /",
                |path| path.starts_with('/'),
            ),
            client_id: section.value("clientId", "zastava-runtime".to_owned()),
            audience: section.value("audience", "scanner".to_owned()),
            scopes: section.list("scopes", scopes),
            require_dpop: section.value("requireDpop", true),
            require_mutual_tls,
            allow_insecure_http,
            static_token: StaticTokenOptions::read(section),
            refresh_skew: section.value("refreshSkewSeconds", Duration::from_secs(120)),
            cache_dir: section.value("cacheDir", PathBuf::from("/var/run/zastava/optok")),
            dpop_key_path: section.optional("dpopKeyPath"),
            client_certificate_path: section.optional("clientCertificatePath"),
            client_key_path: section.optional("clientKeyPath"),
            client_secret_path: section.optional("clientSecretPath"),
            client_assertion_key_path: section.optional("clientAssertionKeyPath"),
            ca_bundle_path: section.optional("caBundlePath"),
            request_timeout: section.checked(
                "requestTimeoutSeconds",
                Duration::from_secs(10),
                "more than nothing",
                |timeout| !timeout.is_zero(),
            ),
        };
        options.check(section);
        section.finish();
        issuer.map(|_| options)
    }

    fn check(&self, section: &Section<'_>) {
        if self.issuer.scheme_str() == Some("http") && !self.allow_insecure_http {
            section.conflict("issuer", "must be https; allowInsecureHttp takes http in a lab");
        }
        // RFC 6749, section 3.3: a blank separates scopes.
        let is_scope =
            |scope: &str| scope.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
        for scope in self.scopes.iter().filter(|scope| !is_scope(scope)) {
            section.conflict("scopes", format!("{scope:?} is not one scope; each is an item of its own"));
        }
        if self.client_secret_path.is_some() && self.client_assertion_key_path.is_some() {
            section.conflict("clientSecretPath", "clientAssertionKeyPath is set too; one of them must go");
        }
        let certificate = self.client_certificate_path.is_some();
        if certificate != self.client_key_path.is_some() {
            let missing = if certificate { "clientKeyPath" } else { "clientCertificatePath" };
            section.conflict(missing, "clientCertificatePath and clientKeyPath go together");
        } else if self.require_mutual_tls && !certificate {
            section.conflict(
                "requireMutualTls",
                "needs clientCertificatePath and clientKeyPath; false turns mutual TLS off in a lab",
            );
        }
    }
}

/// A token from a file or the configuration, for bootstrap only. Every use is audited.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StaticTokenOptions {
    /// The token, or the file that contains it.
    pub source: StaticTokenSource,
    /// The maximum age. A file's age counts from its modification, a configured value's from program start.
    pub age_max: Duration,
}

/// The origin of the static token.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the two settings that the contract names")]
pub enum StaticTokenSource {
    /// In a file.
    Path(PathBuf),
    /// In the configuration.
    Value(Secret),
}

impl StaticTokenOptions {
    fn read(section: &Section<'_>) -> Option<Self> {
        let allowed = section.value("allowStaticTokenFallback", false);
        let path = section.optional("staticTokenPath").map(StaticTokenSource::Path);
        let value = section.optional("staticTokenValue").map(StaticTokenSource::Value);
        let age_max = section.value("staticTokenMaxAge", Duration::from_secs(24 * 3600));
        if allowed && path.is_none() && value.is_none() {
            section.conflict("allowStaticTokenFallback", "needs staticTokenPath or staticTokenValue");
        }
        if path.is_some() && value.is_some() {
            section.conflict("staticTokenValue", "staticTokenPath is set too; one of them must go");
        }
        let source = path.or(value)?;
        allowed.then_some(Self { source, age_max })
    }
}
