//! What a registry can answer besides a digest.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, header};
use zastava_core::contract::{Decision, ImageDecision, PolicyVerdict};
use zastava_core::image::Digest;

use super::registry::LOGIN;
use super::registry::server::{Log, Seen, Unserved};
use super::scanner::{FakeScanner, Mood, SIGNED, decide, pod_review, review};
use super::tags::{message, open_review, plain, reviewer};

const TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONTENT: &str = r#"{"schemaVersion": 2}"#;

/// A registry's answer about a manifest with this digest.
pub(crate) fn manifest(digest: &str) -> Response<Bytes> {
    answer(200, &[("content-type", TYPE), ("docker-content-digest", digest)], "")
}

fn answer(status: u16, headers: &[(&str, &str)], body: &'static str) -> Response<Bytes> {
    let response = headers
        .iter()
        .fold(Response::builder().status(status), |response, (name, value)| response.header(*name, *value));
    response.body(Bytes::from_static(body.as_bytes())).unwrap()
}

/// Serves what the function makes of each request. Returns the registry's host.
async fn registry(answer: impl Fn(Seen) -> Response<Bytes> + Clone + Send + Sync + 'static) -> (String, Log) {
    let listener = Unserved::bind().await;
    let host = format!("localhost:{}", listener.port());
    let log = listener.serve(None, move |seen| {
        let answer = answer(seen);
        async move { answer }
    });
    (host, log)
}

/// Whether the author of the reference can have caused the answer: it denies where the namespace fails open, too.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Refusal,
    Silence,
}

/// Status and headers of an answer, what it means, and what the denial says.
type Row<'t> = (u16, Vec<(&'t str, &'t str)>, Fault, &'t str);

#[tokio::test]
async fn an_answer_without_a_digest_is_no_digest() {
    use Fault::{Refusal, Silence};
    let digest = Digest::of(CONTENT.as_bytes()).to_string();
    let other = Digest::of(b"other").to_string();
    let upper = digest.to_uppercase();
    let (kind, of) = ("content-type", "docker-content-digest");
    let rows: Vec<Row<'_>> = vec![
        (200, vec![(kind, TYPE), (of, "sha256:12")], Refusal, "not sha256 in lower-case hex"),
        (200, vec![(kind, TYPE), (of, &upper)], Refusal, "not sha256 in lower-case hex"),
        (200, vec![(kind, TYPE), (of, &digest), (of, &other)], Refusal, "two digests"),
        (200, vec![(of, &digest)], Refusal, "does not say its type"),
        (200, vec![(kind, "text/html"), (of, &digest)], Refusal, "neither an image's nor an index's"),
        (302, vec![("location", "http://localhost:1/v2/"), (of, &digest)], Refusal, "redirects"),
        (307, vec![("location", "/v2/other"), (of, &digest), (kind, TYPE)], Refusal, "redirects"),
        (204, vec![(kind, TYPE), (of, &digest)], Refusal, "answered 204"),
        (400, vec![], Refusal, "answered 400"),
        (401, vec![], Refusal, "asks for neither a token nor a login"),
        (401, vec![("www-authenticate", "Negotiate")], Refusal, "asks for neither a token nor a login"),
        (401, vec![("www-authenticate", "Bearer realm=\"http://evil.example/t\"")], Refusal, "tokenHost"),
        (403, vec![], Refusal, "does not let the webhook read"),
        (404, vec![(kind, TYPE), (of, &digest)], Refusal, "has no 1 of team/app"),
        (429, vec![("retry-after", "1")], Silence, "answered 429"),
        (500, vec![], Silence, "answered 500"),
        (503, vec![(kind, TYPE), (of, &digest)], Silence, "answered 503"),
    ];
    for (status, headers, fault, words) in rows {
        let headers: Vec<_> =
            headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let (host, log) = registry(move |_| {
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            answer(status, &headers, "")
        })
        .await;
        let scanner = FakeScanner::new(&[(&digest, PolicyVerdict::Pass), (&other, PolicyVerdict::Pass)]);
        let reviewer = reviewer(&scanner, &plain(&host));
        let tagged = format!("{host}/team/app:1");
        let (reviewed, response) = review(&reviewer, &pod_review(&[&tagged])).await;
        assert!(!reviewed.is_allowed(), "{status} {words}");
        assert!(
            message(&response).contains(words) && message(&response).contains("rule unresolved-tag"),
            "{response}"
        );
        let is_allowed = review(&reviewer, &open_review(&[&tagged])).await.0.is_allowed();
        assert_eq!(is_allowed, fault == Silence, "{status} {words}");
        assert!(scanner.requests().is_empty());
        assert_eq!(log.lines(), vec!["HEAD /v2/team/app/manifests/1"; 2], "{words}");
    }
}

