//! The report of a build, for people and for `images.json`.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use zastava_core::clock::Timestamp;
use zastava_core::image::Digest;
use zastava_oci::{Layout, PlatformImage, write_file};

use super::build::Built;
use super::program::Program;
use crate::Error;
use crate::workspace::Workspace;

/// All images of one build; as JSON the content of `images.json`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Report {
    /// The release.
    pub version: String,
    /// The source's commit.
    pub commit: String,
    /// The time of the commit, which is also that of the images.
    pub created: Timestamp,
    /// One for each program.
    pub images: Vec<ImageReport>,
    /// What is missing or was left out, one sentence each.
    pub notes: Vec<String>,
}

/// One image.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ImageReport {
    /// The program's name, and the last part of the image's.
    pub name: String,
    /// `registry/repository:tag`, the name under which the archive is imported.
    pub reference: String,
    /// `registry/repository@sha256:…`.
    pub pinned: String,
    /// The digest that the name points at.
    pub digest: Digest,
    /// The archive, relative to the output folder.
    pub archive: PathBuf,
    /// One for each platform.
    pub platforms: Vec<ProgramReport>,
}

/// One image's part for one platform.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ProgramReport {
    /// The digests and what a node downloads.
    #[serde(flatten)]
    pub image: PlatformImage,
    /// Where the program is in the image.
    pub program: String,
    /// The stripped program's size.
    pub program_bytes: u64,
    /// The GNU build-id, which the observer reports when the program runs.
    pub build_id: String,
}

impl Report {
    pub(super) fn new(workspace: &Workspace) -> Self {
        Self {
            version: workspace.version.clone(),
            commit: workspace.commit.clone(),
            created: workspace.committed,
            images: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(super) fn write(&self, output: &Path) -> Result<(), Error> {
        let mut text = serde_json::to_vec_pretty(self).expect("these types are JSON");
        text.push(b'\n');
        Ok(write_file(&output.join("images.json"), &text)?)
    }
}

impl ImageReport {
    pub(super) fn new(program: &Program, archive: PathBuf, layout: &Layout, built: &[&Built]) -> Self {
        let platform = |image: &PlatformImage| {
            let built =
                built.iter().find(|built| zastava_oci::Platform::from(built.platform) == image.platform)?;
            Some(ProgramReport {
                image: image.clone(),
                program: program.path(),
                program_bytes: built.bytes.len() as u64,
                build_id: built.build_id.to_string(),
            })
        };
        Self {
            name: program.name.to_owned(),
            reference: layout.reference(),
            pinned: layout.pinned(),
            digest: layout.digest(),
            archive,
            platforms: layout.platforms().iter().filter_map(platform).collect(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "commit {}, {}", self.commit, self.created)?;
        for image in &self.images {
            writeln!(f, "\n{}\n  {}", image.reference, image.digest)?;
            for platform in &image.platforms {
                let (part, program) = (&platform.image, megabytes(platform.program_bytes));
                let image = megabytes(part.bytes);
                writeln!(
                    f,
                    "  {}  program {program}, image {image}, build-id {}",
                    part.platform, platform.build_id
                )?;
            }
        }
        if !self.notes.is_empty() {
            writeln!(f)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{:02} MB", bytes / 1_000_000, bytes % 1_000_000 / 10_000)
}
