//! The queue proper: one owner, no locks, no waiting. [`Buffer`](crate::Buffer) shares it.
//!
//! State is positions. The cursor holds what is settled, the chunks hold the numbers after that,
//! and every figure is computed from the two. A position moves only after its write succeeded.

mod chunk;
mod drain;
mod recover;

pub(crate) use recover::recover;

use std::collections::VecDeque;

use crate::entry::{Admission, Durability, Kind};
use crate::error::Error;
use crate::format::{
    CURSOR_BYTES, Cursor, FRAME_HEADER_BYTES, FrameHeader, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentName,
};
use crate::options::{Options, blocks};
use crate::scan::Position;
use crate::stats::{DropReason, Drops, Stats};
use crate::storage::{DataFile, SetAside, Storage};

use chunk::{Chunk, Fate, Segment, SyncState, Tally};
use drain::Delivered;

#[derive(Debug)]
pub(crate) struct Queue {
    storage: Storage,
    options: Options,
    cursor_file: DataFile,
    /// As last written.
    cursor: Cursor,
    /// Oldest first. The last one is written to while `active` is there.
    chunks: VecDeque<Chunk>,
    active: Option<DataFile>,
    next_seq: u64,
    /// The latest batch, as far as it is not settled.
    delivered: VecDeque<Delivered>,
    refused: Drops,
    aside: SetAside,
    /// Whether the entries of all segments in the directory survive a power cut.
    directory_synced: bool,
    /// Reused for encoding; as long as the longest record so far.
    scratch: Vec<u8>,
}

impl Queue {
    pub(crate) fn id(&self) -> u128 {
        self.cursor.buffer_id
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut dropped = self.cursor.dropped.clone();
        for (fate, count) in self.chunks.iter().flat_map(|chunk| chunk.unsettled.iter()) {
            if let Fate::Lost(kind, reason) = fate {
                dropped.add(kind, reason, count);
            }
        }
        Stats {
            accepted: self.next_seq - 1 - self.cursor.unaccounted,
            acked: self.cursor.acked,
            pending: self.pending(),
            dropped,
            refused: self.refused.clone(),
            next_seq: self.next_seq,
            disk_bytes: self.disk_bytes(),
            set_aside_bytes: self.aside.bytes,
            bytes_max: self.options.bytes_max,
        }
    }

    /// Stores one record, dropping the oldest segments if there is no room otherwise.
    pub(crate) fn push(&mut self, kind: Kind, payload: &[u8]) -> Result<Admission, Error> {
        let admission = self.try_push(kind, payload);
        if let Err(error) = &admission {
            self.refused.add(Some(kind), error.refusal(), 1);
        }
        admission
    }

    fn try_push(&mut self, kind: Kind, payload: &[u8]) -> Result<Admission, Error> {
        let (bytes, bytes_max) = (payload.len() as u64, self.options.record_bytes_max);
        if bytes > bytes_max {
            return Err(Error::TooLarge { bytes, bytes_max });
        }
        let frame_bytes = FRAME_HEADER_BYTES as u64 + bytes;
        if self.active_len().is_some_and(|len| len + frame_bytes > self.options.segment_bytes) {
            self.active = None;
        }
        let evicted = self.make_room(frame_bytes)?;
        match self.active_len() {
            Some(len) => self.append(len, kind, payload)?,
            None => self.start_segment(kind, payload)?,
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.end_seq = self.next_seq;
            chunk.unsettled.add(Fate::Live(kind), 1);
        }
        Ok(Admission { seq, evicted, durability: Durability::Process })
    }

    /// Makes every record accepted so far survive a power cut; the last number that does.
    pub(crate) fn sync(&mut self) -> Result<u64, Error> {
        for index in 0..self.chunks.len() {
            if let Err(error) = self.sync_chunk(index) {
                // Nothing more goes into a file whose sync failed.
                if index + 1 == self.chunks.len() {
                    self.active = None;
                }
                return Err(error);
            }
        }
        if !self.directory_synced {
            self.storage.sync_directory()?;
            self.directory_synced = true;
        }
        Ok(self.next_seq - 1)
    }

