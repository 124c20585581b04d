//! Tags get their digests from a real registry.

use std::sync::Arc;

use serde_json::Value;
use zastava_admission::{
    AdmissionOptions, FailOpen, MirrorOptions, Registries, RegistryHost, RegistryOptions, Reviewer,
};
use zastava_core::contract::{Decision, PolicyVerdict};
use zastava_core::telemetry::{ADMISSION_TAG_RESOLUTIONS, Telemetry};

use super::registry::proxy::Proxy;
use super::registry::server::Unserved;
use super::registry::tokens::{PRIVATE, issue};
use super::registry::{LOGIN, Protection, Registry, Store};
use super::scanner::{FakeScanner, decide, pod_review, review};

pub(crate) const AMD64: &[&str] = &["linux/amd64"];

/// The options with which a registry is asked.
pub(crate) fn registries(
    host: &str,
    change: impl FnOnce(&mut RegistryHost, &mut RegistryOptions),
) -> RegistryOptions {
    let (mut options, mut registry) = (RegistryOptions::default(), RegistryHost::default());
    change(&mut registry, &mut options);
    options.hosts.insert(host.to_owned(), registry);
    options
}

/// Plain HTTP without a login.
pub(crate) fn plain(host: &str) -> RegistryOptions {
    registries(host, |registry, _| registry.allow_insecure_http = true)
}

/// A reviewer of which the namespace `open` fails open.
pub(crate) fn reviewer(scanner: &FakeScanner, options: &RegistryOptions) -> Reviewer {
    reviewer_with(scanner, options, &Telemetry::detached())
}

fn reviewer_with(scanner: &FakeScanner, options: &RegistryOptions, telemetry: &Telemetry) -> Reviewer {
    let mut admission = AdmissionOptions::default();
    admission.fail_open_namespaces = vec![FailOpen { name: "open".to_owned(), until: None }];
    Reviewer::new(admission, scanner.clone(), telemetry)
        .with_registries(Registries::connect(options, telemetry).unwrap())
}

/// A review of a Pod in the namespace that fails open.
pub(crate) fn open_review(images: &[&str]) -> Value {
    let mut review = pod_review(images);
    review["request"]["namespace"] = "open".into();
    review
}