#[tokio::test]
async fn a_registry_that_does_not_say_the_digest_has_its_manifest_hashed() {
    let (own, other) = (Digest::of(CONTENT.as_bytes()), Digest::of(b"other").to_string());
    let said = Arc::new(Mutex::new(None::<String>));
    let saying = Arc::clone(&said);
    let (host, log) = registry(move |seen| {
        let is_head = seen.line.starts_with("HEAD");
        let said = saying.lock().unwrap().clone().filter(|_| !is_head);
        let mut headers = vec![("content-type", TYPE)];
        headers.extend(said.as_deref().map(|digest| ("docker-content-digest", digest)));
        answer(200, &headers, if is_head { "" } else { CONTENT })
    })
    .await;
    let scanner = FakeScanner::new(&[(&own.to_string(), PolicyVerdict::Pass)]);
    let reviewer = reviewer(&scanner, &plain(&host));
    let tagged = format!("{host}/team/app:1");
    assert_eq!(decide(&reviewer, &open_review(&[&tagged])).await, Decision::Allow);
    assert_eq!(log.lines(), ["HEAD /v2/team/app/manifests/1", "GET /v2/team/app/manifests/1"]);
    assert_eq!(scanner.requests()[0].images, [format!("{host}/team/app@{own}")]);
    *said.lock().unwrap() = Some(other);
    let (reviewed, response) = review(&reviewer, &open_review(&[&tagged])).await;
    assert!(
        !reviewed.is_allowed() && message(&response).contains("has not the digest it says"),
        "{response}"
    );
}

#[tokio::test]
async fn a_manifest_that_is_too_long_is_the_doing_of_who_pushed_it() {
    let (host, _) = registry(|seen| {
        let body = if seen.line.starts_with("HEAD") { Bytes::new() } else { vec![b' '; 5 << 20].into() };
        Response::builder().header(header::CONTENT_TYPE, TYPE).body(body).unwrap()
    })
    .await;
    let reviewer = reviewer(&FakeScanner::new(&[]), &plain(&host));
    let (reviewed, response) = review(&reviewer, &open_review(&[&format!("{host}/team/app:1")])).await;
    assert!(!reviewed.is_allowed() && message(&response).contains("too long"), "{response}");
}

#[tokio::test]
async fn only_registries_that_are_named_are_asked() {
    let (host, log) = registry(|_| manifest("sha256:12")).await;
    let tagged = format!("{host}/team/app:1");
    let scanner = FakeScanner::new(&[(&tagged, PolicyVerdict::Pass)]);
    let reviewer = reviewer(&scanner, &plain("registry.example"));
    // Scanner is asked about the tag, as where no registry is named.
    assert_eq!(decide(&reviewer, &pod_review(&[&tagged])).await, Decision::Allow);
    assert_eq!(scanner.requests()[0].images, [tagged]);
    assert!(log.seen().is_empty());
}

