//! The file through the live set's own interface, on a real disk.

use zastava_core::clock::Timestamp;

use super::*;
use crate::workload::Workload;
use crate::workload::tests::workload;

fn open(directory: &Path) -> (LiveSet, Earlier) {
    LiveSet::open(directory, "boot-1", &Telemetry::detached())
}

fn transition(key: &str, step: Step) -> Transition {
    Transition { workload: workload(key, 7), at: Timestamp::UNIX_EPOCH, step, reconciled: false }
}

async fn start(set: &mut LiveSet, key: &str, is_on_disk: bool) {
    let start = transition(key, Step::Start);
    set.begins(&start).await;
    set.committed(&start, is_on_disk);
}

fn stop(set: &mut LiveSet, key: &str) {
    set.committed(&transition(key, Step::Stop { exit_status: None }), true);
}

/// Ends the set and its thread, as the end of a process does. What is restored then: `a` is told, `a?` may be.
fn reopen(set: LiveSet, directory: &Path) -> (LiveSet, String) {
    drop(set);
    loop {
        let (set, earlier) = open(directory);
        // The thread of the set before this one still writes.
        if set.writer.state().failure().is_some_and(|reason| reason.contains("another observer")) {
            std::thread::yield_now();
            continue;
        }
        return (set, text(&earlier));
    }
}

fn text(earlier: &Earlier) -> String {
    let text =
        |restored: &Restored| format!("{}{}", restored.workload.key, if restored.is_told { "" } else { "?" });
    earlier.workloads.iter().map(text).collect::<Vec<_>>().join(" ")
}

fn begin_file(set: &mut LiveSet) {
    set.replace(std::iter::empty(), std::iter::empty());
}

#[tokio::test]
async fn what_ran_is_known_after_the_end_whenever_that_comes() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut set, earlier) = open(directory.path());
    assert_eq!((earlier.boot_id.as_str(), text(&earlier).as_str()), ("", ""));
    begin_file(&mut set);
    start(&mut set, "a", true).await;
    start(&mut set, "b", true).await;
    stop(&mut set, "b");
    // The event is not stored yet, or is in memory only.
    set.begins(&transition("c", Step::Start)).await;
    start(&mut set, "d", false).await;
    let (mut set, found) = reopen(set, directory.path());
    assert_eq!(found, "a c? d?");
    // All of a workload that its stop event needs is there, and nothing that may be secret.
    let (again, earlier) = open(directory.path());
    assert!(earlier.workloads.is_empty(), "another observer keeps it");
    assert!(
        again.status()()["missing"]
            .as_str()
            .is_some_and(|reason| reason.contains("another observer keeps it"))
    );
    drop(again);
    let known = workload("a", 7);
    begin_file(&mut set);
    set.replace([&known].into_iter(), std::iter::empty());
    set.unfollowed(Engine::Containerd);
    let (mut set, found) = reopen(set, directory.path());
    assert_eq!(found, "a");
    set.unfollowed(Engine::Host);
    assert_eq!(reopen(set, directory.path()).1, "");
}

#[tokio::test]
async fn it_is_known_later_which_processes_are_the_workloads() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut set, _) = open(directory.path());
    let known = Workload { start_ticks: Some(9), cgroup: Some("c0ffee".to_owned()), ..workload("a", 7) };
    set.replace([&known].into_iter(), std::iter::empty());
    drop(set);
    let restored = loop {
        let (_, earlier) = open(directory.path());
        // The thread of the set before this one still writes.
        if let [restored] = &earlier.workloads[..] {
            break restored.workload.clone();
        }
        std::thread::yield_now();
    };
    assert_eq!((restored.start_ticks, restored.cgroup), (known.start_ticks, known.cgroup));
}

#[tokio::test]
async fn a_line_that_is_cut_off_or_damaged_costs_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut set, _) = open(directory.path());
    begin_file(&mut set);
    for key in ["a", "b", "c"] {
        start(&mut set, key, true).await;
    }
    drop(set);
    let path = directory.path().join(FILE);
    let whole = loop {
        let text = std::fs::read_to_string(&path).expect("is there");
        if text.lines().count() == 7 {
            break text;
        }
        std::thread::yield_now();
    };
    // The power went while a line was written, and a bit of another one has flipped.
    let cut = whole.len() - 20;
    let mut damaged = whole.into_bytes();
    damaged.truncate(cut);
    damaged[60] ^= 1;
    std::fs::write(&path, &damaged).expect("can be written");
    let earlier = log::read(&path).expect("can be read");
    assert_eq!((earlier.boot_id.as_str(), text(&earlier).as_str()), ("boot-1", "b c?"));
}

#[tokio::test]
async fn the_file_stays_short_and_a_disk_that_failed_is_tried_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let inside = directory.path().join("events");
    std::fs::write(&inside, "in the way").expect("can be written");
    let (mut set, _) = open(&inside);
    begin_file(&mut set);
    assert!(set.status()()["missing"].is_string());
    std::fs::remove_file(&inside).expect("is ours");
    let known = workload("a", 7);
    set.keep_short(1, [&known].into_iter(), std::iter::empty());
    while set.status()() != "kept on disk" {
        tokio::task::yield_now().await;
    }
    for number in 0..3000 {
        let key = format!("w{number}");
        start(&mut set, &key, true).await;
        stop(&mut set, &key);
        set.keep_short(1, [&known].into_iter(), std::iter::empty());
    }
    let (set, found) = reopen(set, &inside);
    assert_eq!(found, "a");
    let lines = std::fs::read_to_string(inside.join(FILE)).expect("is there").lines().count();
    assert!(lines <= LINES_MAX + 10, "{lines}");
    drop(set);
}
