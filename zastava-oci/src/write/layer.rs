//! Packs files into one layer of an image.

use std::collections::BTreeMap;
use std::io::Write as _;

use flate2::GzBuilder;
use zastava_core::image::Digest;

use super::WriteError;
use super::archive::{Archive, Facts};
use crate::media_type::{LAYER_GZIP, LAYER_TAR};

/// A file, directory or symbolic link to put into a layer. Root owns it unless an [owner](Self::owner) is named.
#[derive(Clone, Debug)]
pub struct Entry {
    path: String,
    facts: Facts,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    File(Vec<u8>),
    Directory,
    Symlink(String),
}

impl Entry {
    /// A file with permissions such as `0o755`. Directories above it are added with mode 0755.
    #[must_use]
    pub fn file(path: impl Into<String>, mode: u32, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), facts: Facts { mode, ..Facts::FILE }, content: Content::File(bytes.into()) }
    }

    /// A directory.
    #[must_use]
    pub fn directory(path: impl Into<String>, mode: u32) -> Self {
        Self { path: path.into(), facts: Facts { mode, ..Facts::FILE }, content: Content::Directory }
    }

    /// A symbolic link to `target`, which is stored unchanged.
    #[must_use]
    pub fn symlink(path: impl Into<String>, target: impl Into<String>) -> Self {
        Self { path: path.into(), facts: Facts::FILE, content: Content::Symlink(target.into()) }
    }

    /// Sets the user and the group that own it.
    #[must_use]
    pub fn owner(mut self, uid: u32, gid: u32) -> Self {
        (self.facts.uid, self.facts.gid) = (uid, gid);
        self
    }
}

/// How layers are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// gzip: about a third of the size, for images that nodes pull.
    #[default]
    Gzip,
    /// A plain tar: quick to make, for images that never leave the machine.
    None,
}

/// A packed layer.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) media_type: &'static str,
    pub(super) blob: Vec<u8>,
    /// The digest of the uncompressed tar, which the configuration lists.
    pub(super) diff_id: Digest,
}

impl Layer {
    pub(super) fn pack(entries: &[Entry], compression: Compression) -> Result<Self, WriteError> {
        let tar = pack(&sorted(entries)?)?;
        let diff_id = Digest::of(&tar);
        let (media_type, blob) = match compression {
            Compression::Gzip => (LAYER_GZIP, gzip(&tar)),
            Compression::None => (LAYER_TAR, tar),
        };
        Ok(Self { media_type, blob, diff_id })
    }
}

/// Entries by path, so that a directory precedes its content. `None` stands for a directory that an entry's path
/// implies.
type Sorted<'a> = BTreeMap<&'a str, Option<&'a Entry>>;

fn sorted(entries: &[Entry]) -> Result<Sorted<'_>, WriteError> {
    let mut sorted = Sorted::new();
    for entry in entries {
        let path = relative(&entry.path)?;
        for (at, _) in path.match_indices('/') {
            sorted.entry(&path[..at]).or_insert(None);
        }
        let replaced = sorted.insert(path, Some(entry));
        if matches!(replaced, Some(Some(_))) {
            return Err(WriteError::Conflict { path: entry.path.clone() });
        }
    }
    match sorted.iter().find(|(path, entry)| !may_hold_others(entry) && has_others(&sorted, path)) {
        Some((path, _)) => Err(WriteError::Conflict { path: format!("/{path}") }),
        None => Ok(sorted),
    }
}

fn may_hold_others(entry: &Option<&Entry>) -> bool {
    entry.is_none_or(|entry| matches!(entry.content, Content::Directory))
}

fn has_others(sorted: &Sorted<'_>, path: &str) -> bool {
    let below = format!("{path}/");
    sorted.range(below.as_str()..).next().is_some_and(|(other, _)| other.starts_with(&below))
}

/// Paths in a layer are relative to the root (OCI layer specification, "Change Types").
fn relative(path: &str) -> Result<&str, WriteError> {
    let valid = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('\0');
    path.strip_prefix('/')
        .filter(|relative| relative.split('/').all(valid))
        .ok_or_else(|| WriteError::Path { path: path.to_owned() })
}

fn pack(sorted: &Sorted<'_>) -> Result<Vec<u8>, WriteError> {
    let mut archive = Archive::new();
    for (path, entry) in sorted {
        let appended = match entry {
            None => archive.directory(path, Facts::DIRECTORY),
            Some(Entry { facts, content, .. }) => match content {
                Content::File(bytes) => archive.file(path, *facts, bytes),
                Content::Directory => archive.directory(path, *facts),
                Content::Symlink(target) => archive.symlink(path, *facts, target),
            },
        };
        // Writing to memory cannot fail: the path is too long.
        appended.map_err(|_| WriteError::Path { path: format!("/{path}") })?;
    }
    Ok(archive.finish())
}

/// No file name, and the time 0, which means "none" (RFC 1952 section 2.3.1).
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = GzBuilder::new().mtime(0).write(Vec::new(), flate2::Compression::default());
    writer.write_all(bytes).and_then(|()| writer.finish()).expect("writing to memory cannot fail")
}
