use serde::Serialize;
use serde::de::DeserializeOwned;
use zastava_core::contract::{
    AdmissionDecisionEnvelope, CanonicalError, EventKind, KindStyle, PolicyResponse, PolicyVerdict,
    RuntimeEventEnvelope, SchemaVersion, canonical_digest, declared_hash, encode_batch, event_id,
};

const EVENT_FULL: &str = include_str!("../golden/event-full.json");
const EVENT_MINIMAL: &str = include_str!("../golden/event-minimal.json");

/// The golden text reads, and writes back to the same bytes but for white space: order included.
#[track_caller]
fn check_round_trip<T: Serialize + DeserializeOwned>(golden: &str) {
    let value: T = serde_json::from_str(golden).expect("golden text reads");
    assert_eq!(serde_json::to_string(&value).expect("value writes"), compact(golden));
}

/// Golden text without the white space between tokens; `serde_json::Value` would sort the members.
fn compact(json: &str) -> String {
    let mut in_string = false;
    let outside = |c: &char| {
        in_string ^= *c == '"';
        in_string || !c.is_whitespace()
    };
    json.chars().filter(outside).collect()
}

#[test]
fn golden_documents_survive_a_round_trip() {
    check_round_trip::<RuntimeEventEnvelope>(EVENT_FULL);
    check_round_trip::<RuntimeEventEnvelope>(EVENT_MINIMAL);
    check_round_trip::<AdmissionDecisionEnvelope>(include_str!("../golden/decision.json"));
    check_round_trip::<PolicyResponse>(include_str!("../golden/policy-response.json"));
}

#[test]
fn kinds_are_read_in_every_spelling_and_written_in_the_chosen_one() {
    for spelling in ["ContainerStart", "CONTAINER_START", "containerstart", "container_Start"] {
        let text = EVENT_FULL.replace("ContainerStart", spelling);
        let envelope: RuntimeEventEnvelope = serde_json::from_str(&text).expect(spelling);
        assert_eq!(envelope.event.kind, EventKind::ContainerStart);
        let screaming =
            String::from_utf8(envelope.encode(KindStyle::Screaming).expect("encodes")).expect("is text");
        assert_eq!(screaming, compact(&EVENT_FULL.replace("ContainerStart", "CONTAINER_START")));
    }
    serde_json::from_str::<RuntimeEventEnvelope>(&EVENT_FULL.replace("ContainerStart", "Started"))
        .expect_err("an unknown kind is no event");
}

