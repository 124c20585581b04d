//! Power cuts at random times, with at most one I/O error each, and planted bugs that they must find.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::disk::{Fault, SimDisk};
use super::{Oracle, Random, Session, options, remember_classes};
use crate::kind::Kind;
use crate::mutation::{Mutation, is_any_planted, plant};

const CRASHES_A_SEED: u64 = 3;
/// A planted bug that this many seeds do not find counts as not found.
const SEEDS_MAX: u64 = 5_000;

/// Runs a few sessions on one directory, each ended by a power cut or, less often, by `kill -9`.
fn run(seed: u64) {
    let mut random = Random::new(seed);
    let options = options(&mut random);
    remember_classes(&options);
    let mut oracle = Oracle::default();
    let mut disk = SimDisk::new();
    for _ in 0..CRASHES_A_SEED {
        disk.die_at(1 + random.below(150));
        if random.chance(50) {
            let at = random.below(150);
            disk.fail(at..at + 1, fault(&mut random));
        }
        if let Some(mut session) = Session::begin(&disk, &options) {
            live(&mut session, &mut oracle, &mut random, options.bytes_max);
        }
        disk = if random.chance(80) { disk.after_power_cut(&mut random) } else { disk.after_kill() };
        check(&disk, &options, &mut oracle, &mut random);
    }
}

fn fault(random: &mut Random) -> Fault {
    use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull, TimedOut};
    match random.below(6) {
        0 => Fault::Kind(StorageFull),
        1 => Fault::Kind(QuotaExceeded),
        2 => Fault::Kind(ReadOnlyFilesystem),
        3 => Fault::Kind(TimedOut),
        4 => Fault::Short,
        _ => Fault::Late,
    }
}

fn live(session: &mut Session, oracle: &mut Oracle, random: &mut Random, bytes_max: u64) {
    // With many kinds the cursor is longer than a sector.
    let kinds = if random.chance(50) { 3 } else { 60 };
    for _ in 0..400 {
        match random.below(10) {
            0..=4 => {
                for _ in 0..random.below(12) {
                    session.push(oracle, Kind(random.below(kinds) as u8), random.below(300) as usize);
                }
            }
            5 => session.pass(Duration::from_millis(random.below(30))),
            6 => {
                let ack = random.chance(70);
                session.consume(oracle, 1 + random.below(20) as usize, ack);
            }
            _ => {
                session.step();
                assert!(session.disk.bytes() <= bytes_max, "{} of {bytes_max}", session.disk.bytes());
                if session.disk.is_dead() {
                    return;
                }
                session.note_safe(oracle);
            }
        }
    }
}

/// Opens what was left and checks all of it, or a part of it.
fn check(disk: &SimDisk, options: &crate::BufferOptions, oracle: &mut Oracle, random: &mut Random) {
    let mut session = Session::begin(disk, options).expect("a disk without faults opens");
    assert!(session.disk.bytes() <= options.bytes_max, "{}", session.disk.bytes());
    let last: BTreeMap<u8, u64> = session.producer.last_numbers();
    oracle.forget_numbers_above(&last);
    if random.chance(50) {
        session.drain(oracle);
        oracle.check_nothing_missing();
    } else {
        session.consume(oracle, 10, random.chance(50));
    }
    session.settle();
    session.end();
}

fn seeds(default: u64) -> u64 {
    std::env::var("ZASTAVA_BUFFER_CRASHES").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
        / CRASHES_A_SEED
        + 1
}

#[test]
fn no_safe_record_is_lost_by_any_power_cut() {
    if let Some(seed) = std::env::var("ZASTAVA_BUFFER_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return run(seed);
    }
    let seeds = seeds(10_000);
    for seed in 0..seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
            super::report(&format!("ZASTAVA_BUFFER_SEED={seed} finds this again"));
            std::panic::resume_unwind(panic);
        }
    }
    super::report(&format!("{} power cuts, 0 violations", seeds * CRASHES_A_SEED));
}

/// Returns the first seed that finds the planted bug, and prints how many of the first 200 seeds do.
fn find(mutation: Mutation) -> Option<u64> {
    plant(Some(mutation));
    let is_found = |seed: &u64| catch_unwind(AssertUnwindSafe(|| run(*seed))).is_err();
    let first = (0..SEEDS_MAX).find(is_found);
    let found = (0..200).filter(is_found).count();
    plant(None);
    super::report(&format!("{mutation:?}: first found by seed {first:?}, by {found} of 200 seeds"));
    first
}

#[test]
fn planted_bugs_are_found() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !is_any_planted() {
            print(panic);
        }
    }));
    let mutations = [
        Mutation::NoNamesSync,
        Mutation::NoDataSync,
        Mutation::NoPayloadChecksum,
        Mutation::SyncAgainAfterFailure,
        Mutation::OneCursorSlot,
        Mutation::AcknowledgeBeforeSync,
        Mutation::RemoveBeforeCursor,
        Mutation::ReuseEpoch,
    ];
    let found = mutations.map(|mutation| (mutation, find(mutation)));
    assert!(found.iter().all(|(_, first)| first.is_some()), "{found:?}");
}
