//! Authority: discovery, keys, and tokens for one client by `client_credentials`.

mod client;
mod form;
mod oauth_error;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use http::request::Parts;
use http::{Method, Request, StatusCode, Uri};
use hyper::body::Incoming;
use rustls::pki_types::CertificateDer;
use serde_json::json;
use zastava_authority::verify::ReceivedProof;
use zastava_core::clock::Timestamp;

use self::form::Form;
use self::oauth_error::OAuthError;
use crate::access_token::SCANNER_SCOPE;
use crate::answer::{
    Answer, Body, answer, has_content_type, json, method_not_allowed, not_found, read_body, set_nonce,
};
use crate::fault::Route;
use crate::platform::Platform;
use crate::server::Handler;

/// A token request has a few hundred bytes.
const FORM_BYTES_MAX: usize = 16 * 1024;
/// The audiences that tokens are issued for. `attestor` is there so that a token for another
/// audience than Scanner can be had, and seen to be refused.
const AUDIENCES: [&str; 2] = ["scanner", "attestor"];
/// The scopes that the client may ask for.
const SCOPES: [&str; 3] = ["aud:scanner", "aud:attestor", SCANNER_SCOPE];

/// Authority's endpoints.
#[derive(Debug)]
pub(crate) struct Authority(pub(crate) Arc<Platform>);

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
            "/jwks" if get => Some(json(StatusCode::OK, &json!({"keys": [self.0.tokens.jwk()]}))),
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
        self.0.activity.count(|counts| counts.token_requests += 1);
        if let ControlFlow::Break(fault) = self.0.fault(Route::Token).await {
            return fault;
        }
        let now = self.0.now();
        let granted = match body {
            Body::Whole(body) => self.grant(&parts, &body, client.as_ref(), now),
            Body::TooLarge => Err(OAuthError::invalid_request("the body is too large")
                .with_status(StatusCode::PAYLOAD_TOO_LARGE)),
        };
        let mut answer = granted.unwrap_or_else(|error| {
            tracing::debug!(code = error.code, reason = %error.description, "token request refused");
            error.answer()
        });
        set_nonce(&mut answer, &self.0.authority_verifier.nonce(now));
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
    ) -> Result<Answer, OAuthError> {
        if !has_content_type(&parts.headers, "application/x-www-form-urlencoded") {
            return Err(OAuthError::invalid_request("the body must be application/x-www-form-urlencoded"));
        }
        let form = Form::parse(body).ok_or_else(|| OAuthError::invalid_request("the form is malformed"))?;
        client::authenticate(&parts.headers, &form, certificate, self.0.options.client_secret.as_ref())?;
        match single(&form, "grant_type")? {
            Some("client_credentials") => {}
            Some(_) => {
                return Err(OAuthError::new("unsupported_grant_type", "the grant is client_credentials"));
            }
            None => return Err(OAuthError::invalid_request("grant_type is missing")),
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
        let proof = self.0.authority_verifier.verify(&received, now).map_err(|error| {
            self.0.count_refused_proof(error);
            OAuthError::new(error.oauth_code(), &error.to_string())
        })?;
        Ok(self.issue(audience, &scopes, &proof.thumbprint, now))
    }

    fn issue(&self, audience: &str, scopes: &BTreeSet<&str>, thumbprint: &str, now: Timestamp) -> Answer {
        let lifetime = self.0.options.token_lifetime.as_secs().max(1);
        let scope = scopes.iter().copied().collect::<Vec<_>>().join(" ");
        let token = self.0.tokens.issue(audience, &scope, thumbprint, now.unix_seconds(), lifetime);
        self.0.activity.count(|counts| counts.tokens_issued += 1);
        tracing::info!(audience, thumbprint, lifetime, "issued a token");
        let answer =
            json!({"access_token": token, "token_type": "DPoP", "expires_in": lifetime, "scope": scope});
        json(StatusCode::OK, &answer)
    }
}

/// Every scope must be one that the client may have; none at all is refused too, since there is no
/// default (RFC 6749 section 3.3).
fn scopes(form: &Form) -> Result<BTreeSet<&str>, OAuthError> {
    let asked = single(form, "scope")?.unwrap_or_default();
    let scopes: BTreeSet<&str> = asked.split(' ').filter(|scope| !scope.is_empty()).collect();
    if scopes.is_empty() {
        return Err(OAuthError::new("invalid_scope", "scope is missing"));
    }
    match scopes.iter().find(|scope| !SCOPES.contains(*scope)) {
        Some(unknown) => Err(OAuthError::new("invalid_scope", &format!("unknown scope: {}", shown(unknown)))),
        None => Ok(scopes),
    }
}

/// The one audience that `audience`, `resource` (RFC 8707) and scopes `aud:…` name together.
fn audience(form: &Form, scopes: &BTreeSet<&str>) -> Result<&'static str, OAuthError> {
    let by_scope = scopes.iter().filter_map(|scope| scope.strip_prefix("aud:"));
    let by_parameter =
        form.values("audience").chain(form.values("resource")).flat_map(|list| list.split(' '));
    let named: BTreeSet<&str> = by_scope.chain(by_parameter).collect();
    let invalid = |description: &str| OAuthError::new("invalid_target", description);
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

fn single<'f>(form: &'f Form, name: &'static str) -> Result<Option<&'f str>, OAuthError> {
    form.single(name).map_err(|name| OAuthError::invalid_request(&format!("{name} is sent twice")))
}

/// Foreign text in an `error_description`: short, and of the characters that RFC 6749 section 5.2
/// allows there.
fn shown(text: &str) -> String {
    const LENGTH_MAX: usize = 60;
    let allowed = |c: &char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
    text.chars().filter(allowed).take(LENGTH_MAX).collect()
}
