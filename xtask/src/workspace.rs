//! Where the source is, and which commit.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use zastava_core::clock::Timestamp;

use crate::command::Command;
use crate::{Error, files};

/// A checkout of the source, or an unpacked archive of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub root: PathBuf,
    /// Where cargo builds.
    pub target: PathBuf,
    /// The release that the manifest names.
    pub version: String,
    /// `https` address of the repository.
    pub repository: String,
    /// The commit's full hash, with `-dirty` behind it when files differ from it; `unknown` without git.
    pub commit: String,
    /// The commit's time.
    pub committed: Timestamp,
}

impl Workspace {
    /// The workspace that contains `folder`. The variables `ZASTAVA_COMMIT` and `SOURCE_DATE_EPOCH` override
    /// git: an unpacked archive has no repository.
    ///
    /// # Errors
    /// [`Error::Spawn`], [`Error::Failed`], [`Error::Answer`]: cargo does not know the workspace.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let text = Command::new("cargo", folder)
            .arguments(["metadata", "--no-deps", "--offline", "--format-version", "1"])
            .output()?;
        let metadata: Value = serde_json::from_str(&text).map_err(|error| answer(error.to_string()))?;
        let program = metadata["packages"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|package| package["name"] == "stellaops-zastava-observer");
        let member = |name: &str| {
            program
                .and_then(|package| package[name].as_str())
                .map(str::to_owned)
                .ok_or_else(|| answer(format!("{name} of zastava-observer")))
        };
        let folder_of =
            |name: &str| metadata[name].as_str().map(PathBuf::from).ok_or_else(|| answer(name.to_owned()));
        let root = folder_of("workspace_root")?;
        Ok(Self {
            version: member("version")?,
            repository: member("repository")?,
            commit: commit(&root),
            committed: committed(&root),
            target: folder_of("target_directory")?,
            root,
        })
    }
    /// Copies the files that git tracks or would add to `root`. The copy is built in `target`, as the same commit.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Spawn`] and [`Error::Failed`] where git does not know the source.
    pub fn copy_to(&self, root: &Path, target: &Path) -> Result<Self, Error> {
        let listed = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let names = Command::new("git", &self.root).arguments(listed).output()?;
        for name in names.split_terminator('\0') {
            let (from, to) = (self.root.join(name), root.join(name));
            // The file was removed, but the removal is not committed.
            if !from.exists() {
                continue;
            }
            files::create_directory(to.parent().unwrap_or(root))?;
            fs::copy(&from, &to).map_err(Error::file("copy", &from))?;
        }
        Ok(Self { root: root.to_owned(), target: target.to_owned(), ..self.clone() })
    }
}

fn answer(message: String) -> Error {
    Error::Answer { program: "cargo metadata".to_owned(), message }
}

fn commit(root: &Path) -> String {
    let described = || git(root, &["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]);
    env::var("ZASTAVA_COMMIT").ok().or_else(described).unwrap_or_else(|| "unknown".to_owned())
}

fn committed(root: &Path) -> Timestamp {
    let shown = || git(root, &["show", "--no-patch", "--format=%ct", "HEAD"]);
    let seconds = env::var("SOURCE_DATE_EPOCH").ok().or_else(shown).and_then(|text| text.parse().ok());
    seconds.map_or(Timestamp::UNIX_EPOCH, Timestamp::from_unix_seconds)
}

/// `None` without git or without a repository.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let said = Command::new("git", root).arguments(arguments).output().ok()?;
    Some(said.trim().to_owned()).filter(|text| !text.is_empty())
}