    fn sync_chunk(&mut self, index: usize) -> Result<(), Error> {
        let is_active = self.active.is_some() && index + 1 == self.chunks.len();
        let chunk = &mut self.chunks[index];
        if chunk.is_settled() {
            return Ok(());
        }
        let (first_seq, last_seq) = (chunk.from_seq, chunk.end_seq - 1);
        let Some(segment) = &mut chunk.segment else { return Ok(()) };
        match segment.sync {
            SyncState::Done => return Ok(()),
            SyncState::Failed => return Err(Error::NotDurable { first_seq, last_seq }),
            SyncState::Pending => {}
        }
        let synced = match &self.active {
            Some(file) if is_active => file.sync(),
            // Syncing through another descriptor covers the same pages, and the kernel tells an
            // error that nobody has heard of yet to this one too (since Linux 4.16).
            _ => match self.storage.open_segment(segment.name)? {
                Some(file) => file.sync(),
                None => Err(Error::NotDurable { first_seq, last_seq }),
            },
        };
        segment.sync = if synced.is_ok() { SyncState::Done } else { SyncState::Failed };
        synced
    }

    /// Leaves the next number in the cursor, so that the next opening knows what to expect even if
    /// the end of the log is damaged.
    pub(crate) fn leave(&mut self) -> Result<(), Error> {
        self.save(self.cursor.clone(), false)
    }

