//! A disk that can lose power. Each unsynced write may survive, be lost, or survive in part. Unsynced names may survive
//! or be lost.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::Random;
use crate::store::{Removal, Store, StoredFile};

/// Smaller than any real sector, so that small structures are torn too.
const SECTOR_BYTES: usize = 64;
const PAGE_BYTES: usize = 4096;

#[derive(Clone, Debug)]
pub(super) struct SimDisk(Arc<Mutex<DiskState>>);

#[derive(Debug, Default)]
struct DiskState {
    files: BTreeMap<String, File>,
    /// Files whose removal is not synced.
    removed: BTreeMap<String, File>,
    calls: u64,
    /// From this call on, every call fails and does nothing.
    dies_at: Option<u64>,
    /// Which calls fail, and how.
    faults: Option<(std::ops::Range<u64>, Fault)>,
    bytes_max: Option<u64>,
    log: Vec<String>,
}

#[derive(Clone, Debug, Default)]
struct File {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    /// Written before a sync that failed: no later sync makes it durable.
    in_doubt: Vec<Change>,
    reserved: u64,
    is_name_durable: bool,
    is_aside: bool,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Kind(io::ErrorKind),
    /// Half of a write is done, and the call fails.
    Short,
    /// The call is done, and fails.
    Late,
}

impl File {
    fn apply(bytes: &mut Vec<u8>, change: &Change, keep: &mut impl FnMut() -> bool) {
        match change {
            Change::Truncate(len) => bytes.truncate(*len),
            Change::Write(offset, new) => {
                for (sector, part) in new.chunks(SECTOR_BYTES).enumerate() {
                    let at = offset + sector * SECTOR_BYTES;
                    if keep() {
                        bytes.resize(bytes.len().max(at + part.len()), 0);
                        bytes[at..at + part.len()].copy_from_slice(part);
                    }
                }
            }
        }
    }

    fn change(&mut self, change: Change) {
        Self::apply(&mut self.live, &change, &mut || true);
        let Change::Write(offset, bytes) = &change else { return self.unsynced.push(change) };
        // Each page is written on its own.
        let (mut at, mut left) = (*offset, &bytes[..]);
        while !left.is_empty() {
            let part = left.len().min(PAGE_BYTES - at % PAGE_BYTES);
            self.unsynced.push(Change::Write(at, left[..part].to_vec()));
            (at, left) = (at + part, &left[part..]);
        }
    }

    fn after_power_cut(mut self, random: &mut Random) -> Self {
        for change in self.in_doubt.iter().chain(&self.unsynced) {
            match random.below(3) {
                0 => {}
                1 => Self::apply(&mut self.durable, change, &mut || true),
                _ => Self::apply(&mut self.durable, change, &mut || random.chance(50)),
            }
        }
        Self {
            live: self.durable.clone(),
            durable: self.durable,
            is_name_durable: true,
            is_aside: self.is_aside,
            ..Self::default()
        }
    }
}

impl SimDisk {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(DiskState::default())))
    }

    fn lock(&self) -> MutexGuard<'_, DiskState> {
        self.0.lock().expect("nobody panics with it")
    }

    pub(super) fn die_at(&self, call: u64) {
        let mut state = self.lock();
        state.dies_at = Some(state.calls + call);
    }

    pub(super) fn is_dead(&self) -> bool {
        let state = self.lock();
        state.dies_at.is_some_and(|at| state.calls >= at)
    }

    pub(super) fn fail(&self, calls: std::ops::Range<u64>, fault: Fault) {
        let mut state = self.lock();
        state.faults = Some((state.calls + calls.start..state.calls.saturating_add(calls.end), fault));
    }

    pub(super) fn heal(&self) {
        self.lock().faults = None;
    }

    pub(super) fn calls(&self) -> u64 {
        self.lock().calls
    }

    pub(super) fn limit(&self, bytes_max: Option<u64>) {
        self.lock().bytes_max = bytes_max;
    }

    /// Returns the allocated bytes, in blocks.
    pub(super) fn bytes(&self) -> u64 {
        self.lock().bytes()
    }

    pub(super) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().log)
    }

    /// Returns the disk as it is after a power cut.
    pub(super) fn after_power_cut(&self, random: &mut Random) -> Self {
        let mut state = self.lock();
        let mut files = BTreeMap::new();
        for (name, file) in std::mem::take(&mut state.files) {
            if file.is_name_durable || random.chance(50) {
                files.insert(name, file.after_power_cut(random));
            }
        }
        for (name, file) in std::mem::take(&mut state.removed) {
            if file.is_name_durable && random.chance(50) {
                files.entry(name).or_insert_with(|| file.after_power_cut(random));
            }
        }
        Self(Arc::new(Mutex::new(DiskState { files, ..DiskState::default() })))
    }

    /// Returns the disk as it is after `kill -9`: all written bytes are there.
    pub(super) fn after_kill(&self) -> Self {
        let mut state = self.lock();
        let files = std::mem::take(&mut state.files);
        let removed = std::mem::take(&mut state.removed);
        Self(Arc::new(Mutex::new(DiskState { files, removed, ..DiskState::default() })))
    }
}

