//! What Authority answers, from foreign bytes: metadata and token answers give a token or an error,
//! and never a panic; nor do key files.
#![no_main]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::{Request, Response};
use libfuzzer_sys::fuzz_target;
use zastava_authority::{Authority, DpopKey, Tokens};
use zastava_core::config::{Configuration, Origin};
use zastava_core::http_service::{BoxError, HttpService};
use zastava_core::options::AuthorityOptions;
use zastava_core::telemetry::Telemetry;

static OPTIONS: LazyLock<AuthorityOptions> = LazyLock::new(|| {
    let mut config = Configuration::empty();
    let flag = Origin::Flag("fuzz".into());
    config.set("zastava.issuer", "https://a.test", &flag);
    config.set("zastava.requireMutualTls", "false", &flag);
    config.read(AuthorityOptions::read).expect("options").0
});
static KEY: LazyLock<Arc<DpopKey>> = LazyLock::new(|| Arc::new(DpopKey::generate()));

fuzz_target!(|data: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // The first half answers for metadata, the second for the token.
    let mut halves = data.splitn(2, |byte| *byte == 0).map(Bytes::copy_from_slice);
    let (metadata, answer) = (halves.next().unwrap_or_default(), halves.next());
    let http = HttpService::new(tower::service_fn(move |request: Request<Bytes>| {
        let known = request.uri().path().starts_with("/.well-known/");
        let body = if known && answer.is_some() {
            metadata.clone()
        } else {
            answer.clone().unwrap_or(metadata.clone())
        };
        let status = if known && answer.is_none() { 404 } else { 200 };
        async move { Ok::<_, BoxError>(Response::builder().status(status).body(body)?) }
    }));
    let authority = Authority::new(&OPTIONS, http, Arc::clone(&KEY), &Telemetry::detached());
    if let Ok(token) = runtime.block_on(Tokens::new(authority).token("a")) {
        assert!(token.is_dpop() && !token.expose().contains(char::is_whitespace));
    }
});
