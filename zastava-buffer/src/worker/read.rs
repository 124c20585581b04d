//! Reads segments ahead of the consumer, and works out the kinds of lost records.

use std::io;
use std::time::Instant;

use super::{Retry, Worker, is_due};
use crate::counts::{Counts, DropCounts};
use crate::drop_reason::DropReason;
use crate::entry::{Entry, Gap};
use crate::lane::SeqRange;
use crate::scan::{Extent, Frames};
use crate::stats::StorageProblem;

/// Bounds of one read step, which reads at least one entry.
const BYTES_MAX: usize = 1 << 20;
const ENTRIES_MAX: usize = 4096;

impl Worker {
    /// Reads for every class that has to. Returns true if there was any.
    pub(super) fn read_all(&mut self, now: Instant) -> bool {
        let mut has_worked = false;
        for class in 0..self.lane_ios.len() {
            let job = self.lane(class, |lane| if lane.wants_read { lane.read_job() } else { None });
            let Some(extent) = job else {
                // The segment that could not be read may be gone by now.
                self.lane_ios[class].read_retry = Retry::default();
                continue;
            };
            if !is_due(self.lane_ios[class].read_retry.at, now) {
                continue;
            }
            let seq = extent.from_seq;
            match self.read(class, extent) {
                Ok(entries) => {
                    self.lane_ios[class].read_retry = Retry::default();
                    self.shared.update(|queue| {
                        queue.lanes[class].wants_read = false;
                        queue.lanes[class].read(seq, entries);
                        queue.wake_consumer();
                    });
                }
                Err(error) => {
                    self.lane_ios[class].reader = None;
                    self.lane_ios[class].read_retry.failed(StorageProblem::of(&error), now);
                }
            }
            has_worked = true;
        }
        has_worked
    }

    fn read(&mut self, class: usize, extent: Extent) -> io::Result<Vec<Entry>> {
        let mut frames = match self.lane_ios[class].reader.take() {
            Some(mut last) if last.extent.file.name == extent.file.name && last.seq <= extent.from_seq => {
                last.extent = extent;
                last
            }
            _ => Frames::new(extent, self.lane_ios[class].read_retry.failures),
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
        self.lane_ios[class].reader = Some(frames);
        Ok(entries)
    }

    /// Counts a gap that was found in a segment, by kind as far as the kinds can be worked out.
    fn identify(&mut self, class: usize, file: &str, gap: &mut Gap) -> io::Result<()> {
        let whole = self.lane(class, |lane| {
            let range = lane.range_at(gap.first_seq).filter(|range| range.from <= gap.first_seq)?;
            Some((range.extent(range.from)?, range.counts.clone()))
        });
        if self.lane_ios[class].surveyed.0 != file
            && let Some((extent, believed)) = whole
        {
            let from = extent.from_seq;
            let frames = Frames::new(extent, self.lane_ios[class].read_retry.failures);
            let (found, unknown) = self.survey(frames, &believed)?;
            let is_installed = self.lane(class, |lane| {
                // The range may have been settled further, or be gone, since it was read.
                let same = |range: &&mut SeqRange| range.from == from && range.counts == believed;
                let range = lane.range_at_mut(gap.first_seq).filter(same);
                let range = range.filter(|_| found.total() == believed.total());
                range.map(|range| range.counts = found).is_some()
            });
            if is_installed {
                self.lane_ios[class].surveyed = (file.to_owned(), unknown);
            }
        }
        let same = |known: &&Gap| (known.first_seq, known.last_seq) == (gap.first_seq, gap.last_seq);
        if let Some(known) = self.lane_ios[class].surveyed.1.iter().find(same) {
            gap.counts = known.counts.clone();
        }
        Ok(())
    }

    /// Reads the unsettled part of a segment. The kinds that are in `believed` but not in the segment were in the gaps of
    /// unknown kind.
    fn survey(&mut self, mut frames: Frames, believed: &Counts) -> io::Result<(Counts, Vec<Gap>)> {
        let (mut all, mut unknown) = (Counts::default(), Vec::new());
        while let Some(entry) = frames.next(self.store())? {
            match entry {
                // No intact header names a kind.
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
        let mut missing = Counts::default();
        believed.iter().for_each(|((kind, _), count)| missing.add((kind, None), count));
        all.iter().for_each(|((kind, _), count)| _ = missing.take_of((kind, None), count));
        for gap in &mut unknown {
            let mut known = Counts::default();
            for (_, reason, count) in gap.counts.iter() {
                let kinds = missing.take((None, None), count);
                kinds.iter().for_each(|((kind, _), count)| known.add((kind, Some(reason)), count));
                known.add((None, Some(reason)), count - kinds.total());
            }
            all.merge(&known);
            gap.counts = DropCounts(known);
        }
        Ok((all, unknown))
    }
}
