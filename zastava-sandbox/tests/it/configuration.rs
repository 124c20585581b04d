use std::path::Path;
use std::sync::Arc;

use zastava_authority::RuntimeCore;
use zastava_core::clock::SystemClock;
use zastava_core::config::{Configuration, Section};
use zastava_core::contract::{EventsAccepted, PolicyRequest, PolicyVerdict, encode_batch};
use zastava_core::options::{BackendOptions, HealthOptions, RuntimeOptions};
use zastava_core::telemetry::Telemetry;
use zastava_sandbox::{Fault, FaultKind, Route};

use crate::client::{Bench, event};

fn read<T>(text: &str, read: impl FnOnce(&Section<'_>) -> Option<T>) -> T {
    match Configuration::from_yaml(text, Path::new("zastava.yaml")).read(read) {
        Ok((value, _)) => value,
        Err(faults) => panic!("{faults}"),
    }
}

#[tokio::test]
async fn the_configuration_is_what_the_programs_read() {
    let bench = Bench::new().await;
    let tenant = "M\u{fc}nchen \"west\": '#1' \\";
    let text = bench.sandbox.configuration(tenant);
    let (runtime, observer, webhook) = read(&text, |root| {
        let runtime = RuntimeOptions::read(&root.section("runtime"));
        let part = |name| {
            let section = root.section(name);
            (
                BackendOptions::read(&section.section("backend")),
                HealthOptions::read(&section.section("health"), 1),
            )
        };
        Some((runtime?, part("observer"), part("webhook")))
    });
    assert_eq!(runtime.tenant, tenant);
    let authority = &runtime.authority;
    assert_eq!(authority.issuer, bench.sandbox.issuer());
    assert!(authority.require_dpop && authority.require_mutual_tls && !authority.allow_insecure_http);
    let files = bench.sandbox.files();
    assert_eq!(authority.ca_bundle_path.as_ref(), Some(&files.ca_bundle));
    assert_eq!(authority.client_certificate_path.as_ref(), Some(&files.client_certificate));
    assert_eq!(authority.client_key_path.as_ref(), Some(&files.client_key));
    assert_eq!(authority.dpop_key_path.as_ref(), Some(&files.dpop_key));
    assert!(authority.cache_dir.starts_with(files.ca_bundle.parent().expect("has a parent")));
    for ((backend, health), port) in [(observer, 9101), (webhook, 9102)] {
        let backend = backend.expect("has a backend");
        assert_eq!(backend.base_address, bench.sandbox.scanner_url());
        assert_eq!(backend.ca_bundle_path.as_ref(), Some(&files.ca_bundle));
        assert_eq!(health.listen, ([127, 0, 0, 1], port).into());
    }
}

#[tokio::test]
async fn the_product_own_client_gets_through_with_this_configuration() {
    // The product's client goes by the system's clock.
    let bench = Bench::with(|options| options.clock = Arc::new(SystemClock)).await;
    let (runtime, backend) = read(&bench.sandbox.configuration("acme"), |root| {
        root.skip("webhook");
        let observer = root.section("observer");
        observer.skip("eventBufferPath");
        observer.skip("deadLetter");
        observer.skip("health");
        let backend = BackendOptions::read(&observer.section("backend"));
        Some((RuntimeOptions::read(&root.section("runtime"))?, backend?))
    });
    let core = RuntimeCore::connect(&runtime, &backend, &Telemetry::detached()).expect("connects");
    let scanner = core.scanner();
    let events = |id: &str| encode_batch("b", [event(id).to_string().as_bytes()]).into();
    let accepted = scanner.send_events(events("a")).await.expect("gets through");
    assert_eq!(accepted, EventsAccepted { accepted: 1, duplicates: 0 });

    let image = "registry.sandbox.local/demo/any:1".to_owned();
    let question = PolicyRequest { images: vec![image.clone()], ..PolicyRequest::default() };
    let answer = scanner.policy(&question).await.expect("gets through");
    let verdict = answer.result(&image, None).and_then(|result| result.policy_verdict);
    assert_eq!(verdict, Some(PolicyVerdict::Fail));

    bench.sandbox.rotate_nonces();
    let accepted = scanner.send_events(events("a")).await.expect("gets through with a new nonce");
    assert_eq!(accepted, EventsAccepted { accepted: 0, duplicates: 1 });
    let counts = bench.sandbox.counts();
    assert_eq!((counts.tokens_issued, counts.proofs_refused, counts.tokens_refused), (1, 0, 0));

    bench.sandbox.misbehave(Fault { route: Route::Events, kind: FaultKind::Reset, times: 1 });
    scanner.send_events(events("b")).await.expect_err("the connection is dropped");
    assert_eq!(bench.sandbox.accepted().len(), 1);
}
