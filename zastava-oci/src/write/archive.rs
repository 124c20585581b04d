//! Writes tar archives that depend on their content alone: time 0, owners by number, plain ustar.

use std::io;
use std::path::Path;

use tar::{Builder, EntryType, Header};

/// A tar archive in memory.
pub(super) struct Archive(Builder<Vec<u8>>);

/// Permissions and owner of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Facts {
    pub(super) const DIRECTORY: Self = Self { mode: 0o755, uid: 0, gid: 0 };
    pub(super) const FILE: Self = Self { mode: 0o644, uid: 0, gid: 0 };
}

impl Archive {
    pub(super) fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    /// Fails if the path is too long for a header.
    pub(super) fn file(&mut self, path: &str, facts: Facts, bytes: &[u8]) -> io::Result<()> {
        let mut header = header(EntryType::Regular, path, facts)?;
        header.set_size(bytes.len() as u64);
        self.append(header, bytes)
    }

    /// Fails if the path is too long for a header.
    pub(super) fn directory(&mut self, path: &str, facts: Facts) -> io::Result<()> {
        let header = header(EntryType::Directory, &format!("{path}/"), facts)?;
        self.append(header, &[])
    }

    /// Fails if the path or the target is too long for a header.
    pub(super) fn symlink(&mut self, path: &str, facts: Facts, target: &str) -> io::Result<()> {
        let mut header = header(EntryType::Symlink, path, Facts { mode: 0o777, ..facts })?;
        header.set_link_name_literal(target)?;
        self.append(header, &[])
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0.into_inner().expect("writing to memory cannot fail")
    }

    fn append(&mut self, mut header: Header, bytes: &[u8]) -> io::Result<()> {
        header.set_cksum();
        self.0.append(&header, bytes)
    }
}

fn header(kind: EntryType, path: &str, facts: Facts) -> io::Result<Header> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_path(Path::new(path))?;
    header.set_mode(facts.mode);
    header.set_uid(facts.uid.into());
    header.set_gid(facts.gid.into());
    header.set_mtime(0);
    header.set_size(0);
    Ok(header)
}
