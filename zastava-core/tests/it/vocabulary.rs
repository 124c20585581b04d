//! The words of the wire: read, written, documented.

use zastava_core::contract::{EventKind, KindStyle, RuntimeEventEnvelope};
use zastava_core::vocabulary::{Annotation, Engine, Platform, Provenance, Signal, Word};

/// The page that operators read, `docs/vocabulary.md`, lists the words that the code knows.
#[test]
fn the_documented_words_are_the_declared_ones() {
    macro_rules! rows {
        ($vocabulary:ty) => {
            <$vocabulary>::ALL
                .iter()
                .map(|word| format!("| `{word}` | {} |", word.meaning()))
                .collect::<Vec<_>>()
        };
    }
    check_section("Engines", rows!(Engine));
    check_section("Platforms", rows!(Platform));
    check_section("Signals", rows!(Signal));
    check_section("Provenance", rows!(Provenance));
    check_section("Annotations", rows!(Annotation));
    let kinds = EventKind::ALL.map(|kind| format!("| `{kind}` | `{}` |", kind.name(KindStyle::Screaming)));
    check_section("Event kinds", kinds.into());
}

#[track_caller]
fn check_section(heading: &str, wanted: Vec<String>) {
    let page = include_str!("../vocabulary.md");
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).expect(heading);
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(rows, wanted, "docs/vocabulary.md, {heading}, must hold:\n{}", wanted.join("\n"));
}

#[test]
fn every_word_reads_as_itself_and_no_other_text_is_a_word() {
    for signal in Signal::ALL {
        assert_eq!(signal.to_string().parse(), Ok(*signal));
        assert_eq!(serde_json::to_string(signal).expect("is text"), format!("\"{signal}\""));
    }
    for text in ["", "Host", "host ", "podman"] {
        let refusal = text.parse::<Engine>().expect_err(text);
        assert_eq!(refusal.to_string(), "not a listed engine");
        serde_json::from_str::<Engine>(&format!("{text:?}")).expect_err(text);
    }
}

#[test]
fn an_unlisted_word_leaves_an_event_readable_and_is_written_back() {
    let golden = include_str!("../golden/event-minimal.json");
    let event: RuntimeEventEnvelope = serde_json::from_str(golden).expect("reads");
    let mut json = serde_json::to_value(&event).expect("writes");
    json["event"]["runtime"]["engine"] = "podman".into();
    json["event"]["workload"]["platform"] = "nomad".into();
    json["event"]["evidence"] = serde_json::json!([{"signal": "overlay.upper", "value": "/x"}]);

    let read: RuntimeEventEnvelope = serde_json::from_value(json.clone()).expect("reads");
    assert_eq!(read.event.engine.name, Word::Unlisted("podman".to_owned()));
    assert_eq!(read.event.workload.platform.listed(), None);
    assert_ne!(read.event.evidence[0].signal, Signal::Proc);
    assert_eq!(serde_json::to_value(&read).expect("writes"), json);
}
