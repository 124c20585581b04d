use std::io;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

use http::{HeaderValue, header};
use zastava_core::secret::Secret;

use crate::client::{Bench, EVENTS, POLICY, SCOPES, batch, event, form};

/// Everything that is logged on one thread, where the whole of a test runs.
#[derive(Clone)]
struct Log {
    thread: ThreadId,
    text: Arc<Mutex<Vec<u8>>>,
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().expect("is not poisoned")).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if std::thread::current().id() == self.thread {
            self.text.lock().expect("is not poisoned").extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_is_logged_whatever_happens() {
    let log = Log { thread: std::thread::current().id(), text: Arc::default() };
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // For the whole process: one for a thread alone misses what other threads have met before.
    tracing::subscriber::set_global_default(subscriber).expect("no other test logs");

    let secret = Secret::new("a-client-secret".to_owned());
    let bench = Bench::with(|options| options.client_secret = Some(secret.clone())).await;
    let token = bench.token(SCOPES).await;
    let mut with_secret = bench.token_request(&form(SCOPES), None);
    let basic = HeaderValue::from_static("Basic emFzdGF2YS1ydW50aW1lOndyb25n");
    with_secret.headers_mut().insert(header::AUTHORIZATION, basic);
    bench.send(with_secret).await.expect("answers");
    bench.post(EVENTS, batch(&[event("a")])).await.expect("answers");
    bench.post(POLICY, r#"{"images": ["nginx"]}"#).await.expect("answers");
    bench.post(EVENTS, "no batch").await.expect("answers");
    let used = bench.proof(&bench.scanner_uri(EVENTS), Some(&token), Some("made-up"));
    for authorization in [format!("DPoP {token}"), format!("Bearer {token}"), format!("DPoP {token}x")] {
        let request = bench.scanner_request(EVENTS, &authorization, &used, "{}");
        bench.send(request).await.expect("answers");
    }
    let told = format!("{}{:?}{:?}", log.text(), bench.sandbox, bench.sandbox.files());
    for line in ["issued a token", "token request refused", "proof refused", "token refused", "took a batch"]
    {
        assert!(told.contains(line), "{line}\nnot in\n{told}");
    }
    let signature = |jws: &str| jws.rsplit('.').next().expect("has a signature").to_owned();
    let key = std::fs::read_to_string(&bench.sandbox.files().dpop_key).expect("reads");
    let body = key.lines().nth(1).expect("has a body");
    for hidden in [&signature(&token), &signature(&used), secret.expose(), "emFzdGF2", body] {
        assert!(!told.contains(hidden), "{hidden}");
    }
}