#[tokio::test]
async fn a_login_stays_with_its_registry() {
    let (other, others_log) = registry(|_| answer(200, &[], "{}")).await;
    let realm = format!("Bearer realm=\"http://{other}/token\"");
    let place = format!("http://{other}/v2/team/app/manifests/1");
    let redirects = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&redirects);
    let (host, log) = registry(move |seen| match (&seen.authorization, now.load(Ordering::SeqCst)) {
        // A login is asked for, and what it brings leads to another host.
        (None, true) => answer(401, &[("www-authenticate", "Basic realm=x")], ""),
        (Some(_), true) => answer(307, &[("location", &place)], ""),
        (_, false) => answer(401, &[("www-authenticate", &realm)], ""),
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.json");
    std::fs::write(&config, format!(r#"{{"auths": {{"{host}": {{"auth": "{LOGIN}"}}}}}}"#)).unwrap();
    let mut options = plain(&host);
    options.docker_config_path = Some(config);
    let reviewer = reviewer(&FakeScanner::new(&[]), &options);
    let tagged = format!("{host}/team/app:1");
    for redirected in [false, true] {
        redirects.store(redirected, Ordering::SeqCst);
        assert_eq!(decide(&reviewer, &pod_review(&[&tagged])).await, Decision::Deny);
    }
    assert!(others_log.seen().is_empty(), "{:?}", others_log.seen());
    let shown: Vec<_> = log.seen().into_iter().filter_map(|seen| seen.authorization).collect();
    assert_eq!(shown, [format!("Basic {LOGIN}")]);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_hangs_takes_half_of_the_time_and_no_more() {
    let listener = Unserved::bind().await;
    let host = format!("localhost:{}", listener.port());
    let log = listener.serve(None, |_| std::future::pending::<Response<Bytes>>());
    let scanner = FakeScanner::demo();
    let reviewer = reviewer(&scanner, &plain(&host));
    let (reviewed, response) =
        review(&reviewer, &open_review(&[&format!("{host}/team/app:1"), SIGNED])).await;
    // The other image was asked about in time.
    assert_eq!(scanner.requests()[0].images, [SIGNED]);
    assert_eq!(reviewed.decision().images[1].policy_verdict, PolicyVerdict::Pass);
    assert!(
        reviewed.is_allowed() && response["warnings"][0].as_str().unwrap().contains("in time"),
        "{response}"
    );
    assert!(log.seen().len() <= 1);
}

#[tokio::test]
async fn a_registry_that_fails_again_and_again_is_probed_only() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("localhost:{}", listener.local_addr().unwrap().port());
    let asked = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&asked);
    // It takes connections, and gives none of them an answer.
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            seen.fetch_add(1, Ordering::SeqCst);
        }
    });
    let reviewer = reviewer(&FakeScanner::new(&[]), &plain(&host));
    let mut probed_only = 0;
    for number in 0..20 {
        let (reviewed, response) =
            review(&reviewer, &pod_review(&[&format!("{host}/team/app:{number}")])).await;
        assert!(!reviewed.is_allowed());
        probed_only += usize::from(message(&response).contains("asked again in a moment"));
    }
    assert!((1..=15).contains(&probed_only), "{probed_only}");
    assert!(asked.load(Ordering::SeqCst) >= 5);
}

/// Who has one repository that its registry cannot read must not silence the registry for all others.
#[tokio::test]
async fn a_repository_that_fails_again_and_again_is_no_silent_registry() {
    let digest = Digest::of(CONTENT.as_bytes()).to_string();
    let good = digest.clone();
    let (host, log) = registry(move |seen| match seen.line.contains("broken") {
        true => answer(if seen.line.ends_with('1') { 429 } else { 503 }, &[], ""),
        false => manifest(&good),
    })
    .await;
    let reviewer = reviewer(&FakeScanner::new(&[(&digest, PolicyVerdict::Pass)]), &plain(&host));
    for number in 0..20 {
        decide(&reviewer, &open_review(&[&format!("{host}/team/broken:{number}")])).await;
    }
    assert_eq!(log.seen().len(), 20);
    assert_eq!(decide(&reviewer, &pod_review(&[&format!("{host}/team/app:1")])).await, Decision::Allow);
}

