//! Queues made of other crates. None compresses: the payload repeats itself, and real ones do so less.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::GROUP;

/// Of those that have them, as large as ours.
const SEGMENT_BYTES: u64 = 16 << 20;

fn groups(count: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(GROUP).map(move |first| first..count.min(first + GROUP))
}

fn check(bytes: &[u8], payload: &[u8]) {
    assert_eq!(crc32c::crc32c(bytes), crc32c::crc32c(payload));
}

fn fjall(directory: &Path) -> (fjall::Database, fjall::Keyspace) {
    let database = fjall::Database::builder(directory.join("fjall")).open().expect("opened");
    let queue = database.keyspace("queue", Default::default).expect("opened");
    (database, queue)
}

/// Without a mode a batch stays in this process; with one it reaches the kernel at least.
fn fjall_mode(sync: bool) -> Option<fjall::PersistMode> {
    Some(if sync { fjall::PersistMode::SyncData } else { fjall::PersistMode::Buffer })
}

pub(crate) fn fjall_append(directory: &Path, payload: &[u8], count: usize, sync: bool) {
    let (database, queue) = fjall(directory);
    for group in groups(count) {
        let mut batch = database.batch().durability(fjall_mode(sync));
        for number in group {
            batch.insert(&queue, (number as u64).to_be_bytes(), payload);
        }
        batch.commit().expect("committed");
    }
}

pub(crate) fn fjall_drain(directory: &Path, payload: &[u8], count: usize, sync: bool) {
    let (database, queue) = fjall(directory);
    for group in groups(count) {
        let mut batch = database.batch().durability(fjall_mode(sync));
        let mut seen = 0;
        // From where it stands, as reading from the start would meet what was removed.
        for record in queue.range((group.start as u64).to_be_bytes()..).take(group.len()) {
            let (key, bytes) = record.into_inner().expect("read");
            check(&bytes, payload);
            batch.remove(&queue, key);
            seen += 1;
        }
        assert_eq!(seen, group.len());
        batch.commit().expect("committed");
    }
}

/// Checks what is recovered, and lets go of a segment only when the queue is drained.
#[derive(Debug)]
struct OkayManager {
    checksum: u32,
    seen: Arc<AtomicUsize>,
    is_drained: Arc<Mutex<bool>>,
}

