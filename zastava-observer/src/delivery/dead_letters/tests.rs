//! The files, as the observer and the command change them.

use super::*;

const EVENT: &[u8] = br#"{"schemaVersion":"zastava.runtime.event@v1.0","event":{"eventId":"odd"}}"#;

fn letters(directory: &Path) -> DeadLetters {
    DeadLetters::new(directory.join("below/dead-letter.jsonl"), 64 << 10)
}

fn write(letters: &DeadLetters, json: &[u8], reason: &str) -> u64 {
    letters.write(json, reason, Timestamp::UNIX_EPOCH).expect("is written")
}

fn reasons(letters: &[DeadLetter]) -> Vec<&str> {
    letters.iter().map(|letter| letter.reason.as_str()).collect()
}

#[test]
fn letters_are_lines_of_json_within_the_bound_and_what_it_costs_is_counted() {
    let directory = tempfile::tempdir().expect("a directory");
    let letters = letters(directory.path());
    let event = format!("{{\"event\":\"{}\"}}", "x".repeat(1000));
    let dropped: u64 = (0..200).map(|_| write(&letters, event.as_bytes(), "not valid")).sum();
    write(&letters, b"no JSON", "\"why\"");
    let text = fs::read_to_string(letters.path()).expect("is there");
    let last =
        serde_json::from_str::<serde_json::Value>(text.lines().last().expect("has lines")).expect("is JSON");
    assert_eq!((&last["event"], &last["reason"]), (&"no JSON".into(), &"\"why\"".into()));
    let older = fs::metadata(letters.path().with_extension("jsonl.1")).expect("was put aside").len();
    assert!(text.len() as u64 + older <= 64 << 10, "{} and {older}", text.len());
    let listed = letters.list().expect("can be read");
    assert_eq!(listed.len() as u64 + dropped, 201);
    assert_eq!(letters.size().expect("can be read"), (listed.len() as u64, text.len() as u64 + older));
}

#[test]
fn chosen_letters_are_removed_and_the_others_stay_in_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let letters = letters(directory.path());
    for reason in ["a", "b", "c"] {
        write(&letters, EVENT, reason);
    }
    let id = letters.list().expect("can be read")[1].id.clone();
    let removed = letters.remove(&Selection::Ids(vec![id.clone(), String::new()])).expect("can be changed");
    assert_eq!(reasons(&removed), ["b"]);
    assert_eq!(reasons(&letters.list().expect("can be read")), ["a", "c"]);
    assert!(letters.remove(&Selection::Ids(vec![id])).expect("can be read").is_empty());
    assert_eq!(reasons(&letters.remove(&Selection::All).expect("can be changed")), ["a", "c"]);
    assert!(letters.list().expect("can be read").is_empty());
}

#[test]
fn letters_to_send_again_wait_until_they_are_in_the_buffer() {
    let directory = tempfile::tempdir().expect("a directory");
    let letters = letters(directory.path());
    assert!(letters.to_resend().expect("can be read").is_empty());
    write(&letters, EVENT, "a");
    write(&letters, b"no JSON", "b");
    assert_eq!(reasons(&letters.resend(&Selection::All).expect("can be changed")), ["a"]);
    // What is no event stays.
    assert_eq!(reasons(&letters.list().expect("can be read")), ["b"]);
    // The observer may end before it has stored them.
    for _ in 0..2 {
        assert_eq!(reasons(&letters.to_resend().expect("can be read")), ["a"]);
    }
    // Further ones wait their turn.
    write(&letters, EVENT, "c");
    letters.resend(&Selection::All).expect("can be changed");
    assert_eq!(reasons(&letters.to_resend().expect("can be read")), ["a"]);
    letters.resent().expect("can be removed");
    assert_eq!(reasons(&letters.to_resend().expect("can be read")), ["c"]);
    letters.resent().expect("can be removed");
    assert!(letters.to_resend().expect("can be read").is_empty());
}

#[test]
fn a_command_that_is_stopped_does_not_stop_delivery() {
    let directory = tempfile::tempdir().expect("a directory");
    let letters = letters(directory.path());
    write(&letters, EVENT, "a");
    let held = lock(letters.path()).expect("is free");
    write(&letters, EVENT, "b");
    assert_eq!(letters.list().expect_err("is held").kind(), io::ErrorKind::TimedOut);
    drop(held);
    assert_eq!(reasons(&letters.list().expect("can be read")), ["a", "b"]);
}