pub(crate) fn message(response: &Value) -> &str {
    response["status"]["message"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_tag_is_judged_by_the_digest_that_it_has_now() {
    let store = Store::new();
    let Some(registry) = Registry::start(&store, Protection::None).await else { return };
    let good = registry.push("team/app", "1", "good", AMD64).await;
    let tagged = format!("{}/team/app:1", registry.host);
    let pinned = format!("{}/team/app@{}", registry.host, good.digest);
    let scanner = FakeScanner::new(&[(&pinned, PolicyVerdict::Pass)]);
    let telemetry = Telemetry::detached();
    let reviewer = reviewer_with(&scanner, &plain(&registry.host), &telemetry);

    let (reviewed, _) = review(&reviewer, &pod_review(&[&tagged])).await;
    assert!(reviewed.is_allowed());
    let image = &reviewed.decision().images[0];
    assert_eq!((image.name.as_str(), image.resolved.as_deref()), (tagged.as_str(), Some(pinned.as_str())));
    assert_eq!(scanner.requests()[0].images, [pinned.as_str()]);
    // The verdict on the digest is remembered; the digest of the tag is not.
    assert_eq!(decide(&reviewer, &pod_review(&[&tagged])).await, Decision::Allow);
    assert_eq!(scanner.requests().len(), 1);
    let bad = registry.push("team/app", "1", "bad", AMD64).await;
    assert_ne!(bad.digest, good.digest);
    let (reviewed, response) = review(&reviewer, &pod_review(&[&tagged])).await;
    assert!(!reviewed.is_allowed() && message(&response).contains("not signed"), "{response}");
    assert_eq!(scanner.requests()[1].images, [format!("{}/team/app@{}", registry.host, bad.digest)]);
    assert_eq!(telemetry.counter(ADMISSION_TAG_RESOLUTIONS).get(&["resolved"]), 3);

    // A tag that is not there is the author's doing: it denies where the namespace fails open, too.
    let absent = format!("{}/team/app:2", registry.host);
    let (reviewed, response) = review(&reviewer, &open_review(&[&absent])).await;
    assert!(!reviewed.is_allowed());
    for words in ["has no 2 of team/app (rule unresolved-tag)", "See that the tag is in its registry"] {
        assert!(message(&response).contains(words), "{response}");
    }
    assert_eq!(scanner.requests().len(), 2, "nobody is asked about what does not exist");
}

#[tokio::test]
async fn a_registry_that_is_gone_leaves_its_tags_to_the_failure_mode() {
    let closed = Unserved::bind().await;
    let host = format!("localhost:{}", closed.port());
    drop(closed);
    let scanner = FakeScanner::new(&[]);
    let reviewer = reviewer(&scanner, &plain(&host));
    let tagged = format!("{host}/team/app:1");
    let (reviewed, response) = review(&reviewer, &pod_review(&[&tagged])).await;
    assert!(!reviewed.is_allowed());
    assert!(
        message(&response).contains("cannot reach") && message(&response).contains("rule unresolved-tag"),
        "{response}"
    );
    assert!(review(&reviewer, &open_review(&[&tagged])).await.0.is_allowed());
    assert!(scanner.requests().is_empty());
}

#[tokio::test]
async fn tokens_are_fetched_with_the_login_and_used_again() {
    let store = Store::new();
    let listener = Unserved::bind().await;
    let port = listener.port();
    let log = issue(listener, &store);
    let Some(open) = Registry::start(&store, Protection::None).await else { return };
    let Some(registry) = Registry::start(&store, Protection::Tokens(port)).await else { return };
    let private = open.push(PRIVATE, "1", "private", AMD64).await;
    let public = open.push("team/public", "1", "public", AMD64).await;
    let host = &registry.host;
    let tags = [format!("{host}/{PRIVATE}:1"), format!("{host}/team/public:1")];
    let scanner = FakeScanner::new(&[
        (&private.digest.to_string(), PolicyVerdict::Pass),
        (&public.digest.to_string(), PolicyVerdict::Pass),
    ]);
    let options = |login: bool, token_host: Option<String>| {
        registries(host, |registry, options| {
            registry.token_host = token_host;
            options.ca_bundle_path = Some(store.ca());
            options.docker_config_path = login.then(|| store.docker_config(host));
        })
    };
    let issuer = Some(format!("localhost:{port}"));

    // Without a login only what is public can be read.
    let anonymous = reviewer(&scanner, &options(false, issuer.clone()));
    assert_eq!(decide(&anonymous, &pod_review(&[&tags[1]])).await, Decision::Allow);
    let (reviewed, response) = review(&anonymous, &open_review(&[&tags[0]])).await;
    assert!(!reviewed.is_allowed());
    assert!(message(&response).contains("does not let the webhook read team/private"), "{response}");
    assert!(log.seen().iter().all(|seen| seen.authorization.is_none()));

    let known = log.seen().len();
    let entitled = reviewer(&scanner, &options(true, issuer));
    for _ in 0..3 {
        assert_eq!(decide(&entitled, &pod_review(&[&tags[0], &tags[1]])).await, Decision::Allow);
    }
    let login = format!("Basic {LOGIN}");
    let asked = log.seen().split_off(known);
    assert_eq!(asked.len(), 2, "one token for each repository: {asked:?}");
    assert!(asked.iter().all(|seen| seen.authorization.as_ref() == Some(&login)));

    // A host that nobody named gets neither a login nor a request.
    let careful = reviewer(&scanner, &options(true, None));
    let (reviewed, response) = review(&careful, &pod_review(&[&tags[1]])).await;
    assert!(!reviewed.is_allowed() && message(&response).contains("tokenHost"), "{response}");
    assert_eq!(log.seen().len(), known + 2);
}

#[tokio::test]
async fn a_login_is_shown_to_its_registry_over_a_private_authority() {
    let store = Store::new();
    let Some(open) = Registry::start(&store, Protection::None).await else { return };
    let Some(registry) = Registry::start(&store, Protection::Basic).await else { return };
    let pushed = open.push("team/app", "1", "app", AMD64).await;
    let tagged = format!("{}/team/app:1", registry.host);
    let scanner = FakeScanner::new(&[(&pushed.digest.to_string(), PolicyVerdict::Pass)]);
    for (login_for, is_trusted, words) in [
        (Some(registry.host.as_str()), true, ""),
        (Some("localhost"), true, "there is none for it"),
        (None, true, "there is none for it"),
        (Some(&registry.host), false, "is not accepted"),
    ] {
        let options = registries(&registry.host, |host, options| {
            // What is said for one registry outweighs what is said for all.
            options.ca_bundle_path = Some(store.path("other-ca.crt"));
            host.ca_bundle_path = Some(store.path(if is_trusted { "ca.crt" } else { "other-ca.crt" }));
            options.docker_config_path = login_for.map(|host| store.docker_config(host));
        });
        std::fs::write(store.path("other-ca.crt"), super::web::self_signed().0).unwrap();
        let (reviewed, response) = review(&reviewer(&scanner, &options), &pod_review(&[&tagged])).await;
        assert_eq!(reviewed.is_allowed(), words.is_empty(), "{login_for:?} {response}");
        assert!(message(&response).contains(words), "{response}");
    }
}

#[tokio::test]
async fn a_login_that_changes_is_read_again() {
    let store = Store::new();
    let Some(open) = Registry::start(&store, Protection::None).await else { return };
    let Some(registry) = Registry::start(&store, Protection::Basic).await else { return };
    let pushed = open.push("team/app", "1", "app", AMD64).await;
    let tagged = format!("{}/team/app:1", registry.host);
    let scanner = FakeScanner::new(&[(&pushed.digest.to_string(), PolicyVerdict::Pass)]);
    let config = store.docker_config("other.example");
    let options = registries(&registry.host, |_, options| {
        options.ca_bundle_path = Some(store.ca());
        options.docker_config_path = Some(config.clone());
    });
    let reviewer = reviewer(&scanner, &options);
    assert_eq!(decide(&reviewer, &pod_review(&[&tagged])).await, Decision::Deny);
    std::fs::write(&config, "{").unwrap();
    let (_, response) = review(&reviewer, &pod_review(&[&tagged])).await;
    assert!(message(&response).contains("its credentials cannot be read"), "{response}");
    store.docker_config(&registry.host);
    assert_eq!(decide(&reviewer, &pod_review(&[&tagged])).await, Decision::Allow);
    // What cannot be used is said at the start.
    std::fs::write(&config, "{").unwrap();
    assert!(Registries::connect(&options, &Telemetry::detached()).is_err());
}

#[tokio::test]
async fn an_index_without_a_verdict_is_judged_by_its_images() {
    use PolicyVerdict::{Error, Fail, Pass, Warn};
    let store = Store::new();
    let Some(registry) = Registry::start(&store, Protection::None).await else { return };
    let both = registry.push("team/app", "1", "app", &["linux/amd64", "linux/arm64"]).await;
    let index = format!("{}/team/app@{}", registry.host, both.digest);
    let images: Vec<_> =
        both.images.iter().map(|digest| format!("{}/team/app@{digest}", registry.host)).collect();
    for (of_index, of_images, decision, questions) in [
        (Pass, [Fail, Fail], Decision::Allow, 1),
        (Fail, [Pass, Pass], Decision::Deny, 1),
        (Error, [Pass, Warn], Decision::Allow, 2),
        (Error, [Pass, Fail], Decision::Deny, 2),
        (Error, [Error, Pass], Decision::Deny, 2),
    ] {
        for written in [format!("{}/team/app:1", registry.host), index.clone()] {
            let scanner = FakeScanner::new(&[
                (&index, of_index),
                (&images[0], of_images[0]),
                (&images[1], of_images[1]),
            ]);
            let reviewer = reviewer(&scanner, &plain(&registry.host));
            let (reviewed, _) = review(&reviewer, &open_review(&[&written])).await;
            let row = format!("{written} {of_index:?} {of_images:?}");
            assert_eq!(reviewed.decision().decision, decision, "{row}");
            assert_eq!(reviewed.decision().images[0].resolved.as_ref(), Some(&index), "{row}");
            let asked: Vec<_> = scanner.requests().into_iter().map(|request| request.images).collect();
            assert_eq!(asked.len(), questions, "{row}");
            if questions == 2 {
                let mut second = asked[1].clone();
                second.sort();
                let mut expected = images.clone();
                expected.sort();
                assert_eq!(second, expected, "{row}");
            }
        }
    }
}

#[tokio::test]
async fn a_mirror_is_asked_and_scanner_hears_the_original_name() {
    let store = Store::new();
    let Some(registry) = Registry::start(&store, Protection::None).await else { return };
    let pushed = registry.push("hub/library/nginx", "1.27", "nginx", AMD64).await;
    let mut options = plain(&registry.host);
    let mut mirror = |beginning: &str, ask_at: Option<String>, known_as: Option<&str>| {
        let mut mirror = MirrorOptions::default();
        (mirror.ask_at, mirror.known_as) = (ask_at, known_as.map(str::to_owned));
        options.mirrors.insert(beginning.to_owned(), mirror);
    };
    // The engine is told by a file of its own, and by a mutating webhook.
    mirror("docker.io", Some(format!("{}/hub", registry.host)), None);
    mirror("127.0.0.1:31999", Some(format!("{}/hub", registry.host)), Some("docker.io"));
    let original = format!("docker.io/library/nginx@{}", pushed.digest);
    for written in ["nginx:1.27", "127.0.0.1:31999/library/nginx:1.27"] {
        let scanner = FakeScanner::new(&[(&original, PolicyVerdict::Pass)]);
        let (reviewed, _) = review(&reviewer(&scanner, &options), &pod_review(&[written])).await;
        assert!(reviewed.is_allowed());
        assert_eq!(scanner.requests()[0].images, [original.as_str()]);
        let image = &reviewed.decision().images[0];
        assert_eq!((image.name.as_str(), image.resolved.as_ref()), (written, Some(&original)));
    }
    let pinned = format!("127.0.0.1:31999/library/nginx@{}", pushed.digest);
    let scanner = FakeScanner::new(&[(&original, PolicyVerdict::Pass)]);
    assert_eq!(decide(&reviewer(&scanner, &options), &pod_review(&[&pinned])).await, Decision::Allow);
}

#[tokio::test]
async fn registries_are_reached_through_the_proxy_unless_they_are_excepted() {
    let store = Store::new();
    let Some(open) = Registry::start(&store, Protection::None).await else { return };
    let pushed = open.push("team/app", "1", "app", AMD64).await;
    let proxy = Proxy::start().await;
    let port = open.host.split_once(':').unwrap().1;
    let by_name = format!("registry.invalid:{port}");
    let scanner = FakeScanner::new(&[(&pushed.digest.to_string(), PolicyVerdict::Pass)]);
    for (host, except, tunnels) in [
        // The webhook cannot resolve the name itself.
        (&by_name, &[][..], 1),
        (&open.host, &["other.example"][..], 2),
        (&open.host, &["localhost"][..], 2),
        (&open.host, &["*"][..], 2),
    ] {
        let mut options = plain(host);
        options.proxy = Some(format!("http://{}", proxy.address).parse().unwrap());
        options.no_proxy = except.iter().map(|&host| host.to_owned()).collect();
        let tagged = format!("{host}/team/app:1");
        assert_eq!(decide(&reviewer(&scanner, &options), &pod_review(&[&tagged])).await, Decision::Allow);
        assert_eq!(proxy.targets().len(), tunnels, "{host} {except:?}");
    }
    assert_eq!(proxy.targets()[0], by_name);
}

#[tokio::test]
async fn reviews_at_once_share_one_request_to_the_registry() {
    let listener = Unserved::bind().await;
    let host = format!("localhost:{}", listener.port());
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let held = Arc::clone(&gate);
    let digest = zastava_core::image::Digest::of(b"manifest");
    let log = listener.serve(None, move |_| {
        let held = Arc::clone(&held);
        async move {
            let _permit = held.acquire().await.unwrap();
            super::registry_faults::manifest(&digest.to_string())
        }
    });
    let scanner = FakeScanner::new(&[(&digest.to_string(), PolicyVerdict::Pass)]);
    let reviewer = Arc::new(reviewer(&scanner, &plain(&host)));
    let tagged = format!("{host}/team/app:1");
    let reviews: Vec<_> = (0..100)
        .map(|_| {
            let (reviewer, tagged) = (Arc::clone(&reviewer), tagged.clone());
            tokio::spawn(async move { decide(&reviewer, &pod_review(&[&tagged])).await })
        })
        .collect();
    while log.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    // Whoever began the request leaves. The others are served all the same.
    reviews[0].abort();
    gate.add_permits(1);
    for review in reviews.into_iter().skip(1) {
        assert_eq!(review.await.unwrap(), Decision::Allow);
    }
    assert_eq!(log.lines(), ["HEAD /v2/team/app/manifests/1"]);
    assert_eq!(scanner.requests().len(), 1);
}
