//! From memory to segments.

use std::io;
use std::time::Instant;

use super::{Retry, Worker};
use crate::config::{Commit, blocks};
use crate::format::{Footer, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentName};
use crate::lane::{Piece, Segment};
use crate::mistake::{Mistake, planted};
use crate::state::Eviction;
use crate::store::Removal;
use crate::tally::{DropReason, Tally};

/// Written at once; the lock is free meanwhile.
const WRITE_BYTES: usize = 1 << 20;

/// The segment that is written to.
#[derive(Debug)]
pub(crate) struct Active {
    name: String,
    salt: u32,
    /// What is in the file, synced or not.
    len: u64,
    end: u64,
    total: Tally,
    /// Of that, what is safe: up to here the file is kept if something fails.
    safe_len: u64,
    is_name_synced: bool,
}

/// Why nothing can be written now.
#[derive(Debug)]
enum Stop {
    /// No room within the cap, and nothing that may go.
    Full,
    Failed(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Worker {
    pub(super) fn write(&mut self, class: usize, now: Instant) -> bool {
        if !self.tails[class].write_retry.is_due(now) {
            return false;
        }
        let (pieces, evicts) = self.shared.update(|state| {
            // A full group waits for its commit before the next one follows.
            let room = state.config.group_records().saturating_sub(state.lanes[class].unsynced());
            let lane = &mut state.lanes[class];
            let is_held = room == 0 || !lane.has_unwritten() || (lane.is_full && !lane.may_evict());
            if is_held { (Vec::new(), false) } else { lane.take_pieces(WRITE_BYTES, room) }
        });
        if pieces.is_empty() {
            if self.tails[class].write_retry.at.is_some() && !self.lane(class, |lane| lane.has_unwritten()) {
                self.tails[class].write_retry = Retry::default();
                self.recovered();
            }
            return false;
        }
        let mut has_written = false;
        let result = pieces.into_iter().try_for_each(|piece| {
            let end = piece.end;
            self.append(class, piece, evicts)?;
            has_written = true;
            // At once, since the next piece may end the segment.
            self.lane(class, |lane| lane.written(end));
            Ok(())
        });
        self.lane(class, |lane| lane.rest());
        self.settle_write(class, now, result, has_written)
    }

    fn settle_write(
        &mut self,
        class: usize,
        now: Instant,
        result: Result<(), Stop>,
        has_written: bool,
    ) -> bool {
        if let Err(Stop::Failed(error)) = result {
            self.abandon(class);
            self.tails[class].write_retry.failed(now);
            self.degrade(&error);
            return true;
        }
        self.shared.update(|state| {
            state.lanes[class].is_full = result.is_err();
            state.wake_waiters();
        });
        if has_written {
            let is_synced = self.shared.update(|state| state.config.is_synced());
            if !is_synced || planted(Mistake::AcknowledgeBeforeSync) {
                self.tails[class].write_retry = Retry::default();
                self.hand_over(class);
                self.recovered();
            }
        }
        has_written
    }

    fn append(&mut self, class: usize, piece: Piece, evicts: bool) -> Result<(), Stop> {
        let segment_bytes = self.shared.update(|state| state.config.segment_bytes);
        let needed = piece.bytes.len() as u64 + Footer::bytes(&piece.tally);
        let fits = |active: &Active| {
            active.end == piece.first && active.len + needed + Footer::bytes(&active.total) <= segment_bytes
        };
        if !self.tails[class].active.as_ref().is_some_and(fits) {
            self.roll(class, &piece, evicts)?;
        }
        let Some(mut active) = self.tails[class].active.take() else { return Err(Stop::Full) };
        let written = self.store().write(&active.name, active.len, &piece.bytes);
        if written.is_ok() {
            active.len += piece.bytes.len() as u64;
            active.end = piece.end;
            active.total.merge(&piece.tally);
        }
        self.tails[class].active = Some(active);
        Ok(written?)
    }

    /// Ends the active segment and begins one that starts with this piece.
    fn roll(&mut self, class: usize, piece: &Piece, evicts: bool) -> Result<(), Stop> {
        let is_successor = self.tails[class].active.as_ref().is_none_or(|active| active.end == piece.first);
        self.seal(class)?;
        let least = SEGMENT_HEADER_BYTES as u64 + piece.bytes.len() as u64 + Footer::bytes(&piece.tally);
        let reserve = self.shared.update(|state| state.config.segment_bytes).max(blocks(least));
        self.make_room(class, reserve, evicts)?;
        // Numbers that are passed over were settled in memory: the books must say so before the log shows a hole.
        let expected = self.lane(class, |lane| lane.segments.back().map(|segment| segment.end));
        if !is_successor || expected != Some(piece.first) {
            self.save(class, true)?;
        }
        match self.begin(class, piece.first, reserve) {
            Err(error) if evicts && super::Cause::of(&error) == super::Cause::NoSpace => {
                // Others filled the disk; our own oldest segment makes room for the newest records.
                self.evict(class, DropReason::Evicted)?;
                Ok(self.begin(class, piece.first, reserve)?)
            }
            begun => Ok(begun?),
        }
    }

    fn begin(&mut self, class: usize, first_seq: u64, reserve: u64) -> io::Result<()> {
        let (salt, epoch, buffer_id) =
            self.lane(class, |lane| (lane.salt, lane.cursor.epoch, lane.cursor.buffer_id));
        let tail = &mut self.tails[class];
        tail.serial += 1;
        let identity = SegmentName { class: class as u8, epoch, serial: tail.serial, first_seq, salt };
        let name = identity.to_string();
        if let Err(error) = self.store().create(&name, reserve) {
            // It may be there all the same, and nobody would know of it.
            let _ = self.store().remove(&name, Removal::Delete);
            return Err(error);
        }
        let len = SEGMENT_HEADER_BYTES as u64;
        // In the books before anything can fail, so that the file is removed then.
        self.lane(class, |lane| {
            let file = Some((name.clone(), identity));
            let segment = Segment {
                file,
                len,
                disk_bytes: reserve,
                is_active: true,
                ..Segment::absent(first_seq, first_seq, DropReason::Missing)
            };
            lane.segments.push_back(segment);
        });
        let (end, total) = (first_seq, Tally::default());
        let header = SegmentHeader { name: identity, buffer_id }.encode();
        let active = Active { name, salt, len, end, total, safe_len: len, is_name_synced: false };
        self.tails[class].active = Some(active);
        let name = identity.to_string();
        self.store().write(&name, 0, &header)
    }

    fn make_room(&mut self, class: usize, reserve: u64, evicts: bool) -> Result<(), Stop> {
        while self.shared.update(|state| state.disk_bytes() + reserve > state.config.bytes_max) {
            if !evicts {
                return Err(Stop::Full);
            }
            self.evict(class, DropReason::Evicted)?;
        }
        Ok(())
    }

    fn evict(&mut self, class: usize, reason: DropReason) -> Result<(), Stop> {
        let eviction = self.shared.update(|state| state.evict(class, reason));
        match eviction {
            None => Err(Stop::Full),
            Some(Eviction::SealFirst(victim)) => {
                self.seal(victim)?;
                self.evict(class, reason)
            }
            Some(Eviction::Done(victim, _)) => Ok(self.free_now(victim)?),
        }
    }

    /// Syncs if that is due: at once after a quiet time, else when enough records or enough time have gathered.
    pub(super) fn commit(&mut self, class: usize, now: Instant, is_closing: bool) -> bool {
        let (unsynced, commit, is_filling) = self
            .shared
            .update(|state| (state.lanes[class].unsynced(), state.config.commit, state.is_ring_filling()));
        let Commit::Group { records_max, interval } = commit else { return false };
        let is_late = self.tails[class].synced.is_none_or(|at| now >= at + interval);
        let is_due = is_late || is_filling || is_closing || unsynced >= u64::from(records_max.max(1));
        if unsynced == 0 || !is_due {
            return false;
        }
        self.tails[class].synced = Some(now);
        match self.sync_active(class) {
            Ok(()) => {
                self.tails[class].write_retry = Retry::default();
                self.hand_over(class);
                self.recovered();
            }
            Err(error) => {
                self.abandon(class);
                self.tails[class].write_retry.failed(now);
                self.degrade(&error);
            }
        }
        true
    }

    fn sync_active(&mut self, class: usize) -> io::Result<()> {
        let Some(mut active) = self.tails[class].active.take() else { return Ok(()) };
        let synced = self.sync_file(&mut active);
        self.tails[class].active = Some(active);
        synced
    }

    fn sync_file(&mut self, active: &mut Active) -> io::Result<()> {
        if !planted(Mistake::NoDataSync) {
            let synced = self.store().sync(&active.name);
            // After a failed sync the kernel takes the pages for clean, so a second one would succeed and prove
            // nothing (Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020).
            if planted(Mistake::SyncAgainAfterFailure) && synced.is_err() {
                self.store().sync(&active.name)?;
            } else {
                synced?;
            }
        }
        if !active.is_name_synced && !planted(Mistake::NoNamesSync) {
            self.store().sync_names()?;
        }
        active.is_name_synced = true;
        Ok(())
    }

    fn hand_over(&mut self, class: usize) {
        let Some(active) = &mut self.tails[class].active else { return };
        active.safe_len = active.len;
        let (len, end) = (active.len, active.end);
        self.shared.update(|state| {
            state.lanes[class].hand_over(len, end);
            state.count_ring();
            state.wake_waiters();
            state.wake_consumer();
        });
    }

    /// The active segment gets its footer and gives back what it does not need. A segment in which nothing is
    /// left to deliver is not worth a footer.
    pub(super) fn seal(&mut self, class: usize) -> io::Result<()> {
        let Some(active) = self.tails[class].active.take() else { return Ok(()) };
        let is_synced = self.shared.update(|state| state.config.is_synced());
        let footer = Footer { end_seq: active.end, tally: active.total.clone() }.encode(active.salt);
        let (name, len) = (active.name.clone(), active.len);
        let file_len = len + footer.len() as u64;
        self.tails[class].active = Some(active);
        let mut written = self.store().write(&name, len, &footer);
        written = written.and_then(|()| self.store().truncate(&name, file_len));
        if is_synced {
            written = written.and_then(|()| self.sync_active(class));
        }
        match written {
            Ok(()) => {
                self.hand_over(class);
                self.tails[class].active = None;
                self.lane(class, |lane| lane.close_active(Some(blocks(file_len))));
                Ok(())
            }
            Err(error) => {
                self.abandon(class);
                Err(error)
            }
        }
    }

    /// A file in which something failed is not written to again, and what it holds beyond the last sync does not
    /// count. The records are still in memory and go to a new one.
    fn abandon(&mut self, class: usize) {
        if planted(Mistake::GoOnAfterFailedWrite) {
            return;
        }
        let Some(active) = self.tails[class].active.take() else { return };
        let cut = self.store().truncate(&active.name, active.safe_len).is_ok();
        self.lane(class, |lane| lane.close_active(cut.then(|| blocks(active.safe_len))));
    }
}
