//! Authority: discovery, keys, and tokens for one client by `client_credentials`.

mod client;
mod form;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use http::{Method, Request, StatusCode, Uri};
use hyper::body::Incoming;
use rustls::pki_types::CertificateDer;
use serde_json::json;
use zastava_authority::verify::ReceivedProof;
use zastava_core::clock::Timestamp;

use self::form::Form;
use crate::answer::{
    Answer, Body, answer, has_content_type, json, method_not_allowed, not_found, read_body, set_header,
    set_nonce,
};
use crate::fault::Route;
use crate::sandbox::CLIENT_ID;
use crate::server::Handler;
use crate::shared::Shared;

/// A token request has a few hundred bytes.
const FORM_BYTES_MAX: usize = 16 * 1024;
/// The audiences that tokens are issued for. `attestor` is there so that a token for another
/// audience than Scanner can be had, and seen to be refused.
const AUDIENCES: [&str; 2] = ["scanner", "attestor"];
/// The scopes that the client may ask for.
const SCOPES: [&str; 3] = ["aud:scanner", "aud:attestor", crate::scanner::SCOPE];

/// Authority's endpoints.
#[derive(Debug)]
pub(crate) struct Authority(pub(crate) Arc<Shared>);

impl Handler for Authority {
    async fn handle(
        &self,
        request: Request<Incoming>,
        client: Option<CertificateDer<'static>>,
    ) -> Option<Answer> {
        let get = request.method() == Method::GET;
        match request.uri().path() {
            "/token" if request.method() == Method::POST => self.token(request, client).await,
            "/token" => Some(method_not_allowed("POST")),
            // RFC 8414 section 3 and OpenID Connect Discovery 1.0 section 4.
            "/.well-known/openid-configuration" | "/.well-known/oauth-authorization-server" if get => {
                Some(json(StatusCode::OK, &self.metadata()))
            }
            "/jwks" if get => Some(json(StatusCode::OK, &json!({"keys": [self.0.token_key.jwk()]}))),
            "/healthz/live" | "/healthz/ready" if get => Some(answer(StatusCode::OK, "text/plain", "ok\n")),
            _ => Some(not_found()),
        }
    }
}

impl Authority {
    fn metadata(&self) -> serde_json::Value {
        let issuer = &self.0.issuer;
        let mut methods = vec!["tls_client_auth"];
        if self.0.options.client_secret.is_some() {
            methods.push("client_secret_basic");
        }
        json!({
            "issuer": issuer,
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/jwks"),
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": [],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "scopes_supported": SCOPES,
            "token_endpoint_auth_methods_supported": methods,
            "dpop_signing_alg_values_supported": ["ES256"],
            "mtls_endpoint_aliases": {"token_endpoint": format!("{issuer}/token")},
        })
    }

    async fn token(
        &self,
        request: Request<Incoming>,
        client: Option<CertificateDer<'static>>,
    ) -> Option<Answer> {
        let (parts, body) = request.into_parts();
        let body = read_body(body, FORM_BYTES_MAX).await?;
        self.0.count(|counts| counts.token_requests += 1);
        if let ControlFlow::Break(fault) = self.0.fault(Route::Token).await {
            return fault;
        }
        let now = self.0.now();
        let granted = match body {
            Body::Whole(body) => self.grant(&parts, &body, client.as_ref(), now),
            Body::TooLarge => {
                let refusal = Refusal::invalid_request("the body is too large");
                Err(Refusal { status: StatusCode::PAYLOAD_TOO_LARGE, ..refusal })
            }
        };
        let mut answer = granted.unwrap_or_else(|refusal| {
            tracing::debug!(code = refusal.code, reason = %refusal.description, "token request refused");
            refusal.answer()
        });
        set_nonce(&mut answer, &self.0.authority_proofs.nonce(now));
        Some(answer)
    }

    /// RFC 6749 section 4.4, RFC 9449 section 5. The client is known before anything else is
    /// looked at, and the proof is spent last of all.
    fn grant(
        &self,
        parts: &Parts,
        body: &[u8],
        certificate: Option<&CertificateDer<'_>>,
        now: Timestamp,
    ) -> Result<Answer, Refusal> {
        if !has_content_type(&parts.headers, "application/x-www-form-urlencoded") {
            return Err(Refusal::invalid_request("the body must be application/x-www-form-urlencoded"));
        }
        let form = Form::parse(body).ok_or_else(|| Refusal::invalid_request("the form is malformed"))?;
        client::authenticate(&parts.headers, &form, certificate, self.0.options.client_secret.as_ref())?;
        match single(&form, "grant_type")? {
            Some("client_credentials") => {}
            Some(_) => return Err(Refusal::new("unsupported_grant_type", "the grant is client_credentials")),
            None => return Err(Refusal::invalid_request("grant_type is missing")),
        }
        let scopes = scopes(&form)?;
        let audience = audience(&form, &scopes)?;
        let uri = format!("{}/token", self.0.issuer).parse::<Uri>().unwrap_or_default();
        let received = ReceivedProof {
            method: &parts.method,
            uri: &uri,
            headers: &parts.headers,
            access_token: None,
            thumbprint: None,
        };
        let proof = self
            .0
            .verify(&self.0.authority_proofs, &received, now)
            .map_err(|error| Refusal::new(error.oauth_code(), &error.to_string()))?;
        Ok(self.issue(audience, &scopes, &proof.thumbprint, now))
    }