impl DiskState {
    fn bytes(&self) -> u64 {
        self.files
            .values()
            .map(|file| (file.live.len() as u64).max(file.reserved).next_multiple_of(4096))
            .sum()
    }

    /// Counts a call. Fails, or returns whether the call is done and then fails.
    fn call(&mut self, what: &str, name: &str) -> Result<bool, io::Error> {
        self.log.push(format!("{what} {name}"));
        self.calls += 1;
        if self.dies_at.is_some_and(|at| self.calls >= at) {
            return Err(io::Error::other("no power"));
        }
        match &self.faults {
            Some((calls, fault)) if calls.contains(&(self.calls - 1)) => match fault {
                Fault::Kind(kind) => Err((*kind).into()),
                Fault::Short | Fault::Late => Ok(true),
            },
            _ => Ok(false),
        }
    }

    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        self.files.get_mut(name).filter(|file| !file.is_aside).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn is_short(&self) -> bool {
        matches!(self.faults, Some((_, Fault::Short)))
    }
}

fn late(is_late: bool) -> io::Result<()> {
    if is_late { Err(io::Error::other("injected")) } else { Ok(()) }
}

impl Store for SimDisk {
    fn list(&mut self) -> io::Result<Vec<StoredFile>> {
        let mut state = self.lock();
        late(state.call("list", "")?)?;
        let stored = |(name, file): (&String, &File)| StoredFile {
            name: name.clone(),
            len: file.live.len() as u64,
            aside: file.is_aside,
        };
        Ok(state.files.iter().map(stored).collect())
    }

    fn create(&mut self, name: &str, reserve_bytes: u64) -> io::Result<()> {
        let mut state = self.lock();
        let is_late = state.call("create", name)?;
        if state.bytes_max.is_some_and(|max| state.bytes() + reserve_bytes > max) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        assert!(!state.files.contains_key(name), "{name} is used twice");
        state.files.insert(name.to_owned(), File { reserved: reserve_bytes, ..File::default() });
        late(is_late)
    }

    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        let is_late = state.call("write", name)?;
        let written = if is_late && state.is_short() { bytes.len() / 2 } else { bytes.len() };
        state.file(name)?.change(Change::Write(offset as usize, bytes[..written].to_vec()));
        late(is_late)
    }

    fn read(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.lock();
        late(state.call("read", name)?)?;
        let file = state.file(name)?;
        let held = file.live.get(offset as usize..).unwrap_or_default();
        let len = held.len().min(buffer.len());
        buffer[..len].copy_from_slice(&held[..len]);
        Ok(len)
    }

    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        let mut state = self.lock();
        let is_late = state.call("truncate", name)?;
        let file = state.file(name)?;
        file.reserved = 0;
        file.change(Change::Truncate(len as usize));
        late(is_late)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        let called = state.call("sync", name);
        let file = state.file(name)?;
        if !matches!(called, Ok(false)) {
            // The kernel takes the pages for clean.
            let unsynced = std::mem::take(&mut file.unsynced);
            file.in_doubt.extend(unsynced);
            return called.and_then(late);
        }
        for change in std::mem::take(&mut file.unsynced) {
            File::apply(&mut file.durable, &change, &mut || true);
            // Whole pages are written, with what an earlier write left in them.
            if let Change::Write(offset, bytes) = &change {
                let pages =
                    offset / PAGE_BYTES * PAGE_BYTES..(offset + bytes.len()).next_multiple_of(PAGE_BYTES);
                let within = pages.start..pages.end.min(file.live.len()).min(file.durable.len());
                file.durable[within.clone()].copy_from_slice(&file.live[within]);
                let is_covered = |old: &Change| matches!(old, Change::Write(at, old) if *at >= pages.start && at + old.len() <= pages.end);
                file.in_doubt.retain(|old| !is_covered(old));
            }
        }
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        let mut state = self.lock();
        late(state.call("sync_names", "")?)?;
        state.files.values_mut().for_each(|file| file.is_name_durable = true);
        state.removed.clear();
        Ok(())
    }

    fn remove(&mut self, name: &str, removal: Removal) -> io::Result<()> {
        let mut state = self.lock();
        let is_late = state.call("remove", name)?;
        if removal == Removal::SetAside {
            state.file(name)?.is_aside = true;
        } else if let Some(file) = state.files.remove(name) {
            state.removed.insert(name.to_owned(), file);
        }
        late(is_late)
    }
}