    fn pending(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.unsettled.live()).sum()
    }

    /// Computed from the files each time: a running sum would drift some day.
    fn disk_bytes(&self) -> u64 {
        let segments: u64 = self.chunks.iter().map(Chunk::disk_bytes).sum();
        CURSOR_BYTES as u64 + segments + self.aside.bytes
    }

    fn active_len(&self) -> Option<u64> {
        self.active.as_ref()?;
        self.chunks.back()?.segment.as_ref().map(|segment| segment.len)
    }

    fn make_room(&mut self, frame_bytes: u64) -> Result<u64, Error> {
        let mut evicted = 0;
        loop {
            let growth = match self.active_len() {
                Some(len) => blocks(len + frame_bytes) - blocks(len),
                None => blocks(SEGMENT_HEADER_BYTES as u64 + frame_bytes),
            };
            let bytes_max = self.options.bytes_max;
            if self.disk_bytes() + growth <= bytes_max {
                return Ok(evicted);
            }
            match self.evict_oldest(DropReason::Evicted)? {
                Some(records) => evicted += records,
                None => return Err(Error::NoRoom { set_aside_bytes: self.aside.bytes, bytes_max }),
            }
        }
    }

    /// Drops the oldest segment with all it holds; how many records that were, or `None` if there
    /// is no segment. The books are written and synced before the file goes.
    fn evict_oldest(&mut self, reason: DropReason) -> Result<Option<u64>, Error> {
        let Some(index) = self.chunks.iter().position(|chunk| chunk.segment.is_some()) else {
            return Ok(None);
        };
        let mut cursor = self.cursor.clone();
        let mut evicted = 0;
        for (fate, count) in self.chunks.range(..=index).flat_map(|chunk| chunk.unsettled.iter()) {
            match fate {
                Fate::Live(kind) => {
                    cursor.dropped.add(Some(kind), reason, count);
                    evicted += count;
                }
                Fate::Lost(kind, reason) => cursor.dropped.add(kind, reason, count),
            }
        }
        cursor.released_through = cursor.released_through.max(self.chunks[index].end_seq - 1);
        self.save(cursor, true)?;
        if index + 1 == self.chunks.len() {
            self.active = None;
        }
        self.chunks.range_mut(..=index).for_each(Chunk::settle_all);
        let released_through = self.cursor.released_through;
        self.delivered.retain(|delivered| delivered.last_seq > released_through);
        self.retire()?;
        Ok(Some(evicted))
    }

    /// Removes the files of settled chunks at the front. The cursor that settled them must be
    /// synced: otherwise a power cut could bring back the cursor but not the files, and records
    /// that were acknowledged would be reported as missing.
    fn retire(&mut self) -> Result<(), Error> {
        while self.is_front_done() {
            if let Some(segment) = self.chunks.front().and_then(|chunk| chunk.segment.as_ref()) {
                self.storage.remove_segment(segment.name)?;
            }
            self.chunks.pop_front();
        }
        Ok(())
    }

    fn is_front_done(&self) -> bool {
        !self.is_front_active() && self.chunks.front().is_some_and(Chunk::is_settled)
    }

    fn is_front_active(&self) -> bool {
        self.active.is_some() && self.chunks.len() == 1
    }

    /// Writes the books to the slot that does not hold the last good ones.
    fn save(&mut self, mut cursor: Cursor, sync: bool) -> Result<(), Error> {
        cursor.generation = self.cursor.generation + 1;
        cursor.next_seq = self.next_seq;
        self.cursor_file.write_at(&cursor.encode(), cursor.offset())?;
        if sync {
            self.cursor_file.sync()?;
        }
        self.cursor = cursor;
        Ok(())
    }

    fn append(&mut self, len: u64, kind: Kind, payload: &[u8]) -> Result<(), Error> {
        let (Some(file), Some(segment)) =
            (&self.active, self.chunks.back_mut().and_then(|chunk| chunk.segment.as_mut()))
        else {
            return Ok(());
        };
        self.scratch.clear();
        encode(&mut self.scratch, self.next_seq, kind, payload, segment.salt);
        let end = len + self.scratch.len() as u64;
        if let Err(error) = file.write_at(&self.scratch, len) {
            // Half a frame may be in the file. Cut it off, and never write to this file again.
            if file.truncate(len).is_err() {
                segment.file_len = end;
            }
            self.active = None;
            return Err(error);
        }
        segment.len = end;
        segment.file_len = end;
        segment.sync = SyncState::Pending;
        Ok(())
    }

    /// A segment comes into being with its first record, in one write.
    fn start_segment(&mut self, kind: Kind, payload: &[u8]) -> Result<(), Error> {
        let (seq, epoch, salt) = (self.next_seq, self.cursor.epoch, self.storage.random_u32());
        let name = SegmentName { epoch, first_seq: seq, salt };
        let header = SegmentHeader { identity: name, buffer_id: self.cursor.buffer_id };
        self.scratch.clear();
        self.scratch.extend_from_slice(&header.encode());
        encode(&mut self.scratch, seq, kind, payload, salt);
        let len = self.scratch.len() as u64;

        let file = self.storage.create_segment(name)?;
        let written = file.write_at(&self.scratch, 0);
        let mut chunk = Chunk {
            segment: Some(Segment { name, salt, epoch, len, file_len: len, sync: SyncState::Pending }),
            from_seq: seq,
            end_seq: seq,
            position: Position { offset: SEGMENT_HEADER_BYTES as u64, seq },
            absence: DropReason::Missing,
            unsettled: Tally::default(),
        };
        if let Err(error) = written {
            // A file that cannot be removed stays in the books, empty, until it can be.
            if self.storage.remove_segment(name).is_err() {
                chunk.settle_all();
                self.chunks.push_back(chunk);
            }
            return Err(error);
        }
        self.chunks.push_back(chunk);
        self.active = Some(file);
        self.directory_synced = false;
        Ok(())
    }
}

fn encode(out: &mut Vec<u8>, seq: u64, kind: Kind, payload: &[u8], salt: u32) {
    out.extend_from_slice(&FrameHeader::new(seq, kind, payload).encode(salt));
    out.extend_from_slice(payload);
}
