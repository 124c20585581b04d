//! From segments to the consumer, a stretch ahead of it.

use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use super::{Retry, Worker};
use crate::entry::{Entry, Gap, Kind, Record};
use crate::lane::Stretch;
use crate::scan::{Extent, Found, Frames};
use crate::stats::Cause;
use crate::tally::{DropReason, Fate, Tally};

/// Payload and entries read in one step, at least one record.
const BYTES_MAX: usize = 1 << 20;
const ENTRIES_MAX: usize = 4096;
/// What a stretch is where no intact header tells more.
const UNKNOWN: [Fate; 2] = [(None, Some(DropReason::Corrupt)), (None, Some(DropReason::Missing))];

impl Worker {
    /// Reads for every class whose consumer waits; whether there was any.
    pub(super) fn read_all(&mut self, now: Instant) -> bool {
        let mut has_worked = false;
        for class in 0..self.tails.len() {
            let job = self.lane(class, |lane| if lane.wants_read { lane.read_job() } else { None });
            let Some((extent, epoch)) = job else {
                // What could not be read may be gone since.
                self.tails[class].read_retry = Retry::default();
                continue;
            };
            if !self.tails[class].read_retry.is_due(now) {
                continue;
            }
            let seq = extent.from_seq;
            match self.read(class, extent, epoch) {
                Ok(entries) => {
                    self.tails[class].read_retry = Retry::default();
                    self.shared.update(|state| {
                        state.lanes[class].wants_read = false;
                        state.lanes[class].read(seq, entries);
                        state.wake_consumer();
                    });
                }
                Err(error) => {
                    self.tails[class].reader = None;
                    self.tails[class].read_retry.failed(Cause::of(&error), now);
                }
            }
            has_worked = true;
        }
        has_worked
    }

    fn read(&mut self, class: usize, extent: Extent, epoch: u32) -> io::Result<Vec<Entry>> {
        let mut frames = match self.tails[class].reader.take() {
            Some(mut last) if last.name() == extent.name && last.seq() <= extent.from_seq => {
                last.go_on(extent);
                last
            }
            _ => Frames::new(extent, self.tails[class].read_retry.failures),
        };
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while bytes < BYTES_MAX && entries.len() < ENTRIES_MAX {
            let Some(found) = frames.next(self.store())? else { break };
            let entry = match found {
                Found::Record { seq, kind, payload: bytes } => {
                    Entry::Record(Record { seq, epoch, kind, bytes, attempt: 1 })
                }
                Found::Lost { first, end, tally } => {
                    let counts = self.damage(class, first, tally)?.drops();
                    Entry::Gap(Gap { first_seq: first, last_seq: end - 1, counts })
                }
            };
            bytes += entry.payload_bytes();
            entries.push(entry);
        }
        self.tails[class].reader = Some(frames);
        Ok(entries)
    }

    /// Damage was met: from now on it is in the books, and by kind as far as that can be known.
    fn damage(&mut self, class: usize, first: u64, lost: Tally) -> io::Result<Tally> {
        let whole = self.lane(class, |lane| {
            let stretch = lane.stretch(first).filter(|stretch| stretch.from <= first)?;
            let is_known = stretch.segment()?.damage.is_some();
            Some((stretch.extent(stretch.from)?, stretch.tally.clone())).filter(|_| !is_known)
        });
        if let Some((extent, believed)) = whole {
            let from = extent.from_seq;
            let frames = Frames::new(extent, self.tails[class].read_retry.failures);
            let (found, damage) = self.survey(frames, &believed)?;
            self.lane(class, |lane| {
                // It may have been settled further, or be gone, while it was read.
                let same = |stretch: &&mut Stretch| stretch.from == from && stretch.tally == believed;
                if let Some(stretch) = lane.stretch_mut(first).filter(same)
                    && let Some(segment) = stretch.segment_mut()
                    && found.total() == believed.total()
                {
                    segment.damage = Some(damage);
                    stretch.tally = found;
                }
            });
        }
        let known = self.lane(class, |lane| {
            let damage = lane.stretch(first)?.segment()?.damage.as_ref()?;
            damage.iter().find(|(at, known)| *at == first && known.total() == lost.total()).cloned()
        });
        Ok(known.map_or(lost, |(_, known)| known))
    }

    /// Reads what is not settled of a segment: the kinds that the books believed to be there and that are not, were
    /// in the stretches of unknown kind.
    fn survey(&mut self, mut frames: Frames, believed: &Tally) -> io::Result<(Tally, Vec<(u64, Tally)>)> {
        let (mut all, mut unknown) = (Tally::default(), Vec::new());
        while let Some(found) = frames.next(self.store())? {
            match found {
                Found::Lost { first, tally, .. } if tally.iter().all(|(fate, _)| UNKNOWN.contains(&fate)) => {
                    unknown.push((first, tally));
                }
                found => found.add_to(&mut all),
            }
        }
        let mut missing = by_kind(believed);
        for (kind, count) in by_kind(&all) {
            missing.entry(kind).and_modify(|believed| *believed = believed.saturating_sub(count));
        }
        for (_, lost) in &mut unknown {
            let mut known = Tally::default();
            for ((_, reason), mut count) in lost.iter() {
                for (kind, missing) in &mut missing {
                    let part = count.min(*missing);
                    known.add((*kind, reason), part);
                    (*missing, count) = (*missing - part, count - part);
                }
                known.add((None, reason), count);
            }
            all.merge(&known);
            *lost = known;
        }
        Ok((all, unknown))
    }
}

fn by_kind(tally: &Tally) -> BTreeMap<Option<Kind>, u64> {
    let mut kinds = BTreeMap::new();
    tally.iter().for_each(|((kind, _), count)| *kinds.entry(kind).or_insert(0) += count);
    kinds
}
