//! A resource server with axum: a middleware reads the token, checks its proof, and answers with the challenge that fits.
//!
//! ```sh
//! cargo run --example serve_with_axum
//! ```
#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::error::Error;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Uri, header};
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use serde_json::Value;
use tower::{Layer as _, ServiceExt as _};
use zastava_authority::verify::{Confirmation, Denial, ReceivedRequest, Verifier, VerifierOptions};
use zastava_authority::{Authority, AuthorizeLayer, Tokens, TransportOptions};
use zastava_core::clock::Timestamp;
use zastava_core::http_service::HttpService;
use zastava_core::options::AuthorityOptions;
use zastava_core::telemetry::Telemetry;
use zastava_sandbox::{Sandbox, SandboxOptions};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The name of this server in tokens, and the scope that its routes need.
const AUDIENCE: &str = "attestor";
const SCOPE: &str = "aud:attestor";

/// Who called.
#[derive(Clone)]
struct ClientId(String);

struct Server {
    verifier: Verifier,
    /// The URL under which clients know this server.
    url: String,
    issuer: String,
    /// Asks the issuer for its keys.
    http: HttpService,
}

impl Server {
    /// Checks the token as RFC 9068 section 4 says. A server whose tokens are opaque would ask for an introspection here.
    async fn read(&self, token: &str) -> Result<(Confirmation, ClientId), Denial> {
        let claims = self.signed_claims(token).await.ok_or(Denial::Token)?;
        let text = |name: &str| claims[name].as_str().unwrap_or_default();
        let has_expired = claims["exp"].as_i64().is_none_or(|end| end <= Timestamp::now().unix_seconds());
        if text("iss") != self.issuer || text("aud") != AUDIENCE || has_expired {
            return Err(Denial::Token);
        }
        if !text("scope").split(' ').any(|scope| scope == SCOPE) {
            return Err(Denial::InsufficientScope { required: SCOPE });
        }
        let member = |name: &str| claims["cnf"][name].as_str().map(str::to_owned);
        let bound = Confirmation { key: member("jkt"), certificate: member("x5t#S256") };
        Ok((bound, ClientId(text("client_id").to_owned())))
    }

    /// A real server takes a library for this, and keeps the keys.
    async fn signed_claims(&self, token: &str) -> Option<Value> {
        let request = http::Request::get(format!("{}/jwks", self.issuer)).body(Bytes::new()).ok()?;
        let keys = self.http.clone().oneshot(request).await.ok()?;
        let keys: Value = serde_json::from_slice(keys.body()).ok()?;
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let coordinate = |name: &str| decode(keys["keys"][0][name].as_str()?);
        let point = [&[4][..], &coordinate("x")?, &coordinate("y")?].concat();
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = Signature::from_slice(&decode(signature)?).ok()?;
        VerifyingKey::from_sec1_bytes(&point).ok()?.verify(signed.as_bytes(), &signature).ok()?;
        serde_json::from_slice(&decode(signed.split_once('.')?.1)?).ok()
    }
}

async fn authorize(State(server): State<Arc<Server>>, mut request: Request, next: Next) -> Response {
    let now = Timestamp::now();
    let uri: Uri = format!("{}{}", server.url, request.uri().path()).parse().unwrap_or_default();
    let checked = {
        let (method, headers) = (request.method(), request.headers());
        // Behind TLS of its own, a server gives the client's certificate here.
        let received = ReceivedRequest { method, uri: &uri, headers, client_certificate: None };
        server.verifier.authorize_async(&received, now, |token| server.read(token)).await
    };
    let mut answer = match checked {
        Ok(client) => {
            request.extensions_mut().insert(client);
            next.run(request).await
        }
        Err(denial) => {
            let challenge = denial.challenge_for(request.headers());
            (denial.status(), [(header::WWW_AUTHENTICATE, challenge)]).into_response()
        }
    };
    server.verifier.set_nonce(answer.headers_mut(), now);
    answer
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let directory = tempfile::tempdir()?;
    let sandbox = Sandbox::start(SandboxOptions::new(directory.path())).await?;
    let files = sandbox.files();
    let options = AuthorityOptions::builder(sandbox.issuer())
        .client_certificate(&files.client_certificate, &files.client_key)
        .ca_bundle(sandbox.ca_bundle())
        .cache_dir(directory.path().join("optok"))
        .audience_scopes(AUDIENCE, [SCOPE])
        .build()?;
    let authority = Authority::connect(&options, &Telemetry::detached())?;
    let ca_bundle_path = Some(sandbox.ca_bundle().to_owned());
    let transport = TransportOptions { ca_bundle_path, allow_http: true, ..TransportOptions::default() };
    let http = authority.https(&transport)?;

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let server = Arc::new(Server {
        verifier: Verifier::new(VerifierOptions::default()),
        url: url.clone(),
        issuer: sandbox.issuer().to_string().trim_end_matches('/').to_owned(),
        http: http.clone(),
    });
    let hello = |Extension(ClientId(id)): Extension<ClientId>| async move { format!("hello {id}") };
    let routes =
        Router::new().route("/hello", get(hello)).layer(middleware::from_fn_with_state(server, authorize));
    tokio::spawn(async move { axum::serve(listener, routes).await });

    let tokens = Tokens::new(authority);
    let mut answers = Vec::new();
    for audience in [AUDIENCE, "scanner"] {
        let client = AuthorizeLayer::new(tokens.clone(), audience, &url.parse()?).layer(http.clone());
        let answer = client.oneshot(http::Request::get(format!("{url}/hello")).body(Bytes::new())?).await?;
        let challenge =
            answer.headers().get(header::WWW_AUTHENTICATE).map(|value| value.to_str().map(str::to_owned));
        println!("{} {} {challenge:?}", answer.status(), String::from_utf8_lossy(answer.body()));
        answers.push(answer.status().as_u16());
    }
    assert_eq!(answers, [200, 401], "a token for another audience is refused");
    Ok(())
}
