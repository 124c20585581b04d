//! A layout in one tar archive, read in place.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tar::EntryType;

use super::entry_path::relative;
use super::place::{Document, Place, shortened};
use super::section::Section;
use super::tar::{Member, TarReader};
use super::{Limits, ReadError};

/// An archive whose headers were read. Contents stay in the file.
#[derive(Debug)]
pub(super) struct Archive {
    path: PathBuf,
    files: BTreeMap<PathBuf, Section>,
}

impl Archive {
    pub(super) fn open(path: &Path, limits: &Limits) -> Result<Self, ReadError> {
        let file = File::open(path).map_err(ReadError::file("open", path))?;
        let length = file.metadata().map_err(ReadError::file("open", path))?.len();
        let whole = Section::new(Arc::new(file), path.into(), 0, length);
        let mut archive = Self { path: path.to_owned(), files: BTreeMap::new() };
        let mut reader = TarReader::new(whole.clone(), limits.extended_header_bytes);
        let mut entries = 0;
        loop {
            let place = Place::byte(Document::Archive(path.to_owned()), reader.next_header());
            let Some(member) =
                reader.next().map_err(|fault| fault.at(&place, limits, ReadError::file("read", path)))?
            else {
                return Ok(archive);
            };
            entries += 1;
            if entries > limits.archive_entries {
                return Err(ReadError::limit(place, "archive_entries", limits.archive_entries as u64));
            }
            archive.add(&member, &whole, place)?;
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self, name: &str) -> Option<Section> {
        self.files.get(Path::new(name)).cloned()
    }

    fn add(&mut self, member: &Member, whole: &Section, place: Place) -> Result<(), ReadError> {
        let text = || shortened(&String::from_utf8_lossy(&member.path));
        let path = match relative(&member.path) {
            Ok(path) => path,
            Err(fault) => return Err(ReadError::Path { place, path: text(), fault }),
        };
        if member.kind == EntryType::Directory {
            return Ok(());
        }
        if member.kind != EntryType::Regular {
            return Err(ReadError::Tar { place, fault: "neither a file nor a directory" });
        }
        if member.size > whole.remaining().saturating_sub(member.offset) {
            return Err(ReadError::Tar { place, fault: "the archive is cut off" });
        }
        match self.files.insert(path, whole.part(member.offset, member.size)) {
            Some(_) => Err(ReadError::Duplicate { place, name: text() }),
            None => Ok(()),
        }
    }
}
