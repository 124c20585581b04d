//! One layer of an image: files, packed.

use std::collections::BTreeMap;
use std::io::Write as _;

use flate2::GzBuilder;
use zastava_core::image::Digest;

use super::archive::{Archive, Facts};
use crate::Error;

/// One file, directory or symbolic link of a layer. It belongs to root unless an [owner](Self::owner) is named.
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
    /// A file with permissions such as `0o755`. Directories above it come by themselves, with mode 0755.
    #[must_use]
    pub fn file(path: impl Into<String>, mode: u32, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), facts: Facts { mode, ..Facts::FILE }, content: Content::File(bytes.into()) }
    }

    /// A directory.
    #[must_use]
    pub fn directory(path: impl Into<String>, mode: u32) -> Self {
        Self { path: path.into(), facts: Facts { mode, ..Facts::FILE }, content: Content::Directory }
    }

    /// A symbolic link to `target`, which is stored as it is.
    #[must_use]
    pub fn symlink(path: impl Into<String>, target: impl Into<String>) -> Self {
        Self { path: path.into(), facts: Facts::FILE, content: Content::Symlink(target.into()) }
    }

    /// The numbers of the user and the group it belongs to.
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
    /// gzip: a third of the size, on every node that pulls the image.
    #[default]
    Gzip,
    /// A plain tar: made at once, for images that never leave the machine.
    None,
}

/// A packed layer.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) media_type: &'static str,
    pub(super) blob: Vec<u8>,
    /// Of the uncompressed tar: what the configuration lists.
    pub(super) diff_id: Digest,
}

impl Layer {
    pub(super) fn pack(entries: &[Entry], compression: Compression) -> Result<Self, Error> {
        let tar = pack(&sorted(entries)?)?;
        let diff_id = Digest::of(&tar);
        let (media_type, blob) = match compression {
            Compression::Gzip => ("application/vnd.oci.image.layer.v1.tar+gzip", gzip(&tar)),
            Compression::None => ("application/vnd.oci.image.layer.v1.tar", tar),
        };
        Ok(Self { media_type, blob, diff_id })
    }
}

/// By path, so that a directory stands before what is in it; `None` for one that nobody described.
type Sorted<'a> = BTreeMap<&'a str, Option<&'a Entry>>;

fn sorted(entries: &[Entry]) -> Result<Sorted<'_>, Error> {
    let mut sorted = Sorted::new();
    for entry in entries {
        let path = relative(&entry.path)?;
        for (at, _) in path.match_indices('/') {
            sorted.entry(&path[..at]).or_insert(None);
        }
        // A directory may have been implied by an entry before.
        let implied = sorted.insert(path, Some(entry));
        if matches!(implied, Some(Some(_))) {
            return Err(Error::Conflict { path: entry.path.clone() });
        }
    }
    match sorted.iter().find(|(path, entry)| !may_hold_others(entry) && has_others(&sorted, path)) {
        Some((path, _)) => Err(Error::Conflict { path: format!("/{path}") }),
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

/// Layers hold paths without the leading slash (OCI layer specification, "Change types": relative to the root).
fn relative(path: &str) -> Result<&str, Error> {
    let valid = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('\0');
    path.strip_prefix('/')
        .filter(|relative| relative.split('/').all(valid))
        .ok_or_else(|| Error::Path { path: path.to_owned() })
}

fn pack(sorted: &Sorted<'_>) -> Result<Vec<u8>, Error> {
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
        // Memory takes every write: what fails is a path that is too long.
        appended.map_err(|_| Error::Path { path: format!("/{path}") })?;
    }
    Ok(archive.finish())
}

/// Without a name and with the time 0, which says "none" (RFC 1952 section 2.3.1).
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = GzBuilder::new().mtime(0).write(Vec::new(), flate2::Compression::default());
    writer.write_all(bytes).and_then(|()| writer.finish()).expect("memory takes every write")
}
