//! A `Store` in an embedded database: files are rows of chunks. It is an example of what another backend takes, and it
//! passes the conformance kit; `zastava-buffer` itself needs no database.

use std::io;
use std::path::Path;
use std::sync::Arc;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use zastava_buffer::{Removal, Store, StoredFile};

/// By name: length, and whether it is set aside.
const FILES: TableDefinition<&str, (u64, bool)> = TableDefinition::new("files");
/// By name and block number: a block of bytes.
const BLOCKS: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("blocks");
const BLOCK_BYTES: u64 = 4096;

#[derive(Clone, Debug)]
pub struct RedbStore(Arc<Database>);

impl RedbStore {
    pub fn open(path: &Path) -> io::Result<Self> {
        let database = Database::create(path).map_err(io::Error::other)?;
        let store = Self(Arc::new(database));
        store.change(Durability::Immediate, |transaction| {
            transaction.open_table(FILES).map_err(io::Error::other)?;
            transaction.open_table(BLOCKS).map_err(io::Error::other).map(|_| ())
        })?;
        Ok(store)
    }

    fn change(
        &self,
        durability: Durability,
        change: impl FnOnce(&WriteTransaction) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut transaction = self.0.begin_write().map_err(io::Error::other)?;
        transaction.set_durability(durability).map_err(io::Error::other)?;
        change(&transaction)?;
        transaction.commit().map_err(io::Error::other)
    }

    fn len(transaction: &WriteTransaction, name: &str) -> io::Result<u64> {
        let files = transaction.open_table(FILES).map_err(io::Error::other)?;
        let found = files.get(name).map_err(io::Error::other)?.map(|value| value.value());
        found.filter(|(_, aside)| !aside).map(|(len, _)| len).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn put(transaction: &WriteTransaction, name: &str, len: u64, aside: bool) -> io::Result<()> {
        let mut files = transaction.open_table(FILES).map_err(io::Error::other)?;
        files.insert(name, (len, aside)).map_err(io::Error::other).map(|_| ())
    }
}

impl Store for RedbStore {
    fn list(&mut self) -> io::Result<Vec<StoredFile>> {
        let transaction = self.0.begin_read().map_err(io::Error::other)?;
        let files = transaction.open_table(FILES).map_err(io::Error::other)?;
        let mut found = Vec::new();
        for row in files.iter().map_err(io::Error::other)? {
            let (name, value) = row.map_err(io::Error::other)?;
            let (len, aside) = value.value();
            found.push(StoredFile { name: name.value().to_owned(), len, aside });
        }
        Ok(found)
    }

    fn create(&mut self, name: &str, _reserve_bytes: u64) -> io::Result<()> {
        self.change(Durability::None, |transaction| match Self::len(transaction, name) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => Self::put(transaction, name, 0, false),
        })
    }

    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(Durability::None, |transaction| {
            let len = Self::len(transaction, name)?;
            let mut blocks = transaction.open_table(BLOCKS).map_err(io::Error::other)?;
            let (mut at, mut left) = (offset, bytes);
            while !left.is_empty() {
                let (block, within) = (at / BLOCK_BYTES, (at % BLOCK_BYTES) as usize);
                let part = left.len().min(BLOCK_BYTES as usize - within);
                let old = blocks.get((name, block)).map_err(io::Error::other)?;
                let mut new = old.map(|old| old.value().to_vec()).unwrap_or_default();
                new.resize(new.len().max(within + part), 0);
                new[within..within + part].copy_from_slice(&left[..part]);
                blocks.insert((name, block), &new[..]).map_err(io::Error::other)?;
                (at, left) = (at + part as u64, &left[part..]);
            }
            drop(blocks);
            Self::put(transaction, name, len.max(at), false)
        })
    }

    fn read(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let transaction = self.0.begin_read().map_err(io::Error::other)?;
        let files = transaction.open_table(FILES).map_err(io::Error::other)?;
        let found = files.get(name).map_err(io::Error::other)?.map(|value| value.value());
        let Some((len, false)) = found else { return Err(io::ErrorKind::NotFound.into()) };
        let wanted = (buffer.len() as u64).min(len.saturating_sub(offset)) as usize;
        let blocks = transaction.open_table(BLOCKS).map_err(io::Error::other)?;
        let mut read = 0;
        while read < wanted {
            let at = offset + read as u64;
            let (block, within) = (at / BLOCK_BYTES, (at % BLOCK_BYTES) as usize);
            let part = (wanted - read).min(BLOCK_BYTES as usize - within);
            let held = blocks.get((name, block)).map_err(io::Error::other)?;
            let held = held.as_ref().map(|held| held.value()).unwrap_or_default();
            let held = held.get(within..held.len().min(within + part)).unwrap_or_default();
            buffer[read..read + held.len()].copy_from_slice(held);
            buffer[read + held.len()..read + part].fill(0);
            read += part;
        }
        Ok(wanted)
    }

    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        self.change(Durability::None, |transaction| {
            let old = Self::len(transaction, name)?;
            let mut blocks = transaction.open_table(BLOCKS).map_err(io::Error::other)?;
            for block in len.div_ceil(BLOCK_BYTES)..old.div_ceil(BLOCK_BYTES) {
                blocks.remove((name, block)).map_err(io::Error::other)?;
            }
            if len < old && !len.is_multiple_of(BLOCK_BYTES) {
                let block = len / BLOCK_BYTES;
                let held =
                    blocks.get((name, block)).map_err(io::Error::other)?.map(|held| held.value().to_vec());
                let mut held = held.unwrap_or_default();
                held.truncate((len % BLOCK_BYTES) as usize);
                blocks.insert((name, block), &held[..]).map_err(io::Error::other)?;
            }
            drop(blocks);
            Self::put(transaction, name, len.min(old), false)
        })
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.change(Durability::Immediate, |transaction| Self::len(transaction, name).map(|_| ()))
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.change(Durability::Immediate, |_| Ok(()))
    }

    fn remove(&mut self, name: &str, removal: Removal) -> io::Result<()> {
        self.change(Durability::None, |transaction| {
            let Ok(len) = Self::len(transaction, name) else { return Ok(()) };
            if removal == Removal::SetAside {
                return Self::put(transaction, name, len, true);
            }
            let mut files = transaction.open_table(FILES).map_err(io::Error::other)?;
            files.remove(name).map_err(io::Error::other)?;
            let mut blocks = transaction.open_table(BLOCKS).map_err(io::Error::other)?;
            for block in 0..len.div_ceil(BLOCK_BYTES) {
                blocks.remove((name, block)).map_err(io::Error::other)?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_a_store() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut number = 0;
        zastava_buffer::testkit::conformance(|| {
            number += 1;
            let path = directory.path().join(format!("{number}.redb"));
            let store = RedbStore::open(&path).expect("opens");
            move || Ok(store.clone())
        });
    }
}