#[tokio::test(start_paused = true)]
async fn more_tags_than_are_looked_up_at_once_are_their_authors_doing() {
    let listener = Unserved::bind().await;
    let host = format!("localhost:{}", listener.port());
    listener.serve(None, |_| std::future::pending::<Response<Bytes>>());
    for (tags, is_allowed) in [(32, true), (33, false)] {
        let reviewer = reviewer(&FakeScanner::new(&[]), &plain(&host));
        let tags: Vec<_> = (0..tags).map(|number| format!("{host}/team/app:{number}")).collect();
        let tags: Vec<_> = tags.iter().map(String::as_str).collect();
        let (reviewed, _) = review(&reviewer, &open_review(&tags)).await;
        assert_eq!(reviewed.is_allowed(), is_allowed, "{}", tags.len());
        let images = &reviewed.decision().images;
        let is_crowded = |image: &ImageDecision| image.reasons == ["too many tags are looked up at once"];
        assert_eq!(images.last().is_some_and(is_crowded), !is_allowed, "{}", tags.len());
        assert!(!images.first().is_some_and(is_crowded));
    }
}

/// An index of one image, with its digest.
fn index(image: &str) -> (String, String) {
    let index = format!(r#"{{"manifests": [{{"digest": "{}"}}]}}"#, Digest::of(image.as_bytes()));
    let digest = Digest::of(index.as_bytes()).to_string();
    (index, digest)
}

#[tokio::test]
async fn silence_at_the_second_question_lets_no_index_in() {
    let (index, digest) = index("image");
    for mood in [Mood::Refuses, Mood::Rejects(503), Mood::Evades] {
        let scanner = FakeScanner::new(&[(&digest, PolicyVerdict::Error)]);
        let (falls_silent, body) = (scanner.clone(), index.clone());
        let (host, _) = registry(move |_| {
            falls_silent.mood(mood);
            Response::new(body.clone().into())
        })
        .await;
        let reviewer = reviewer(&scanner, &plain(&host));
        let (reviewed, response) =
            review(&reviewer, &open_review(&[&format!("{host}/team/app@{digest}")])).await;
        assert_eq!(scanner.requests().len(), 2, "{mood:?}");
        assert!(!reviewed.is_allowed(), "{mood:?} {response}");
    }
}

#[tokio::test]
async fn few_manifests_are_in_memory_at_once() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let mut hosts = Vec::new();
    for _ in 0..2 {
        let (listener, gate) = (Unserved::bind().await, Arc::clone(&gate));
        let host = format!("localhost:{}", listener.port());
        let log = listener.serve(None, move |_| {
            let gate = Arc::clone(&gate);
            async move {
                let _permit = gate.acquire().await.unwrap();
                answer(404, &[], "")
            }
        });
        hosts.push((host, log));
    }
    let digests: Vec<_> = ["a", "b", "c"].into_iter().map(|image| index(image).1).collect();
    let verdicts: Vec<_> = digests.iter().map(|digest| (digest.as_str(), PolicyVerdict::Error)).collect();
    let mut options = plain(&hosts[0].0);
    options.hosts.extend(plain(&hosts[1].0).hosts);
    let reviewer = reviewer(&FakeScanner::new(&verdicts), &options);
    let images: Vec<_> = hosts
        .iter()
        .flat_map(|(host, _)| digests.iter().map(move |digest| format!("{host}/team/app@{digest}")))
        .collect();
    let reviewing = tokio::spawn(async move {
        let images: Vec<_> = images.iter().map(String::as_str).collect();
        decide(&reviewer, &open_review(&images)).await
    });
    let seen = || hosts.iter().map(|(_, log)| log.seen().len()).sum::<usize>();
    while seen() < 2 {
        tokio::task::yield_now().await;
    }
    // The others get no turn while these are under way.
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(seen(), 2);
    gate.add_permits(1);
    assert_eq!(reviewing.await.unwrap(), Decision::Deny);
    assert_eq!(seen(), 2);
}
