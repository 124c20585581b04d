//! Random histories against a model: a `VecDeque` and four counters.

use std::collections::{BTreeMap, VecDeque};

use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use proptest::test_runner::Config;
use proptest::{prop_oneof, proptest};
use tempfile::TempDir;
use zastava_buffer::{Buffer, DropReason, Entry, Kind, Options};

use crate::support::{check_books, check_disk, copy, open, scratch, small};

#[derive(Clone, Debug)]
enum Action {
    Push {
        kind: u8,
        bytes: usize,
    },
    Read {
        records_max: usize,
        bytes_max: usize,
    },
    /// Acknowledges this share of the latest batch, in sixteenths.
    Acknowledge {
        share: usize,
    },
    Sync,
    Reopen,
    /// Goes on with a copy of the files, as after `kill -9`.
    Kill,
    /// Reopens with a cap of this many KiB.
    Resize {
        kibibytes: u64,
    },
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        20 => (0_u8..5, 0_usize..4100).prop_map(|(kind, bytes)| Action::Push { kind, bytes }),
        10 => (0_u8..5, 0_usize..60).prop_map(|(kind, bytes)| Action::Push { kind, bytes }),
        8 => (1_usize..20, any::<u16>())
            .prop_map(|(records_max, bytes_max)| Action::Read { records_max, bytes_max: bytes_max.into() }),
        8 => (0_usize..=16).prop_map(|share| Action::Acknowledge { share }),
        1 => proptest::strategy::Just(Action::Sync),
        2 => proptest::strategy::Just(Action::Reopen),
        2 => proptest::strategy::Just(Action::Kill),
        1 => (64_u64..160).prop_map(|kibibytes| Action::Resize { kibibytes }),
    ];
    vec(action, 1..120)
}

/// What the model knows of a record: number, kind, length.
type Known = (u64, u8, usize);

#[derive(Debug, Default)]
struct Model {
    accepted: u64,
    acked: u64,
    dropped: BTreeMap<(u8, DropReason), u64>,
    pending: VecDeque<Known>,
    /// Whether the records before the pending ones were evicted and the consumer does not know yet.
    told_through: u64,
    latest_batch: Vec<u64>,
}

impl Model {
    fn evict(&mut self, count: u64, reason: DropReason) {
        for (_, kind, _) in self.pending.drain(..count as usize) {
            *self.dropped.entry((kind, reason)).or_insert(0) += 1;
        }
    }
}

struct Run {
    directory: TempDir,
    options: Options,
    buffer: Option<Buffer>,
    model: Model,
}

fn content(seq: u64, bytes: usize) -> Vec<u8> {
    seq.to_le_bytes().into_iter().cycle().take(bytes).collect()
}

impl Run {
    fn apply(&mut self, action: Action) {
        let buffer = self.buffer.as_ref().expect("open");
        match action {
            Action::Push { kind, bytes } => self.push(kind, bytes),
            Action::Read { records_max, bytes_max } => self.read(records_max, bytes_max),
            Action::Acknowledge { share } => self.acknowledge(share),
            Action::Sync => assert_eq!(buffer.sync().expect("sync"), self.model.accepted),
            Action::Reopen => self.reopen(None),
            Action::Kill => {
                let copied = copy(self.directory.path());
                self.reopen(Some(copied));
            }
            Action::Resize { kibibytes } => {
                self.options.bytes_max = kibibytes << 10;
                self.reopen(None);
            }
        }
        self.check();
    }

    fn push(&mut self, kind: u8, bytes: usize) {
        let model = &mut self.model;
        let seq = model.accepted + 1;
        let pushed = self.buffer.as_ref().expect("open").push(Kind(kind), &content(seq, bytes));
        if bytes > 4000 {
            pushed.expect_err("too large");
            return;
        }
        let admission = pushed.expect("push");
        assert_eq!(admission.seq, seq);
        model.evict(admission.evicted, DropReason::Evicted);
        model.accepted = seq;
        model.pending.push_back((seq, kind, bytes));
    }

    fn read(&mut self, records_max: usize, bytes_max: usize) {
        let model = &mut self.model;
        let batch = self.buffer.as_ref().expect("open").next_batch(records_max, bytes_max).expect("batch");
        model.latest_batch = batch.iter().map(Entry::last_seq).collect();
        let mut entries = batch.into_iter().peekable();
        let released = model.pending.front().map_or(model.accepted, |&(seq, ..)| seq - 1);
        if model.told_through < released {
            let Some(Entry::Gap(gap)) = entries.next() else { panic!("evicted records are not told") };
            assert_eq!((gap.first_seq, gap.last_seq), (model.told_through + 1, released));
        } else if !model.pending.is_empty() {
            assert!(entries.peek().is_some(), "there is something to read");
        }
        for (entry, &(seq, kind, bytes)) in entries.by_ref().zip(&model.pending) {
            let Entry::Record(record) = entry else { panic!("{entry:?}") };
            assert_eq!((record.seq, record.kind), (seq, Kind(kind)));
            assert_eq!(record.bytes, content(seq, bytes));
        }
        assert!(entries.next().is_none());
    }

    fn acknowledge(&mut self, share: usize) {
        let model = &mut self.model;
        let count = model.latest_batch.len() * share / 16;
        let Some(&seq) = count.checked_sub(1).and_then(|last| model.latest_batch.get(last)) else { return };
        let acked = self.buffer.as_ref().expect("open").ack_through(seq).expect("ack");
        let expected = model.pending.partition_point(|&(pending, ..)| pending <= seq);
        assert_eq!(acked, expected as u64);
        model.pending.drain(..expected);
        model.acked += acked;
        model.told_through = model.told_through.max(seq);
    }

    fn reopen(&mut self, directory: Option<TempDir>) {
        self.buffer = None;
        if let Some(directory) = directory {
            self.directory = directory;
        }
        let (buffer, report) = open(self.directory.path(), self.options);
        self.model.evict(report.evicted, DropReason::CapLowered);
        self.model.latest_batch.clear();
        assert_eq!((report.lost, report.damaged_headers, report.torn_tail), (0, 0, false));
        assert_eq!(report.pending, self.model.pending.len() as u64);
        self.buffer = Some(buffer);
    }

    fn check(&self) {
        let stats = self.buffer.as_ref().expect("open").stats();
        check_books(&stats);
        check_disk(self.directory.path(), &stats);
        assert_eq!(
            (stats.accepted, stats.acked, stats.pending),
            (self.model.accepted, self.model.acked, self.model.pending.len() as u64)
        );
        let dropped: BTreeMap<_, _> = stats
            .dropped
            .iter()
            .map(|(kind, reason, count)| ((kind.expect("kinds are known").0, reason), count))
            .collect();
        assert_eq!(dropped, self.model.dropped);
    }
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn any_history_agrees_with_the_model(actions in actions()) {
        let directory = scratch();
        let (buffer, _) = open(directory.path(), small());
        let model = Model::default();
        let mut run = Run { directory, options: small(), buffer: Some(buffer), model };
        for action in actions {
            run.apply(action);
        }
    }
}
