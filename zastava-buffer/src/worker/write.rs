//! Writes records from memory to segments, and syncs them.

use std::io;
use std::time::Instant;

use super::{Worker, is_due};
use crate::counts::Counts;
use crate::format::{Footer, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentName};
use crate::lane::{Chunk, Lane};
use crate::mutation::{Mutation, is_planted};
use crate::options::blocks;
use crate::scan::SegmentFile;
use crate::stats::StorageProblem;
use crate::store::{Removal, is_below_floor};

/// Bound of one write step.
const WRITE_BYTES: usize = 1 << 20;

/// The segment that is being written.
#[derive(Debug)]
pub(crate) struct ActiveSegment {
    /// The file with the length of everything written, synced or not.
    file: SegmentFile,
    /// The footer that the segment would get now.
    footer: Footer,
    is_name_synced: bool,
}

impl Worker {
    pub(super) fn write(&mut self, class: usize) -> io::Result<bool> {
        let (group, mut bytes) = (self.options.group_records(), 0);
        while bytes < WRITE_BYTES
            && let Some((chunk, evicts)) = self.lane(class, |lane| lane.next_chunk(group))
        {
            let appended = self.append(class, &chunk, evicts);
            let has_room = appended.inspect_err(|_| self.abandon(class))?;
            self.shared.update(|queue| {
                queue.lanes[class].chunk_done(has_room);
                queue.wake_waiters();
            });
            if !has_room {
                break;
            }
            bytes += chunk.bytes.len();
        }
        if bytes > 0 && (!self.options.is_synced() || is_planted(Mutation::AcknowledgeBeforeSync)) {
            self.free_written(class);
        }
        Ok(bytes > 0)
    }

    /// Appends the chunk. Returns false if there is no room within the cap and nothing may be evicted.
    fn append(&mut self, class: usize, chunk: &Chunk, evicts: bool) -> io::Result<bool> {
        let segment_bytes = self.options.segment_bytes;
        let needed = chunk.bytes.len() as u64 + Footer::bytes(&chunk.counts);
        let fits = |active: &ActiveSegment| {
            let len = active.file.len + needed + Footer::bytes(&active.footer.counts);
            active.footer.end_seq == chunk.first && len <= segment_bytes
        };
        if !self.lane_ios[class].active.as_ref().is_some_and(fits) {
            let least = blocks(SEGMENT_HEADER_BYTES as u64 + needed);
            if !self.roll(class, chunk.first, blocks(segment_bytes).max(least), evicts)? {
                return Ok(false);
            }
        }
        let (Some(store), Some(active)) = (&mut self.store, &mut self.lane_ios[class].active) else {
            return Ok(false);
        };
        store.write(&active.file.name, active.file.len, &chunk.bytes)?;
        active.file.len += chunk.bytes.len() as u64;
        active.footer.end_seq = chunk.end;
        active.footer.counts.merge(&chunk.counts);
        Ok(true)
    }

    /// Seals the active segment and begins the next one.
    fn roll(&mut self, class: usize, first_seq: u64, reserve: u64, evicts: bool) -> io::Result<bool> {
        self.seal(class)?;
        while self.shared.update(|queue| queue.disk_bytes()) + reserve > self.options.bytes_max {
            if !self.make_room(class, evicts)? {
                // If no segment takes the room, waiting for the consumer does not help: this is an error.
                let is_ours =
                    self.shared.update(|queue| queue.lanes.iter().any(|lane| lane.disk_bytes() > 0));
                return if is_ours { Ok(false) } else { Err(io::ErrorKind::StorageFull.into()) };
            }
        }
        // A hole before this segment was settled in memory. The cursor must cover it before the segment exists.
        if self.lane(class, |lane| lane.segments.back().is_none_or(|last| last.end != first_seq)) {
            self.save(class, true)?;
        }
        match self.begin(class, first_seq, reserve) {
            // Other files filled the disk. Our oldest segment is evicted only if memory fills up too.
            // docs/design/buffer.md#when-does-a-full-disk-cost-the-backlog
            Err(error) if StorageProblem::of(&error) == StorageProblem::NoSpace => {
                let is_filling = self.shared.update(|queue| queue.is_ring_filling());
                if !self.make_room(class, evicts && is_filling && !is_below_floor(&error))? {
                    return Err(error);
                }
                self.begin(class, first_seq, reserve)?;
            }
            begun => begun?,
        }
        Ok(true)
    }

    /// Removes settled files. If there are none and `evicts` is set, evicts the oldest segment. Returns false if nothing
    /// was removed.
    fn make_room(&mut self, class: usize, evicts: bool) -> io::Result<bool> {
        for class in 0..self.lane_ios.len() {
            if self.free(class)? {
                return Ok(true);
            }
        }
        Ok(evicts && self.evict(class)?)
    }

