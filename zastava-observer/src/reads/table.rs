//! Which reads are under way, and which of them hang. Pure but for the clock.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use zastava_elf::Device;

use super::{NotRead, Place};

/// The most reads at one place. Until the first of them is given up, nobody knows that the place hangs.
pub(super) const READS_MAX: usize = 4;
/// The most places of one kind that may hang before unknown ones are refused. Each holds a few threads.
pub(super) const HUNG_MAX: usize = 32;
/// The most file systems that are remembered to have answered.
const ANSWERED_MAX: usize = 4096;

/// The reads under way.
#[derive(Debug, Default)]
pub(super) struct Table {
    reads: HashMap<u64, Read>,
    next: u64,
    not_read: u64,
    /// Beyond the bound, reads still go to these.
    answered: HashSet<Device>,
}

#[derive(Debug)]
struct Read {
    place: Place,
    since: Instant,
    is_given_up: bool,
}

/// A read that nobody waits for any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hung {
    pub(super) place: Place,
    pub(super) time: Duration,
}

/// Whether a read may go to a place.
pub(super) enum Admission {
    Now,
    /// When another read there has ended or is given up.
    Later,
    Refused(NotRead),
}

impl Place {
    /// Places of one kind share a bound. A workload that lets one kind of read hang takes nothing from the others.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Process { file, .. } => file,
            Self::LookUp { .. } => "look_up",
            Self::FileSystem(_) => "file_system",
            Self::Socket { .. } | Self::Node(_) => "node",
        }
    }
}

impl Table {
    pub(super) fn admit(&self, place: Place) -> Admission {
        let at_place = self.reads.values().filter(|read| read.place == place);
        if place == Place::Memory {
            Admission::Now
        } else if at_place.clone().any(|read| read.is_given_up) {
            Admission::Refused(NotRead::PlaceHangs)
        } else if self.is_full_for(place) {
            Admission::Refused(NotRead::TooMany)
        } else if at_place.count() >= READS_MAX {
            Admission::Later
        } else {
            Admission::Now
        }
    }

    /// A new read there, which was admitted.
    pub(super) fn begin(&mut self, place: Place) -> u64 {
        let id = self.next;
        self.next += 1;
        self.reads.insert(id, Read { place, since: Instant::now(), is_given_up: false });
        id
    }

    /// The read goes on to another place, which admitted it. If it was given up, it may hang there too.
    pub(super) fn go(&mut self, id: u64, place: Place) {
        if let Some(read) = self.reads.get_mut(&id) {
            read.place = place;
        }
    }

    pub(super) fn end(&mut self, id: u64) {
        let Some(Read { place: Place::FileSystem(device), .. }) = self.reads.remove(&id) else { return };
        if self.answered.len() >= ANSWERED_MAX {
            self.answered.clear();
        }
        self.answered.insert(device);
    }

    /// Nobody waits for the read any more. False if it has ended.
    pub(super) fn give_up(&mut self, id: u64) -> bool {
        let Some(read) = self.reads.get_mut(&id) else { return false };
        read.is_given_up = true;
        true
    }

    pub(super) fn count_not_read(&mut self) {
        self.not_read += 1;
    }

    /// How many reads gave no answer since the start.
    pub(super) fn not_read(&self) -> u64 {
        self.not_read
    }

    /// The reads that hang, longest first.
    pub(super) fn hung(&self) -> Vec<Hung> {
        let given_up = self.reads.values().filter(|read| read.is_given_up);
        let mut hung: Vec<Hung> =
            given_up.map(|read| Hung { place: read.place, time: read.since.elapsed() }).collect();
        hung.sort_by_key(|hung| std::cmp::Reverse(hung.time));
        hung
    }

    /// Whether places of this kind are refused that are not known to answer.
    pub(super) fn is_full(&self, kind: &str) -> bool {
        self.hung_places(kind) >= HUNG_MAX
    }

    fn is_full_for(&self, place: Place) -> bool {
        let answers = matches!(place, Place::FileSystem(device) if self.answered.contains(&device));
        // Those that answered can all die at once.
        self.hung_places(place.kind()) >= if answers { 2 * HUNG_MAX } else { HUNG_MAX }
    }

    fn hung_places(&self, kind: &str) -> usize {
        let hung = self.reads.values().filter(|read| read.is_given_up && read.place.kind() == kind);
        hung.map(|read| read.place).collect::<HashSet<_>>().len()
    }
}
