//! Single namespaces where denials are not enforced, and what decisions say of themselves.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use zastava_admission::{AdmissionOptions, Enforcement, NamespaceOptions, Reviewer, WebhookOptions};
use zastava_core::clock::{Clock as _, ManualClock, Timestamp};
use zastava_core::config::Configuration;
use zastava_core::contract::PolicyVerdict;
use zastava_core::telemetry::{
    ADMISSION_ENFORCED, ADMISSION_LET_THROUGH, ADMISSION_UNENFORCED_UNTIL, Telemetry,
};

use super::installation::{Installation, get};
use super::scanner::{
    FakeScanner, Mood, SIGNED, UNSIGNED, create, options, pod, pod_review, review, reviewer,
};

const LEAST: &str = "zastava:
  runtime: {tenant: acme, authority: {issuer: https://authority.internal, clientCertificatePath: /c, clientKeyPath: /k}}
  webhook:
    backend: {baseAddress: https://scanner.internal}
";

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn exception(name: &str, enforcement: Enforcement, until: Option<&str>) -> NamespaceOptions {
    let mut exception = NamespaceOptions::new(name, enforcement);
    exception.until = until.map(time);
    exception.ticket = Some("OPS-17".to_owned());
    exception.reason = Some("signing is down".to_owned());
    exception
}

fn in_namespace(namespace: &str, image: &str) -> Value {
    let mut review = pod_review(&[image]);
    review["request"]["namespace"] = namespace.into();
    review
}

/// Enforcement in general, the exception of `shop`, the time, and who is let through with an unsigned image.
#[tokio::test]
async fn an_exception_holds_for_its_namespace_until_its_end() {
    use Enforcement::{Enforce, Warn};
    const END: &str = "2026-12-01T12:00:00Z";
    const BEFORE: &str = "2026-12-01T11:59:59Z";
    for (general, exception_of_shop, now, shop, others) in [
        (Enforce, None, BEFORE, false, false),
        (Enforce, Some((Warn, Some(END))), BEFORE, true, false),
        (Enforce, Some((Warn, Some(END))), END, false, false),
        (Enforce, Some((Warn, None)), "2099-01-01T00:00:00Z", true, false),
        (Warn, Some((Enforce, None)), BEFORE, false, true),
        (Warn, Some((Enforce, Some(END))), BEFORE, false, true),
        (Warn, Some((Enforce, Some(END))), END, true, true),
    ] {
        for mood in [Mood::Answers, Mood::Refuses] {
            let row = format!("{general:?} {exception_of_shop:?} {now}");
            let options = options(|options| {
                options.enforcement = general;
                options.namespaces = exception_of_shop
                    .map(|(enforcement, until)| exception("shop", enforcement, until))
                    .into_iter()
                    .collect();
            });
            let (scanner, telemetry) = (FakeScanner::demo(), Telemetry::detached());
            scanner.mood(mood);
            let clock = Arc::new(ManualClock::new(time(now)));
            let reviewer = Reviewer::new(options, scanner, &telemetry).with_clock(clock);
            let by_exception = shop && exception_of_shop.is_some_and(|(enforcement, _)| enforcement == Warn);
            for (namespace, allowed) in [("shop", shop), ("other", others)] {
                let (reviewed, response) = review(&reviewer, &in_namespace(namespace, UNSIGNED)).await;
                assert_eq!(reviewed.is_allowed(), allowed, "{row}, {namespace}");
                assert_eq!(response.get("warnings").is_some(), allowed, "{row}, {namespace}: {response}");
                let end = format!(" Decision {}.", reviewed.decision().admission_id);
                let ends = |warning: &Value| warning.as_str().is_some_and(|text| text.ends_with(&end));
                assert!(response["warnings"].as_array().into_iter().flatten().all(ends), "{response}");
                let is_named = reviewed.decision().annotations.contains_key("exception");
                assert_eq!(is_named, by_exception && namespace == "shop", "{row}, {namespace}");
            }
            let let_through = |name: &str| telemetry.counter(ADMISSION_LET_THROUGH).get(&[name]);
            assert_eq!(let_through("shop"), u64::from(by_exception), "{row}");
            assert_eq!(let_through("*"), u64::from(shop && !by_exception) + u64::from(others), "{row}");
            let enforced = if general == Enforce { 1.0 } else { 0.0 };
            assert_eq!(telemetry.gauge(ADMISSION_ENFORCED).get(&[]), enforced, "{row}");
        }
    }
}

#[tokio::test]
async fn an_exception_is_seen_in_decision_and_metric() {
    let options = options(|options| {
        options.namespaces = vec![exception("shop", Enforcement::Warn, Some("2099-12-01T12:00:00Z"))];
    });
    let telemetry = Telemetry::detached();
    let reviewer = Reviewer::new(options, FakeScanner::demo(), &telemetry);
    let (reviewed, _) = review(&reviewer, &pod_review(&[UNSIGNED])).await;
    assert_eq!(
        reviewed.decision().annotations["exception"],
        "namespace shop is not enforced until 2099-12-01T12:00:00Z, OPS-17, signing is down"
    );
    let end = time("2099-12-01T12:00:00Z").unix_seconds() as f64;
    assert_eq!(telemetry.gauge(ADMISSION_UNENFORCED_UNTIL).get(&["shop"]), end);
    let (reviewed, _) = review(&reviewer, &pod_review(&[SIGNED])).await;
    assert!(!reviewed.decision().annotations.contains_key("exception"), "nothing was let through");
}

fn read(admission: &str) -> Result<(AdmissionOptions, Vec<String>), String> {
    let text = format!("{LEAST}    admission:\n{admission}");
    let read = Configuration::from_yaml(&text, Path::new("zastava.yaml")).read(WebhookOptions::read);
    read.map(|(options, settings)| (options.admission, settings.notes().map(str::to_owned).collect()))
        .map_err(|faults| faults.to_string())
}

#[test]
fn exceptions_are_settings_by_namespace_and_end_by_themselves() {
    let (options, notes) = read(
        "      namespaces:
        shop: {enforce: false, until: '2099-12-01T00:00:00Z', reason: signing is down, ticket: OPS-17}
        bank: {enforce: true}
        past: {enforce: false, until: '2020-01-01T00:00:00Z'}
      failOpenNamespaces: [{name: batch, until: '2020-01-02T00:00:00Z'}]
",
    )
    .unwrap();
    let bank = NamespaceOptions::new("bank", Enforcement::Enforce);
    let shop = exception("shop", Enforcement::Warn, Some("2099-12-01T00:00:00Z"));
    assert_eq!(options.namespaces[..2], [shop, bank]);
    assert_eq!(notes.len(), 2, "{notes:?}");
    for (note, words) in notes.iter().zip([
        "zastava.webhook.admission.namespaces: the entry for past ended at 2020-01-01T00:00:00Z",
        "zastava.webhook.admission.failOpenNamespaces: the entry for batch ended at 2020-01-02T00:00:00Z",
    ]) {
        assert!(note.contains(words), "{note}");
    }
    for (admission, words) in [
        ("namespaces: {shop: {enforce: false}}", "admission.namespaces.shop.until: missing"),
        ("namespaces: {shop: {until: '2099-12-01T00:00:00Z'}}", "admission.namespaces.shop.enforce: missing"),
        (
            "namespaces: {shop: {enforce: false, until: soon}}",
            "admission.namespaces.shop.until: expected an RFC 3339",
        ),
        (
            "namespaces: {shop: {enforce: true, untill: soon}}",
            "shop.untill: unknown key; did you mean until?",
        ),
        ("namespaces: {shop: }", "admission.namespaces.shop.enforce: missing"),
        ("namespaces: {shop: false}", "admission.namespaces.shop: expected a section with keys"),
        ("namespaces: [shop]", "admission.namespaces: expected a map of sections"),
        ("namespaces: {Shop: {enforce: true}}", "\"Shop\" is no name of a namespace"),
    ] {
        let faults = read(&format!("      {admission}\n")).unwrap_err();
        assert!(faults.contains(words), "{admission}: {faults}");
    }
}

#[test]
fn config_check_notes_what_has_ended_and_finds_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zastava.yaml");
    let ended = "{enforce: false, until: '2020-01-01T00:00:00Z'}";
    std::fs::write(&path, format!("{LEAST}    admission: {{namespaces: {{shop: {ended}}}}}\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_zastava-webhook"));
    let output = command.arg("--config").arg(&path).args(["config", "check"]).output().unwrap();
    let [said, noted] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success() && said.starts_with("the configuration is valid"), "{said}{noted}");
    let place = format!("note: {}:5: zastava.webhook.admission.namespaces: ", path.display());
    assert!(noted.starts_with(&place), "{noted}");
    assert!(noted.contains("the entry for shop ended at 2020-01-01T00:00:00Z"), "{noted}");
}

#[tokio::test]
async fn exceptions_are_logged_and_stand_in_status_with_their_reviews() {
    let end = Timestamp::now().saturating_add(Duration::from_secs(3600)).to_string();
    let until = format!("--set=zastava.webhook.admission.namespaces.shop.until={end}");
    let mut installation = Installation::start(&[
        "--set=zastava.webhook.admission.namespaces.shop.enforce=false",
        &until,
        "--set=zastava.webhook.admission.namespaces.shop.ticket=OPS-17",
        "--set=zastava.webhook.admission.namespaces.misspelt.enforce=false",
        "--set=zastava.webhook.admission.namespaces.misspelt.until=2020-01-01T00:00:00Z",
    ])
    .await;
    let response = installation.review(UNSIGNED).await;
    assert_eq!(response["allowed"], true, "{response}");
    let decision = installation.webhook.decision().await.decision;
    assert!(decision.annotations["exception"].contains("OPS-17"), "{:?}", decision.annotations);
    let answer = get(installation.probes, "/status").await;
    let status: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let found = status["admission"]["namespaces"].as_array().unwrap();
    let of = |name: &str| found.iter().find(|one| one["name"] == name).unwrap();
    let shown = |one: &Value| json!([one["enforce"], one["state"], one["reviews"], one["ticket"]]);
    assert_eq!(shown(of("shop")), json!([false, "in effect", 1, "OPS-17"]), "{status}");
    assert_eq!(shown(of("misspelt")), json!([false, "ended", 0, null]), "{status}");
}

/// The members that say when, where, who and what, for a Pod that a person names and one that a controller does.
#[tokio::test]
async fn a_decision_says_when_where_who_and_what_and_the_denial_repeats_its_id() {
    let clock = Arc::new(ManualClock::new(time("2026-11-20T10:11:12Z")));
    let scanner = FakeScanner::demo();
    let reviewer = Reviewer::new(AdmissionOptions::default(), scanner, &Telemetry::detached())
        .with_clock(clock.clone())
        .with_replica("zastava-webhook-7d9f-x2x8f");
    let mut generated = pod(&[UNSIGNED]);
    generated["metadata"] = json!({"name": "web-7d4b9c-q5tzn", "generateName": "web-7d4b9c-", "uid": "f1c2a0a4", "namespace": "shop"});
    let mut by_controller = create("", "Pod", &generated);
    by_controller["request"]["name"] = Value::Null;
    by_controller["request"]["userInfo"]["username"] =
        "system:serviceaccount:kube-system:replicaset-controller".into();
    let mut yet_to_be_named = by_controller.clone();
    yet_to_be_named["request"]["object"]["metadata"].as_object_mut().unwrap().remove("name");
    let controller = "system:serviceaccount:kube-system:replicaset-controller";
    for (what, name, generate_name, uid, user) in [
        (pod_review(&[UNSIGNED]), Some("web"), None, None, "admin"),
        (by_controller, Some("web-7d4b9c-q5tzn"), Some("web-7d4b9c-"), Some("f1c2a0a4"), controller),
        (yet_to_be_named, None, Some("web-7d4b9c-"), Some("f1c2a0a4"), controller),
    ] {
        let (reviewed, response) = review(&reviewer, &what).await;
        let decision = reviewed.decision();
        let found = |key: &str| decision.annotations.get(key).map(String::as_str);
        assert_eq!(found("time"), Some("2026-11-20T10:11:12Z"));
        assert_eq!(found("replica"), Some("zastava-webhook-7d9f-x2x8f"));
        assert_eq!((found("name"), found("generateName"), found("uid")), (name, generate_name, uid));
        assert_eq!(found("user"), Some(user));
        let message = response["status"]["message"].as_str().unwrap();
        assert!(message.ends_with(&format!(" Decision {}.", decision.admission_id)), "{message}");
        assert!(message.contains("Sign the image"), "the advice stays: {message}");
    }
    assert_eq!(clock.now(), time("2026-11-20T10:11:12Z"));
}

/// What only describes the object is no reason to refuse it, whatever its type.
#[tokio::test]
async fn odd_metadata_does_not_refuse_an_object() {
    let scanner = FakeScanner::demo();
    for (member, value) in
        [("name", json!(5)), ("uid", json!({})), ("generateName", json!([1])), ("uid", Value::Null)]
    {
        let mut object = pod(&[SIGNED]);
        object["metadata"][member] = value;
        let mut what = create("", "Pod", &object);
        what["request"]["name"] = Value::Null;
        let (reviewed, _) = review(&reviewer(&scanner), &what).await;
        assert!(reviewed.is_allowed(), "{member}");
    }
}

#[tokio::test]
async fn a_denied_tag_says_that_it_has_no_digest() {
    use PolicyVerdict::{Error, Fail};
    const TAGGED: &str = "registry.sandbox.local/demo/signed:1";
    const BY_DIGEST: &str = "Name the image by its digest.";
    for (image, asked, verdict, resolve_tags, words, advice) in [
        (TAGGED, TAGGED, Error, true, "has a tag and no digest: the policy source has no verdict", BY_DIGEST),
        (TAGGED, TAGGED, Error, false, "has a tag and no digest: the tag 1 can move", BY_DIGEST),
        (TAGGED, TAGGED, Fail, true, "has a tag and no digest: ", "Sign the image"),
        (
            "nginx",
            "docker.io/library/nginx:latest",
            Error,
            true,
            "image nginx has neither tag nor digest: ",
            BY_DIGEST,
        ),
        (
            "nginx",
            "docker.io/library/nginx:latest",
            Error,
            false,
            "image nginx has neither tag nor digest: ",
            BY_DIGEST,
        ),
    ] {
        let options = options(|options| options.resolve_tags = resolve_tags);
        let scanner = FakeScanner::new(&[(asked, verdict)]);
        let reviewer = Reviewer::new(options, scanner, &Telemetry::detached());
        let (_, response) = review(&reviewer, &pod_review(&[image])).await;
        let message = response["status"]["message"].as_str().unwrap();
        assert!(message.contains(words) && message.contains(advice), "{message}");
    }
    let reviewer = Reviewer::new(AdmissionOptions::default(), FakeScanner::new(&[]), &Telemetry::detached());
    let (_, response) = review(&reviewer, &pod_review(&[SIGNED])).await;
    assert!(!response["status"]["message"].as_str().unwrap().contains("no digest"), "{response}");
}