    fn begin(&mut self, class: usize, first_seq: u64, reserve: u64) -> io::Result<()> {
        let (salt, epoch, buffer_id) =
            self.lane(class, |lane| (lane.salt, lane.cursor.epoch, lane.cursor.buffer_id));
        self.lane_ios[class].serial += 1;
        let serial = self.lane_ios[class].serial;
        let identity = SegmentName { class: class as u8, epoch, serial, first_seq, salt };
        let file = SegmentFile { name: identity.to_string(), identity, len: SEGMENT_HEADER_BYTES as u64 };
        if let Err(error) = self.store().create(&file.name, reserve) {
            // The file may exist all the same, and nothing else would remove it.
            let _ = self.store().remove(&file.name, Removal::Delete);
            return Err(error);
        }
        // The lane must know the file before a write can fail, so that the file is removed then.
        self.lane(class, |lane| lane.begin(file.clone(), reserve));
        let footer = Footer { end_seq: first_seq, counts: Counts::default() };
        self.lane_ios[class].active =
            Some(ActiveSegment { file: file.clone(), footer, is_name_synced: false });
        self.store().write(&file.name, 0, &SegmentHeader::encode(&identity, buffer_id))
    }

    /// Evicts the oldest segment of the lowest class. Returns false if there is none.
    fn evict(&mut self, class: usize) -> io::Result<bool> {
        while let Some((victim, is_dropped)) = self.shared.update(|queue| queue.evict(class)) {
            if is_dropped {
                return self.free(victim);
            }
            self.seal(victim)?;
        }
        Ok(false)
    }

    /// Syncs the active segment if that is due: at once after a quiet time, otherwise after enough records or time.
    pub(super) fn commit(&mut self, class: usize, now: Instant) -> io::Result<bool> {
        let (unsynced, is_urgent) =
            self.shared.update(|queue| (queue.lanes[class].unsynced(), queue.is_urgent(class)));
        let is_late = is_due(self.lane_ios[class].sync_at, now);
        let is_enough = is_late || is_urgent || unsynced >= self.options.group_records();
        if unsynced == 0 || !is_enough || !self.options.is_synced() {
            return Ok(false);
        }
        self.lane_ios[class].sync_at = Some(now + self.options.interval());
        self.sync(class).inspect_err(|_| self.abandon(class))?;
        self.free_written(class);
        Ok(true)
    }

    fn sync(&mut self, class: usize) -> io::Result<()> {
        let (Some(store), Some(active)) = (&mut self.store, &mut self.lane_ios[class].active) else {
            return Ok(());
        };
        if !is_planted(Mutation::NoDataSync) {
            match store.sync(&active.file.name) {
                // After a failed sync the kernel marks the pages as clean, so a second sync would succeed and prove nothing
                // (Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020).
                // docs/design/buffer.md#why-do-records-stay-in-memory-until-they-are-synced
                Err(_) if is_planted(Mutation::SyncAgainAfterFailure) => store.sync(&active.file.name)?,
                synced => synced?,
            }
        }
        if !active.is_name_synced && !is_planted(Mutation::NoNamesSync) {
            store.sync_names()?;
        }
        active.is_name_synced = true;
        Ok(())
    }

    fn free_written(&self, class: usize) {
        let Some(active) = &self.lane_ios[class].active else { return };
        self.shared.update(|queue| queue.free_written(class, active.file.len));
    }

    /// Seals the active segment: writes its footer and releases the rest of its reservation.
    pub(super) fn seal(&mut self, class: usize) -> io::Result<()> {
        let Some(active) = &self.lane_ios[class].active else { return Ok(()) };
        let footer = active.footer.encode(active.file.identity.salt);
        let SegmentFile { name, len, .. } = active.file.clone();
        let file_len = len + footer.len() as u64;
        let store = self.store();
        let written = store.write(&name, len, &footer).and_then(|()| store.truncate(&name, file_len));
        let sealed = written.and_then(|()| if self.options.is_synced() { self.sync(class) } else { Ok(()) });
        sealed.inspect_err(|_| self.abandon(class))?;
        self.free_written(class);
        self.lane_ios[class].active = None;
        self.lane(class, |lane| lane.close_active(Some(blocks(file_len))));
        Ok(())
    }

    /// Abandons the active segment after a failure. It is cut back to its last sync and never written again. Its unsynced
    /// records are still in memory and go to the next segment.
    fn abandon(&mut self, class: usize) {
        if let Some(active) = self.lane_ios[class].active.take() {
            let last_len = |lane: &mut Lane| Some(lane.segments.back()?.segment()?.file.len);
            let safe_len = self.lane(class, last_len).unwrap_or(0);
            let is_cut = self.store().truncate(&active.file.name, safe_len).is_ok();
            self.lane(class, |lane| lane.close_active(is_cut.then(|| blocks(safe_len))));
        }
        self.lane(class, |lane| lane.write_again());
    }
}
