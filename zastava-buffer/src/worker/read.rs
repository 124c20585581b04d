//! From segments to the consumer, a stretch ahead of it.

use std::io;
use std::time::Instant;

use super::{Retry, Worker};
use crate::entry::{Entry, Gap, Record};
use crate::lane::Segment;
use crate::scan::{Extent, Found, Frames, WINDOW_BYTES};
use crate::store::Store;
use crate::tally::{DropReason, Fate, Tally};

/// Entries read in one step, however small they are.
const ENTRIES_MAX: usize = 4096;

impl Worker {
    pub(super) fn read(&mut self, class: usize, now: Instant) -> bool {
        if !self.tails[class].read_retry.is_due(now) {
            return false;
        }
        let job = match self.lane(class, |lane| lane.read_job()) {
            None => return false,
            Some(Err(gap)) => {
                self.deliver(class, None, vec![gap]);
                return true;
            }
            Some(Ok(job)) => job,
        };
        match self.read_some(class, job.extent, job.epoch) {
            Ok((entries, end)) => {
                self.tails[class].read_retry = Retry::default();
                self.tails[class].read_failures = 0;
                self.deliver(class, Some((job.reads, end)), entries);
            }
            Err(error) => {
                self.tails[class].read_failures += 1;
                self.tails[class].reader = None;
                self.tails[class].read_retry.failed(now);
                self.degrade(&error);
            }
        }
        true
    }

    fn deliver(&self, class: usize, read: Option<(u64, u64)>, entries: Vec<Entry>) {
        self.shared.update(|state| {
            let lane = &mut state.lanes[class];
            let end = entries.last().map_or(0, |entry| entry.last_seq() + 1);
            let (reads, end) = read.unwrap_or_else(|| (lane.reads(), end));
            lane.read(reads, entries, end);
            state.wake_consumer();
        });
    }

    /// About a window of entries, and the number that follows them.
    fn read_some(&mut self, class: usize, extent: Extent, epoch: u32) -> io::Result<(Vec<Entry>, u64)> {
        let mut frames = self.reader(class, &extent);
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while bytes < WINDOW_BYTES && entries.len() < ENTRIES_MAX {
            let Some(found) = frames.next(self.store())? else { break };
            let entry = match found {
                Found::Record { seq, kind, payload } => {
                    Entry::Record(Record { seq, epoch, kind, bytes: payload, attempt: 1 })
                }
                Found::Lost { first, end, tally } => {
                    let tally = self.damage(class, &extent, (first, end), tally)?;
                    Entry::Gap(Gap { first_seq: first, last_seq: end - 1, counts: tally.drops() })
                }
            };
            bytes += entry.payload_bytes();
            entries.push(entry);
        }
        let end = frames.seq().max(extent.from_seq);
        self.tails[class].reader = Some((frames, end));
        Ok((entries, end))
    }

    /// The reader of the last time if it stands in the right place, else a new one.
    fn reader(&mut self, class: usize, extent: &Extent) -> Frames {
        let failures = self.tails[class].read_failures;
        let last = self.tails[class].reader.take();
        if let Some((mut frames, at)) = last
            && frames.name() == extent.name
            && at == extent.from_seq
            && failures == 0
        {
            frames.grow(extent.len, extent.known_end);
            return frames;
        }
        Frames::new(extent.clone()).after_failures(failures)
    }

    /// Damage was met: from now on it is in the books, and by kind as far as that can be known.
    fn damage(&mut self, class: usize, extent: &Extent, lost: (u64, u64), tally: Tally) -> io::Result<Tally> {
        let (first, end) = lost;
        let is_new = self.lane(class, |lane| {
            let segment = lane.segment_mut(first);
            segment.is_some_and(|segment| segment.damage.is_none() && segment.end > first)
        });
        if is_new {
            let survey = self.lane(class, |lane| {
                lane.segment_mut(first)
                    .and_then(|segment| Some((segment.extent(segment.from)?, segment.tally.clone())))
            });
            if let Some((whole, believed)) = survey {
                let failures = self.tails[class].read_failures;
                let frames = Frames::new(whole.clone()).after_failures(failures);
                let (found, damage) = survey_segment(self.store(), frames, &believed)?;
                self.lane(class, |lane| {
                    if let Some(segment) = lane.segment_mut(first) {
                        accept_survey(segment, &whole, &believed, found, damage);
                    }
                });
            }
        }
        debug_assert!(end <= extent.limit);
        let known = self.lane(class, |lane| {
            let damage = lane.segment_mut(first).and_then(|segment| segment.damage.as_ref());
            damage?.iter().find(|(at, known)| *at == first && known.total() == end - first).cloned()
        });
        Ok(known.map_or(tally, |(_, known)| known))
    }
}

/// The segment may have been settled further, or be gone, while it was read.
fn accept_survey(
    segment: &mut Segment,
    whole: &Extent,
    believed: &Tally,
    found: Tally,
    damage: Vec<(u64, Tally)>,
) {
    if segment.from == whole.from_seq && segment.tally == *believed && found.total() == believed.total() {
        segment.tally = found;
        segment.damage = Some(damage);
    }
}

/// Reads what is not settled. What the books believed to be there and is not there was in the stretches of
/// unknown kind.
fn survey_segment(
    store: &mut dyn Store,
    mut frames: Frames,
    believed: &Tally,
) -> io::Result<(Tally, Vec<(u64, Tally)>)> {
    let (mut found_all, mut unknown) = (Tally::default(), Vec::new());
    while let Some(found) = frames.next(store)? {
        match found {
            Found::Lost { first, end, ref tally } if is_unknown(tally) => {
                let reason = tally.iter().next().map_or(DropReason::Corrupt, |(fate, _)| reason_of(fate));
                unknown.push((first, end - first, reason));
            }
            found => found.add_to(&mut found_all),
        }
    }
    let mut missing = missing_kinds(believed, &found_all);
    let mut damage = Vec::new();
    for (first, count, reason) in unknown {
        let mut tally = Tally::default();
        for fate in missing.iter().map(|(fate, _)| fate).collect::<Vec<_>>() {
            let wanted = (count - tally.total()).min(missing.count(fate));
            let taken = missing.take(fate, wanted);
            let lost = if let Fate::Live(kind) = fate { Fate::Lost(Some(kind), reason) } else { fate };
            tally.add(lost, taken.total());
        }
        tally.add(Fate::Lost(None, reason), count - tally.total());
        found_all.merge(&tally);
        damage.push((first, tally));
    }
    Ok((found_all, damage))
}

fn is_unknown(tally: &Tally) -> bool {
    tally.iter().all(|(fate, _)| matches!(fate, Fate::Lost(None, DropReason::Corrupt | DropReason::Missing)))
}

fn reason_of(fate: Fate) -> DropReason {
    match fate {
        Fate::Lost(_, reason) => reason,
        Fate::Live(_) => DropReason::Corrupt,
    }
}

/// By kind, what is believed minus what was found, alive or lost with its kind.
fn missing_kinds(believed: &Tally, found: &Tally) -> Tally {
    let mut missing = Tally::default();
    for (fate, count) in believed.iter() {
        let here = match fate {
            Fate::Live(kind) => {
                let lost = |(of, count)| match of {
                    Fate::Lost(Some(lost), reason)
                        if lost == kind && believed.count(Fate::Lost(Some(lost), reason)) == 0 =>
                    {
                        count
                    }
                    _ => 0,
                };
                found.count(fate) + found.iter().map(lost).sum::<u64>()
            }
            lost => found.count(lost),
        };
        missing.add(fate, count.saturating_sub(here));
    }
    missing
}