    /// A token in the form of RFC 9068, bound to the proof's key.
    fn issue(&self, audience: &str, scopes: &BTreeSet<&str>, thumbprint: &str, now: Timestamp) -> Answer {
        let lifetime = self.0.options.token_lifetime.as_secs().max(1);
        let issued_at = now.unix_seconds();
        let scope = scopes.iter().copied().collect::<Vec<_>>().join(" ");
        let claims = [
            ("iss", json!(self.0.issuer)),
            ("sub", json!(CLIENT_ID)),
            ("aud", json!(audience)),
            ("client_id", json!(CLIENT_ID)),
            ("scope", json!(scope)),
            ("iat", json!(issued_at)),
            ("exp", json!(issued_at.saturating_add_unsigned(lifetime))),
            ("jti", json!(random_id())),
            ("cnf", json!({"jkt": thumbprint})),
        ];
        let token = self
            .0
            .token_key
            .sign(&claims.map(|(name, claim)| (name.to_owned(), claim)).into_iter().collect());
        self.0.count(|counts| counts.tokens_issued += 1);
        tracing::info!(audience, thumbprint, lifetime, "issued a token");
        let answer =
            json!({"access_token": token, "token_type": "DPoP", "expires_in": lifetime, "scope": scope});
        json(StatusCode::OK, &answer)
    }
}

/// Every scope must be one that the client may have; none at all is refused too, since there is no
/// default (RFC 6749 section 3.3).
fn scopes(form: &Form) -> Result<BTreeSet<&str>, Refusal> {
    let asked = single(form, "scope")?.unwrap_or_default();
    let scopes: BTreeSet<&str> = asked.split(' ').filter(|scope| !scope.is_empty()).collect();
    if scopes.is_empty() {
        return Err(Refusal::new("invalid_scope", "scope is missing"));
    }
    match scopes.iter().find(|scope| !SCOPES.contains(*scope)) {
        Some(unknown) => Err(Refusal::new("invalid_scope", &format!("unknown scope: {}", shown(unknown)))),
        None => Ok(scopes),
    }
}

/// The one audience that `audience`, `resource` (RFC 8707) and scopes `aud:…` name together.
fn audience(form: &Form, scopes: &BTreeSet<&str>) -> Result<&'static str, Refusal> {
    let by_scope = scopes.iter().filter_map(|scope| scope.strip_prefix("aud:"));
    let by_parameter =
        form.values("audience").chain(form.values("resource")).flat_map(|list| list.split(' '));
    let named: BTreeSet<&str> = by_scope.chain(by_parameter).collect();
    let invalid = |description: &str| Refusal::new("invalid_target", description);
    let mut named = named.into_iter();
    match (named.next(), named.next()) {
        (None, _) => Err(invalid("audience is missing")),
        (Some(_), Some(_)) => Err(invalid("a token has one audience")),
        (Some(one), None) => AUDIENCES
            .into_iter()
            .find(|known| *known == one)
            .ok_or_else(|| invalid(&format!("unknown audience: {}", shown(one)))),
    }
}

fn single<'f>(form: &'f Form, name: &'static str) -> Result<Option<&'f str>, Refusal> {
    form.single(name).map_err(|name| Refusal::invalid_request(&format!("{name} is sent twice")))
}

/// Foreign text in an `error_description`: short, and of the characters that RFC 6749 section 5.2
/// allows there.
fn shown(text: &str) -> String {
    const LENGTH_MAX: usize = 60;
    let allowed = |c: &char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
    text.chars().filter(allowed).take(LENGTH_MAX).collect()
}

/// 128 random bits.
fn random_id() -> String {
    let mut bytes = [0; 16];
    rustls::crypto::aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut bytes)
        .expect("the system's random source works, or no key could have been made");
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An OAuth error (RFC 6749 section 5.2).
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    description: String,
    /// The client tried HTTP authentication, and is told of it.
    challenge_basic: bool,
}

impl Refusal {
    fn new(code: &'static str, description: &str) -> Self {
        let status = StatusCode::BAD_REQUEST;
        Self { status, code, description: description.to_owned(), challenge_basic: false }
    }

    fn invalid_request(description: &str) -> Self {
        Self::new("invalid_request", description)
    }

    fn invalid_client(description: &str, challenge_basic: bool) -> Self {
        let refusal = Self::new("invalid_client", description);
        Self { status: StatusCode::UNAUTHORIZED, challenge_basic, ..refusal }
    }

    fn answer(&self) -> Answer {
        let body = json!({"error": self.code, "error_description": self.description});
        let mut answer = json(self.status, &body);
        if self.challenge_basic {
            set_header(&mut answer, "www-authenticate", "Basic realm=\"sandbox\"");
        }
        answer
    }
}
