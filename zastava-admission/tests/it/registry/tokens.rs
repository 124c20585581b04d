//! Issues tokens that a real registry takes, by the distribution project's token specification.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Response, StatusCode};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::DecodePrivateKey as _;
use serde_json::json;
use zastava_core::clock::Timestamp;

use super::server::{Log, Seen, Unserved, acceptor};
use super::{LOGIN, Store};

/// The repository that only anna may pull from.
pub(crate) const PRIVATE: &str = "team/private";

/// Starts the service over TLS. It gives everybody a token; only with anna's login does it name [`PRIVATE`].
pub(crate) fn issue(listener: Unserved, store: &Store) -> Log {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["demo-issuer".to_owned()]).unwrap();
    let certificate = certificate.self_signed(&key).unwrap();
    std::fs::write(store.path("issuer.crt"), certificate.pem()).unwrap();
    let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [STANDARD.encode(certificate.der())]});
    let key = SigningKey::from_pkcs8_pem(&key.serialize_pem()).unwrap();
    let tls = acceptor(&store.path("tls.crt"), &store.path("tls.key"));
    listener.serve(Some(tls), move |seen| {
        let answer = answer(&seen, &header, &key);
        async move { answer }
    })
}

fn answer(seen: &Seen, header: &serde_json::Value, key: &SigningKey) -> Response<Bytes> {
    let login = format!("Basic {LOGIN}");
    if seen.authorization.as_ref().is_some_and(|given| *given != login) {
        return Response::builder().status(StatusCode::UNAUTHORIZED).body(Bytes::new()).unwrap();
    }
    let scope = seen.line.split_once("scope=").unwrap().1.replace("%3A", ":").replace("%2F", "/");
    let repository = scope.strip_prefix("repository:").unwrap().strip_suffix(":pull").unwrap();
    let may_pull = repository != PRIVATE || seen.authorization.is_some();
    let actions = if may_pull { json!(["pull"]) } else { json!([]) };
    let now = Timestamp::now().unix_seconds();
    let claims = json!({
        "iss": "demo-issuer", "sub": "anna", "aud": "demo", "jti": "1",
        "iat": now, "nbf": now - 10, "exp": now + 300,
        "access": [{"type": "repository", "name": repository, "actions": actions}],
    });
    let encoded = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encoded(header), encoded(&claims));
    let signature: Signature = key.sign(text.as_bytes());
    let token = format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()));
    Response::new(Bytes::from(json!({"token": token, "expires_in": 300}).to_string()))
}