#[test]
fn unknown_members_are_ignored() {
    let text = EVENT_MINIMAL.replace(r#""tenant""#, r#""later": {"x": [1]}, "tenant""#);
    let envelope: RuntimeEventEnvelope = serde_json::from_str(&text).expect("reads");
    assert_eq!(envelope.event.tenant, "t");
}

#[test]
fn a_batch_is_the_envelopes_as_they_are() {
    let batch = encode_batch("b \"1\"", [br#"{"a":1}"#.as_slice(), br#"{"b":2}"#]);
    assert_eq!(batch, br#"{"batchId":"b \"1\"","events":[{"a":1},{"b":2}]}"#);
    assert_eq!(encode_batch("b", []), br#"{"batchId":"b","events":[]}"#);
}

#[test]
fn event_ids_depend_on_every_part_and_on_where_it_ends() {
    let id = |tenant, node| event_id(tenant, node, "c", EventKind::Drift, "1");
    assert_eq!(id("ab", "c"), id("ab", "c"));
    assert_ne!(id("ab", "c"), id("a", "bc"));
    assert_ne!(id("a", "b"), event_id("a", "b", "c", EventKind::Drift, "2"));
    assert_ne!(id("a", "b"), event_id("a", "b", "c", EventKind::ContainerStop, "1"));
    // Written down: a release that changes it would double every event of the field.
    assert_eq!(id("tenant", "node"), "g8U1r6OZvmXCchZa9-YTdMwnsy5Koht84rZF7ZtB-1Y");
}

#[test]
fn verdicts_are_read_in_any_case_and_never_guessed_to_pass() {
    for (text, verdict) in [
        ("\"pass\"", PolicyVerdict::Pass),
        ("\"PASS\"", PolicyVerdict::Pass),
        ("\"Warn\"", PolicyVerdict::Warn),
        ("\"fail\"", PolicyVerdict::Fail),
        ("\"error\"", PolicyVerdict::Error),
        ("\"approved\"", PolicyVerdict::Error),
    ] {
        assert_eq!(serde_json::from_str::<PolicyVerdict>(text).expect(text), verdict, "{text}");
    }
}

#[test]
fn policy_answers_are_read_tolerantly() {
    let answer: PolicyResponse = serde_json::from_str(
        r#"{"results": {"sha256:1111111111111111111111111111111111111111111111111111111111111111":
            {"policyVerdict": "PASS", "hasSbom": true, "reasons": null, "buildIds": null,
             "metadata": "{\"a\": 1}", "confidence": 0.5, "quieted": true}}}"#,
    )
    .expect("reads");
    let digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
    let result = answer.result("repo@sha256:1111", digest.parse().ok()).expect("found by the bare digest");
    assert_eq!(result.policy_verdict, Some(PolicyVerdict::Pass));
    assert_eq!(result.has_sbom_referrers, Some(true));
    assert_eq!(result.metadata["a"], 1);
    assert!(answer.result("other", None).is_none());
}

#[test]
fn schema_versions_are_compatible_within_a_major() {
    let version = |text: &str| text.parse::<SchemaVersion>().expect(text);
    let ours = SchemaVersion::RUNTIME_EVENT;
    assert_eq!(ours.to_string(), "zastava.runtime.event@v1.0");
    assert!(ours.is_compatible(&version("zastava.runtime.event@v1.7")));
    assert!(!ours.is_compatible(&version("zastava.runtime.event@v2.0")));
    assert!(!ours.is_compatible(&version("zastava.admission.decision@v1.0")));
    let known = [version("s@v1.0"), version("s@v1.2")];
    assert_eq!(
        SchemaVersion::negotiate(&known, &[version("s@v1.0"), version("s@v1.1")]),
        Some(version("s@v1.0"))
    );
    assert_eq!(SchemaVersion::negotiate(&known, &known), Some(version("s@v1.2")));
    assert_eq!(SchemaVersion::negotiate(&known, &[version("s@v3.0")]), Some(version("s@v1.0")));
    for text in ["", "s", "s@v1", "s@v1.", "s@v1.x", "@v1.0", "s@v-1.0", "s@v+1.0"] {
        text.parse::<SchemaVersion>().expect_err(text);
    }
}

#[test]
fn the_two_hashes_match_their_vectors() {
    // RFC 8785 section 3.2.3 sorts by UTF-16 code units: U+1F600 comes before U+FB33.
    let value = serde_json::json!({"\u{fb33}": 3, "\u{1f600}": 2, "ä": "Grüße", "a": 1});
    let canonical = "{\"a\":1,\"ä\":\"Grüße\",\"\u{1f600}\":2,\"\u{fb33}\":3}";
    assert_eq!(
        canonical_digest(&value).expect("has a canonical form"),
        zastava_core::image::Digest::of(canonical.as_bytes())
    );
    let event: RuntimeEventEnvelope = serde_json::from_str(EVENT_FULL).expect("reads");
    assert_eq!(declared_hash(&event).expect("hashes"), "sha256-n5hDzbmlJ3dhi4Nmk8JtxBAeapxMok27Yv3OgEQobtY");
    let float = serde_json::json!({"a": [{"b": 1.5}]});
    assert!(matches!(canonical_digest(&float), Err(CanonicalError::Float)));
    assert!(matches!(declared_hash(&float), Err(CanonicalError::Float)));
}
