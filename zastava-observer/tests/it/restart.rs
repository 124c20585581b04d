//! The program is killed while processes come and go. What stopped while it was away is told once.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use zastava_core::contract::EventKind;
use zastava_core::vocabulary::Annotation;

use crate::program::Observer;
use crate::support::{Process, Stage, sleep_path, within};

const ROUNDS: usize = 10;

/// A pause of at most that long. Kills are to meet the program at any point of its work.
async fn pause(longest_ms: u64) {
    let random = RandomState::new().hash_one(0);
    tokio::time::sleep(Duration::from_millis(random % longest_ms)).await;
}

/// What Scanner knows of one process.
#[derive(Debug, Default)]
struct Told {
    starts: u32,
    stops: u32,
    reconciled: bool,
}

fn told(stage: &Stage) -> BTreeMap<u32, Told> {
    let mut told: BTreeMap<u32, Told> = BTreeMap::new();
    for found in stage.sandbox.accepted() {
        let Some(process) = &found.event.process else { continue };
        let of = told.entry(process.pid).or_default();
        match found.event.kind {
            EventKind::ContainerStart => of.starts += 1,
            _ => {
                of.stops += 1;
                of.reconciled |= found.event.annotations.contains_key(Annotation::Reconciled.as_str());
            }
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_tells_every_stop_of_what_it_told_once() {
    let stage = Stage::start().await;
    let (mut running, mut ended): (Vec<Process>, Vec<u32>) = (Vec::new(), Vec::new());
    let end_one = |running: &mut Vec<Process>, ended: &mut Vec<u32>| {
        if running.len() > 2 {
            let process = running.remove(0);
            ended.push(process.pid());
            drop(process);
        }
    };
    for _ in 0..ROUNDS {
        let mut observer = Observer::start(&stage);
        for _ in 0..4 {
            running.push(Process::sleep(sleep_path()));
            pause(150).await;
            end_one(&mut running, &mut ended);
        }
        pause(300).await;
        observer.child.kill().expect("runs");
        observer.child.wait().expect("ends");
        // While nobody watches, one ends and one begins.
        end_one(&mut running, &mut ended);
        running.push(Process::sleep(sleep_path()));
    }
    let mut last = Observer::start(&stage);
    let alive: Vec<u32> = running.iter().map(Process::pid).collect();
    let starts_are_told =
        |pids: &[u32]| pids.iter().all(|pid| told(&stage).get(pid).is_some_and(|of| of.starts > 0));
    within(async {
        while !starts_are_told(&alive) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // The list that showed them also showed what is gone, and all of it is sent before the end.
    assert!(last.terminate().success());
    let accounting =
        last.line("the observer has ended")["accounting"].as_str().expect("is logged").to_owned();
    assert!(accounting.contains(r#""buffered":0"#), "{accounting}");

    let told = told(&stage);
    for pid in &alive {
        let of = &told[pid];
        assert_eq!((of.starts, of.stops), (1, 0), "{pid} runs: {of:?}");
    }
    let seen: Vec<(&u32, &Told)> = ended.iter().filter_map(|pid| told.get_key_value(pid)).collect();
    for (pid, of) in &seen {
        assert_eq!((of.starts, of.stops), (1, 1), "{pid} has ended: {of:?}");
    }
    // Most ended under the eyes of some observer, and some in between.
    assert!(seen.len() >= ROUNDS, "{} of {} were seen", seen.len(), ended.len());
    assert!(seen.iter().any(|(_, of)| of.reconciled), "{seen:?}");
}