impl okaywal::LogManager for OkayManager {
    fn recover(&mut self, entry: &mut okaywal::Entry<'_>) -> io::Result<()> {
        for bytes in entry.read_all_chunks()?.into_iter().flatten() {
            assert_eq!(crc32c::crc32c(&bytes), self.checksum);
            self.seen.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn checkpoint_to(
        &mut self,
        _: okaywal::EntryId,
        _: &mut okaywal::SegmentReader,
        _: &okaywal::WriteAheadLog,
    ) -> io::Result<()> {
        let is_drained = *self.is_drained.lock().expect("no panic");
        if is_drained { Ok(()) } else { Err(io::Error::other("not drained")) }
    }
}

fn okaywal(directory: &Path, manager: OkayManager) -> okaywal::WriteAheadLog {
    okaywal::Configuration::default_for(directory.join("okaywal"))
        .preallocate_bytes(SEGMENT_BYTES as u32 + (1 << 20))
        .checkpoint_after_bytes(SEGMENT_BYTES)
        .open(manager)
        .expect("opened")
}

/// Only synced, as it has no commit without.
pub(crate) fn okaywal_append(directory: &Path, payload: &[u8], count: usize, _sync: bool) {
    let is_drained = Arc::new(Mutex::new(false));
    // Full segments wait in its thread for this: an error would stop the log.
    let held = is_drained.lock().expect("no panic");
    let manager = OkayManager { checksum: 0, seen: Arc::default(), is_drained: Arc::clone(&is_drained) };
    let log = okaywal(directory, manager);
    for group in groups(count) {
        let mut entry = log.begin_entry().expect("begun");
        for _ in group {
            entry.write_chunk(payload).expect("written");
        }
        entry.commit().expect("committed");
    }
    drop(held);
    // The error that nothing is drained.
    let _ = log.shutdown();
}

/// It has no cursor: it reads all when it opens, and then gives all segments back.
pub(crate) fn okaywal_drain(directory: &Path, payload: &[u8], count: usize, _sync: bool) {
    let seen = Arc::new(AtomicUsize::new(0));
    let manager = OkayManager {
        checksum: crc32c::crc32c(payload),
        seen: Arc::clone(&seen),
        is_drained: Arc::new(Mutex::new(true)),
    };
    let log = okaywal(directory, manager);
    assert_eq!(seen.load(Ordering::Relaxed), count);
    log.checkpoint_active().expect("given back");
    log.shutdown().expect("given back");
}

fn open_wal(directory: &Path) -> open_wal::Wal {
    let config = open_wal::WalConfig { segment_size: SEGMENT_BYTES, ..Default::default() };
    open_wal::Wal::open(&directory.join("open-wal"), config).expect("opened").0
}

/// Only synced, as it has no commit without.
pub(crate) fn open_wal_append(directory: &Path, payload: &[u8], count: usize, _sync: bool) {
    let mut log = open_wal(directory);
    for group in groups(count) {
        for _ in group {
            log.append(payload).expect("appended");
        }
        log.commit().expect("committed");
    }
}

/// Has nothing smaller to remove than a segment, so reads as much before it does. The last one stays.
pub(crate) fn open_wal_drain(directory: &Path, payload: &[u8], count: usize, _sync: bool) {
    let mut log = open_wal(directory);
    for first in (1..=count).step_by(SEGMENT_BYTES as usize / payload.len()) {
        let end = count.min(first - 1 + SEGMENT_BYTES as usize / payload.len());
        let mut reader = log.reader_from(open_wal::Lsn(first as u64)).expect("opened");
        for _ in first..=end {
            check(reader.next().expect("there").expect("read").1, payload);
        }
        log.checkpoint(open_wal::Lsn(end as u64)).expect("removed");
    }
}

pub(crate) fn queue_file_append(directory: &Path, payload: &[u8], count: usize, sync: bool) {
    let mut queue = queue_file::QueueFile::open(directory.join("queue-file")).expect("opened");
    queue.set_sync_writes(false);
    for number in 0..count {
        queue.add(payload).expect("added");
        if sync && (number + 1) % GROUP == 0 {
            queue.sync_all().expect("synced");
        }
    }
    if sync {
        queue.sync_all().expect("synced");
    }
}

pub(crate) fn queue_file_drain(directory: &Path, payload: &[u8], count: usize, sync: bool) {
    let mut queue = queue_file::QueueFile::open(directory.join("queue-file")).expect("opened");
    queue.set_sync_writes(false);
    for group in groups(count) {
        for bytes in queue.iter().take(group.len()) {
            check(&bytes, payload);
        }
        queue.remove_n(group.len()).expect("removed");
        if sync {
            queue.sync_all().expect("synced");
        }
    }
}

/// A message that comes with the library and holds a number and bytes.
type RaftEntry = protobuf::descriptor::UninterpretedOption;

struct RaftMessage;

impl raft_engine::MessageExt for RaftMessage {
    type Entry = RaftEntry;
    fn index(entry: &RaftEntry) -> u64 {
        entry.get_positive_int_value()
    }
}

const RAFT_GROUP: u64 = 1;

fn raft_engine(directory: &Path) -> raft_engine::Engine {
    let config = raft_engine::Config {
        dir: directory.join("raft-engine").display().to_string(),
        batch_compression_threshold: raft_engine::ReadableSize(0),
        target_file_size: raft_engine::ReadableSize(SEGMENT_BYTES),
        purge_threshold: raft_engine::ReadableSize(SEGMENT_BYTES),
        ..Default::default()
    };
    raft_engine::Engine::open(config).expect("opened")
}

pub(crate) fn raft_engine_append(directory: &Path, payload: &[u8], count: usize, sync: bool) {
    let engine = raft_engine(directory);
    let mut batch = raft_engine::LogBatch::default();
    for group in groups(count) {
        let entry = |number| {
            let mut entry = RaftEntry::new();
            entry.set_positive_int_value(number as u64);
            entry.set_string_value(payload.to_vec());
            entry
        };
        let entries: Vec<RaftEntry> = group.map(entry).collect();
        batch.add_entries::<RaftMessage>(RAFT_GROUP, &entries).expect("added");
        engine.write(&mut batch, sync).expect("written");
    }
}

pub(crate) fn raft_engine_drain(directory: &Path, payload: &[u8], count: usize, sync: bool) {
    let engine = raft_engine(directory);
    let (mut batch, mut entries) = (raft_engine::LogBatch::default(), Vec::new());
    for group in groups(count) {
        let (first, index) = (group.start as u64, group.end as u64);
        engine.fetch_entries_to::<RaftMessage>(RAFT_GROUP, first, index, None, &mut entries).expect("read");
        assert_eq!(entries.len(), group.len());
        for entry in entries.drain(..) {
            check(entry.get_string_value(), payload);
        }
        // Not `compact_to`, which cannot sync.
        batch.add_command(RAFT_GROUP, raft_engine::Command::Compact { index });
        engine.write(&mut batch, sync).expect("written");
    }
    // Which its users call each ten seconds or so.
    engine.purge_expired_files().expect("removed");
}

fn sqlite(directory: &Path, sync: bool) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(directory.join("sqlite")).expect("opened");
    let level = if sync { "FULL" } else { "OFF" };
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous={level};
             CREATE TABLE IF NOT EXISTS queue(number INTEGER PRIMARY KEY, bytes BLOB NOT NULL)"
        ))
        .expect("set up");
    connection
}

