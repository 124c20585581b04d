//! One interface over everything that is measured: append, with or without a sync per group, then drain.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::time::Duration;

use zastava_buffer::{Buffer, Commit, Config, Durability, Kind, block_on};

/// Records in a group commit, and in a batch when draining.
pub const GROUP: usize = 64;

pub struct Queue {
    pub name: &'static str,
    /// Appends so many records, and returns when all are as safe as the mode says.
    pub append: fn(&Path, &[u8], usize, bool),
    /// Reads all in batches, checks each payload, and removes it.
    pub drain: fn(&Path, &[u8], usize, bool),
}

pub const QUEUES: &[Queue] = &[
    Queue { name: "plain file", append: plain_append, drain: plain_drain },
    Queue { name: "zastava-buffer", append: ours_append, drain: ours_drain },
    Queue { name: "redb", append: redb_append, drain: redb_drain },
    #[cfg(feature = "peers")]
    Queue { name: "SQLite (WAL)", append: peers::sqlite_append, drain: peers::sqlite_drain },
    #[cfg(feature = "peers")]
    Queue { name: "queue-file", append: peers::queue_file_append, drain: peers::queue_file_drain },
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

pub fn config(sync: bool) -> Config {
    let mut config = Config::new(4 << 30);
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

#[cfg(feature = "peers")]
mod peers {
    use super::{GROUP, Path};

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

    pub(super) fn sqlite_append(directory: &Path, payload: &[u8], count: usize, sync: bool) {
        let mut connection = sqlite(directory, sync);
        for group in 0..count.div_ceil(GROUP) {
            let transaction = connection.transaction().expect("begun");
            {
                let mut insert =
                    transaction.prepare_cached("INSERT INTO queue(bytes) VALUES (?1)").expect("prepared");
                for _ in group * GROUP..count.min((group + 1) * GROUP) {
                    insert.execute([payload]).expect("inserted");
                }
            }
            transaction.commit().expect("committed");
        }
    }

    pub(super) fn sqlite_drain(directory: &Path, payload: &[u8], count: usize, sync: bool) {
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
                    assert_eq!(crc32c::crc32c(&bytes), crc32c::crc32c(payload));
                    seen += 1;
                }
            }
            transaction.execute("DELETE FROM queue WHERE number <= ?1", [last]).expect("deleted");
            transaction.commit().expect("committed");
        }
    }

    pub(super) fn queue_file_append(directory: &Path, payload: &[u8], count: usize, sync: bool) {
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

    pub(super) fn queue_file_drain(directory: &Path, payload: &[u8], count: usize, sync: bool) {
        let mut queue = queue_file::QueueFile::open(directory.join("queue-file")).expect("opened");
        queue.set_sync_writes(false);
        for group in 0..count.div_ceil(GROUP) {
            let batch = GROUP.min(count - group * GROUP);
            for bytes in queue.iter().take(batch) {
                assert_eq!(crc32c::crc32c(&bytes), crc32c::crc32c(payload));
            }
            queue.remove_n(batch).expect("removed");
            if sync {
                queue.sync_all().expect("synced");
            }
        }
    }
}

/// So that one measurement does not pay for another's dirty pages.
pub fn settle_disk(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
