//! From segments to the consumer, a stretch ahead of it.

use std::io;
use std::time::Instant;

use super::{Retry, Worker, is_due};
use crate::entry::{Entry, Gap};
use crate::lane::Stretch;
use crate::scan::{Extent, Frames};
use crate::stats::Cause;
use crate::tally::{DropReason, Drops, Tally};

/// Payload and entries read in one step, at least one record.
const BYTES_MAX: usize = 1 << 20;
const ENTRIES_MAX: usize = 4096;

impl Worker {
    /// Reads for every class whose consumer waits; whether there was any.
    pub(super) fn read_all(&mut self, now: Instant) -> bool {
        let mut has_worked = false;
        for class in 0..self.tails.len() {
            let job = self.lane(class, |lane| if lane.wants_read { lane.read_job() } else { None });
            let Some(extent) = job else {
                // What could not be read may be gone since.
                self.tails[class].read_retry = Retry::default();
                continue;
            };
            if !is_due(self.tails[class].read_retry.at, now) {
                continue;
            }
            let seq = extent.from_seq;
            match self.read(class, extent) {
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

    fn read(&mut self, class: usize, extent: Extent) -> io::Result<Vec<Entry>> {
        let mut frames = match self.tails[class].reader.take() {
            Some(mut last) if last.extent.file.name == extent.file.name && last.seq <= extent.from_seq => {
                last.extent = extent;
                last
            }
            _ => Frames::new(extent, self.tails[class].read_retry.failures),
        };
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while bytes < BYTES_MAX
            && entries.len() < ENTRIES_MAX
            && let Some(mut entry) = frames.next(self.store())?
        {
            if let Entry::Gap(gap) = &mut entry {
                self.identify(class, &frames.extent.file.name, gap)?;
            }
            bytes += entry.payload_bytes();
            entries.push(entry);
        }
        self.tails[class].reader = Some(frames);
        Ok(entries)
    }

    /// Damage was met: from now on it is in the books, and by kind as far as that can be known.
    fn identify(&mut self, class: usize, file: &str, gap: &mut Gap) -> io::Result<()> {
        let whole = self.lane(class, |lane| {
            let stretch = lane.stretch(gap.first_seq).filter(|stretch| stretch.from <= gap.first_seq)?;
            Some((stretch.extent(stretch.from)?, stretch.tally.clone()))
        });
        if self.tails[class].surveyed.0 != file
            && let Some((extent, believed)) = whole
        {
            let from = extent.from_seq;
            let frames = Frames::new(extent, self.tails[class].read_retry.failures);
            let (found, unknown) = self.survey(frames, &believed)?;
            let is_installed = self.lane(class, |lane| {
                // It may have been settled further, or be gone, while it was read.
                let same = |stretch: &&mut Stretch| stretch.from == from && stretch.tally == believed;
                let stretch = lane.stretch_mut(gap.first_seq).filter(same);
                let stretch = stretch.filter(|_| found.total() == believed.total());
                stretch.map(|stretch| stretch.tally = found).is_some()
            });
            if is_installed {
                self.tails[class].surveyed = (file.to_owned(), unknown);
            }
        }
        let same = |known: &&Gap| (known.first_seq, known.last_seq) == (gap.first_seq, gap.last_seq);
        if let Some(known) = self.tails[class].surveyed.1.iter().find(same) {
            gap.counts = known.counts.clone();
        }
        Ok(())
    }

    /// Reads what is not settled of a segment: the kinds that the books believed to be there and that are not, were
    /// in the gaps of unknown kind.
    fn survey(&mut self, mut frames: Frames, believed: &Tally) -> io::Result<(Tally, Vec<Gap>)> {
        let (mut all, mut unknown) = (Tally::default(), Vec::new());
        while let Some(entry) = frames.next(self.store())? {
            match entry {
                // No intact header tells more.
                Entry::Gap(gap)
                    if gap.counts.iter().all(|(kind, reason, _)| {
                        kind.is_none() && matches!(reason, DropReason::Corrupt | DropReason::Missing)
                    }) =>
                {
                    unknown.push(gap);
                }
                entry => entry.add_to(&mut all),
            }
        }
        let mut missing = Tally::default();
        believed.iter().for_each(|((kind, _), count)| missing.add((kind, None), count));
        all.iter().for_each(|((kind, _), count)| _ = missing.take_of((kind, None), count));
        for gap in &mut unknown {
            let mut known = Tally::default();
            for (_, reason, count) in gap.counts.iter() {
                let kinds = missing.take((None, None), count);
                kinds.iter().for_each(|((kind, _), count)| known.add((kind, Some(reason)), count));
                known.add((None, Some(reason)), count - kinds.total());
            }
            all.merge(&known);
            gap.counts = Drops(known);
        }
        Ok((all, unknown))
    }
}
