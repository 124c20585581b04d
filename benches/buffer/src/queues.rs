//! One interface over everything that is measured: append, with or without a sync per group, then drain.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::time::Duration;

use zastava_buffer::{Buffer, BufferOptions, Commit, Durability, Kind, block_on};

use crate::GROUP;
#[cfg(feature = "peers")]
use crate::peers;

/// Directory, payload, number of records, and whether to sync.
type Run = fn(&Path, &[u8], usize, bool);

pub struct Queue {
    pub name: &'static str,
    /// Whether it syncs, where it has no choice.
    pub only: Option<bool>,
    /// Appends so many records, and returns when all are as safe as the mode says.
    pub append: Run,
    /// Reads all in batches, checks each payload, and removes it.
    pub drain: Run,
}

impl Queue {
    const fn new(name: &'static str, only: Option<bool>, append: Run, drain: Run) -> Self {
        Self { name, only, append, drain }
    }
}

pub const QUEUES: &[Queue] = &[
    Queue::new("plain file", None, plain_append, plain_drain),
    Queue::new("zastava-buffer", None, ours_append, ours_drain),
    Queue::new("redb", None, redb_append, redb_drain),
    #[cfg(feature = "peers")]
    Queue::new("SQLite (WAL)", None, peers::sqlite_append, peers::sqlite_drain),
    #[cfg(feature = "peers")]
    Queue::new("queue-file", None, peers::queue_file_append, peers::queue_file_drain),
    #[cfg(feature = "peers")]
    Queue::new("fjall", None, peers::fjall_append, peers::fjall_drain),
    #[cfg(feature = "peers")]
    Queue::new("raft-engine", None, peers::raft_engine_append, peers::raft_engine_drain),
    #[cfg(feature = "peers")]
    Queue::new("okaywal", Some(true), peers::okaywal_append, peers::okaywal_drain),
    #[cfg(feature = "peers")]
    Queue::new("open-wal", Some(true), peers::open_wal_append, peers::open_wal_drain),
    #[cfg(feature = "peers")]
    Queue::new("yaque", Some(false), peers::yaque_append, peers::yaque_drain),
];

/// What one would write for one's own machine: length, checksum, bytes, through a buffer.
fn plain_append(directory: &Path, payload: &[u8], count: usize, sync: bool) {
    let mut file =
        BufWriter::with_capacity(64 << 10, File::create(directory.join("plain")).expect("created"));
    for number in 0..count {
        file.write_all(&(payload.len() as u32).to_le_bytes()).expect("written");
        file.write_all(&crc32c::crc32c(payload).to_le_bytes()).expect("written");
        file.write_all(payload).expect("written");
        if sync && (number + 1) % GROUP == 0 {
            file.flush().expect("written");
            file.get_ref().sync_data().expect("synced");
        }
    }
    file.flush().expect("written");
    if sync {
        file.get_ref().sync_data().expect("synced");
    }
}

fn plain_drain(directory: &Path, payload: &[u8], count: usize, sync: bool) {
    let mut file = BufReader::with_capacity(64 << 10, File::open(directory.join("plain")).expect("opened"));
    let cursor = File::create(directory.join("cursor")).expect("created");
    for batch in 0..count.div_ceil(GROUP) {
        for _ in 0..GROUP.min(count - batch * GROUP) {
            let mut header = [0; 8];
            file.read_exact(&mut header).expect("read");
            let mut bytes =
                vec![0; u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize];
            file.read_exact(&mut bytes).expect("read");
            assert_eq!(crc32c::crc32c(&bytes).to_le_bytes(), header[4..]);
            assert_eq!(bytes.len(), payload.len());
        }
        // Where it stands, once a batch. Ours needs no sync here, so this gets none.
        let _ = sync;
        std::os::unix::fs::FileExt::write_all_at(&cursor, &batch.to_le_bytes(), 0).expect("written");
    }
    fs::remove_file(directory.join("plain")).expect("removed");
}

pub fn config(sync: bool) -> BufferOptions {
    let mut config = BufferOptions::new(4 << 30);
    config.free_percent_min = 0;
    config.commit = if sync {
        Commit::Group { records_max: GROUP as u32, interval: Duration::from_millis(100) }
    } else {
        Commit::Never
    };
    config.default_policy.when_full = zastava_buffer::WhenFull::Refuse;
    config
}

fn ours_append(directory: &Path, payload: &[u8], count: usize, sync: bool) {
    let (producer, _consumer, _) = Buffer::open(directory.join("ours"), config(sync)).expect("opened");
    for _ in 0..count {
        if producer.push(Kind(1), payload).seq().is_none() {
            block_on(producer.push_wait(Kind(1), payload)).expect("accepted");
        }
    }
    let level = if sync { Durability::Power } else { Durability::Process };
    block_on(producer.flush(level)).expect("safe");
    producer.close(Duration::from_secs(60));
}

fn ours_drain(directory: &Path, payload: &[u8], count: usize, sync: bool) {
    let (producer, mut consumer, _) = Buffer::open(directory.join("ours"), config(sync)).expect("opened");
    let mut seen = 0;
    while seen < count {
        let batch = block_on(consumer.next_batch(GROUP, usize::MAX)).expect("open");
        for entry in batch.entries() {
            let zastava_buffer::Entry::Record(record) = entry else { panic!("nothing is lost") };
            assert_eq!(record.bytes.len(), payload.len());
        }
        seen += batch.entries().len();
        batch.ack();
    }
    producer.close(Duration::from_secs(60));
}

const TABLE: redb::TableDefinition<u64, &[u8]> = redb::TableDefinition::new("queue");

fn redb_append(directory: &Path, payload: &[u8], count: usize, sync: bool) {
    let database = redb::Database::create(directory.join("redb")).expect("created");
    let durability = if sync { redb::Durability::Immediate } else { redb::Durability::None };
    for group in 0..count.div_ceil(GROUP) {
        let mut transaction = database.begin_write().expect("begun");
        transaction.set_durability(durability).expect("set");
        {
            let mut table = transaction.open_table(TABLE).expect("opened");
            for number in group * GROUP..count.min((group + 1) * GROUP) {
                table.insert(number as u64, payload).expect("inserted");
            }
        }
        transaction.commit().expect("committed");
    }
    let mut last = database.begin_write().expect("begun");
    last.set_durability(redb::Durability::Immediate).expect("set");
    last.commit().expect("committed");
}

fn redb_drain(directory: &Path, payload: &[u8], count: usize, sync: bool) {
    let database = redb::Database::create(directory.join("redb")).expect("opened");
    let durability = if sync { redb::Durability::Immediate } else { redb::Durability::None };
    for group in 0..count.div_ceil(GROUP) {
        let mut transaction = database.begin_write().expect("begun");
        transaction.set_durability(durability).expect("set");
        {
            let mut table = transaction.open_table(TABLE).expect("opened");
            for number in group * GROUP..count.min((group + 1) * GROUP) {
                let record = table.remove(number as u64).expect("read").expect("there");
                assert_eq!(crc32c::crc32c(record.value()), crc32c::crc32c(payload));
            }
        }
        transaction.commit().expect("committed");
    }
}

/// So that one measurement does not pay for another's dirty pages.
pub fn settle_disk(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
