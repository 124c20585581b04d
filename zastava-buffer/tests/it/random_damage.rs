//! Several damages at once, of every sort, again and again on the same directory: it opens, delivers
//! nothing wrong, tells every number once, and the books balance.

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use proptest::test_runner::Config;
use proptest::{prop_oneof, proptest};

use crate::support::{check_books, check_disk, drain, files, fill, open, scratch, small};

#[derive(Clone, Debug)]
enum Damage {
    Flip {
        mask: u8,
    },
    Cut,
    Take {
        bytes: usize,
    },
    Repeat {
        bytes: usize,
    },
    Zero {
        bytes: usize,
    },
    Append {
        bytes: Vec<u8>,
    },
    Remove,
    /// The segment passes for another one.
    Rename {
        epoch: u64,
        first_seq: u64,
        salt: u32,
    },
}

/// A damage, the file it befalls, and where in the file; both reduced to what there is.
type Accident = (usize, usize, Damage);

fn accidents() -> impl Strategy<Value = Vec<Accident>> {
    let damage = prop_oneof![
        4 => (1..=u8::MAX).prop_map(|mask| Damage::Flip { mask }),
        2 => proptest::strategy::Just(Damage::Cut),
        2 => (1_usize..200).prop_map(|bytes| Damage::Take { bytes }),
        2 => (1_usize..200).prop_map(|bytes| Damage::Repeat { bytes }),
        2 => (1_usize..500).prop_map(|bytes| Damage::Zero { bytes }),
        1 => vec(any::<u8>(), 1..300).prop_map(|bytes| Damage::Append { bytes }),
        1 => proptest::strategy::Just(Damage::Remove),
        1 => (1_u64..6, 1_u64..99, 0_u32..9)
            .prop_map(|(epoch, first_seq, salt)| Damage::Rename { epoch, first_seq, salt }),
    ];
    vec((any::<usize>(), any::<usize>(), damage), 1..4)
}

fn befall(directory: &Path, (file, place, damage): Accident) {
    let files: Vec<_> = files(directory).into_iter().filter(|path| !path.ends_with("lock")).collect();
    let Some(path) = files.get(file % files.len().max(1)) else { return };
    let mut bytes = fs::read(path).expect("read");
    let at = place % bytes.len().max(1);
    let end = |length: usize| (at + length).min(bytes.len());
    match damage {
        Damage::Flip { mask } => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= mask),
        Damage::Cut => bytes.truncate(at),
        Damage::Take { bytes: length } => drop(bytes.drain(at..end(length))),
        Damage::Repeat { bytes: length } => {
            let repeated = bytes[at..end(length)].to_vec();
            bytes.splice(at..at, repeated);
        }
        Damage::Zero { bytes: length } => {
            let end = end(length);
            bytes[at..end].fill(0);
        }
        Damage::Append { bytes: more } => bytes.extend(more),
        Damage::Remove => return fs::remove_file(path).expect("remove"),
        Damage::Rename { epoch, first_seq, salt } => {
            let name = format!("{epoch:016x}-{first_seq:016x}-{salt:08x}.seg");
            return fs::rename(path, directory.join(name)).expect("rename");
        }
    }
    fs::write(path, bytes).expect("write");
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn any_damage_is_contained(
        sessions in vec((0_u64..60, 0_usize..40, any::<bool>()), 1..4),
        rounds in vec((accidents(), any::<bool>()), 1..4),
    ) {
        let directory = scratch();
        for (pushed, acknowledged, killed) in sessions {
            let (buffer, _) = open(directory.path(), small());
            fill(&buffer, pushed);
            let batch = buffer.next_batch(acknowledged, 1 << 20).expect("batch");
            batch.last().map(|entry| buffer.ack_through(entry.last_seq()).expect("ack"));
            let cursor = directory.path().join("cursor");
            let as_it_was = fs::read(&cursor).expect("read");
            drop(buffer);
            if killed {
                fs::write(cursor, as_it_was).expect("write");
            }
        }
        for (accidents, drained) in rounds {
            accidents.into_iter().for_each(|accident| befall(directory.path(), accident));
            let (buffer, report) = open(directory.path(), small());
            let stats = buffer.stats();
            check_books(&stats);
            check_disk(directory.path(), &stats);
            if drained {
                let drained = drain(&buffer);
                drained.assert_genuine();
                assert_eq!(drained.records.len() as u64, report.pending);
            }
            fill(&buffer, 1);
        }
    }
}