pub(crate) fn sqlite_append(directory: &Path, payload: &[u8], count: usize, sync: bool) {
    let mut connection = sqlite(directory, sync);
    for group in groups(count) {
        let transaction = connection.transaction().expect("begun");
        {
            let mut insert =
                transaction.prepare_cached("INSERT INTO queue(bytes) VALUES (?1)").expect("prepared");
            for _ in group {
                insert.execute([payload]).expect("inserted");
            }
        }
        transaction.commit().expect("committed");
    }
}

pub(crate) fn sqlite_drain(directory: &Path, payload: &[u8], count: usize, sync: bool) {
    let mut connection = sqlite(directory, sync);
    let mut seen = 0;
    while seen < count {
        let transaction = connection.transaction().expect("begun");
        let mut last = 0_i64;
        {
            let mut select = transaction
                .prepare_cached("SELECT number, bytes FROM queue ORDER BY number LIMIT 64")
                .expect("prepared");
            let mut rows = select.query([]).expect("read");
            while let Some(row) = rows.next().expect("read") {
                last = row.get(0).expect("a number");
                let bytes: Vec<u8> = row.get(1).expect("bytes");
                check(&bytes, payload);
                seen += 1;
            }
        }
        transaction.execute("DELETE FROM queue WHERE number <= ?1", [last]).expect("deleted");
        transaction.commit().expect("committed");
    }
}

/// Not synced, as it never does.
pub(crate) fn yaque_append(directory: &Path, payload: &[u8], count: usize, _sync: bool) {
    let mut sender = yaque::Sender::open(directory.join("yaque")).expect("opened");
    for group in groups(count) {
        sender.try_send_batch(group.map(|_| payload)).expect("sent");
    }
}

pub(crate) fn yaque_drain(directory: &Path, payload: &[u8], count: usize, _sync: bool) {
    let mut receiver = yaque::Receiver::open(directory.join("yaque")).expect("opened");
    for group in groups(count) {
        let batch = receiver.try_recv_batch(group.len()).expect("received");
        batch.iter().for_each(|bytes| check(bytes, payload));
        batch.commit().expect("removed");
    }
}
