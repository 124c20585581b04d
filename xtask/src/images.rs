//! The programs as images: built static, stripped, put into images FROM scratch.
//!
//! An image holds its program in `/usr/local/bin`, three small files in `/etc`, and the machine's CA bundle
//! when there is one. Nothing else: no shell, no package, nothing to update but what we release.

mod base;
mod build;
mod debug;
mod elf;
mod platform;
mod program;
mod report;
mod toolchain;

use std::path::PathBuf;

pub use self::base::CaBundle;
pub use self::elf::check_static;
pub use self::platform::{Platform, PlatformError};
pub use self::report::{ImageReport, ProgramReport, Report};

use zastava_oci::{Entry, ImageBuilder, Layout};

use self::build::{Built, build};
use self::program::{PROGRAMS, Program};
use self::toolchain::Toolchain;
use crate::workspace::Workspace;
use crate::{Error, files};

/// What images to make.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The folder that archives and `images.json` are written to.
    pub output: PathBuf,
    /// The platforms to build for. One without a toolchain on this machine is left out, with a note.
    pub platforms: Vec<Platform>,
    /// Registry and path of the images' names.
    pub repository: String,
    /// The tag of the images' names.
    pub tag: String,
    /// The CAs that the images trust if the configuration names no others.
    pub ca_bundle: CaBundle,
}

impl Options {
    /// The options of a release of `workspace`.
    #[must_use]
    pub fn new(workspace: &Workspace) -> Self {
        Self {
            output: workspace.target.join("images"),
            platforms: Platform::ALL.into(),
            repository: "registry.internal/zastava".to_owned(),
            tag: workspace.version.clone(),
            ca_bundle: CaBundle::default(),
        }
    }

    fn reference(&self, program: &Program) -> String {
        format!("{}/{}:{}", self.repository, program.name, self.tag)
    }
}

/// Where [`write()`] puts the stripped programs for this machine by default.
#[must_use]
pub fn programs_here(workspace: &Workspace) -> PathBuf {
    let here = if std::env::consts::ARCH == "aarch64" { Platform::LinuxArm64 } else { Platform::LinuxAmd64 };
    Options::new(workspace).output.join(here.folder())
}

/// Builds the programs and writes one archive for each, then `images.json`.
///
/// # Errors
/// The first error of any step.
pub fn write(workspace: &Workspace, options: &Options) -> Result<Report, Error> {
    // Checks the names before minutes of building.
    PROGRAMS
        .iter()
        .try_for_each(|program| ImageBuilder::new(options.reference(program)).build().map(drop))?;
    let mut report = Report::new(workspace);
    let base = base::entries(&options.ca_bundle, &mut report.notes)?;
    let mut toolchains = Vec::new();
    let mut missing = Vec::new();
    for platform in &options.platforms {
        match Toolchain::find(*platform, &workspace.root) {
            Ok(toolchain) => toolchains.push(toolchain),
            Err(what) => missing.push(format!("{platform}: {what}")),
        }
    }
    if toolchains.is_empty() {
        return Err(Error::NoToolchain { missing: missing.join("; ") });
    }
    files::create_directory(&options.output)?;
    // Two builds at once would read each other's half-written programs.
    let _lock = files::lock(&workspace.target.join("images.lock"))?;
    let mut built = Vec::new();
    for toolchain in &toolchains {
        built.extend(build(workspace, toolchain, &options.output)?);
    }
    report.notes.extend(missing.iter().map(|what| format!("the images are without {what}")));
    for program in &PROGRAMS {
        let built: Vec<_> = built.iter().filter(|built| built.program.name == program.name).collect();
        report.images.push(write_one(workspace, options, program, &base, &built)?);
    }
    report.write(&options.output)?;
    Ok(report)
}

fn write_one(
    workspace: &Workspace,
    options: &Options,
    program: &Program,
    base: &[Entry],
    built: &[&Built],
) -> Result<ImageReport, Error> {
    let reference = options.reference(program);
    let images = built.iter().map(|built| image(workspace, &reference, base, built));
    let layout = Layout::build(images)?;
    let archive = PathBuf::from(format!("{}.tar", program.name));
    layout.write_archive(options.output.join(&archive))?;
    Ok(ImageReport::new(program, archive, &layout, built))
}

/// The lowest layer is the same in all images, so that a node stores and pulls it once.
fn image(workspace: &Workspace, reference: &str, base: &[Entry], built: &Built) -> ImageBuilder {
    let program = &built.program;
    let label = |name: &str| format!("org.opencontainers.image.{name}");
    ImageBuilder::new(reference)
        .platform(built.platform.into())
        .created(workspace.committed)
        .layer(base.iter().cloned())
        .program(&program.path(), built.bytes.clone())
        .env("PATH", program::DIRECTORY)
        .env("SSL_CERT_FILE", base::CA_BUNDLE)
        .user(program.uid, program.uid)
        .label(label("title"), program.name)
        .label(label("description"), program.description)
        .label(label("version"), &workspace.version)
        .label(label("revision"), &workspace.commit)
        .label(label("created"), workspace.committed.to_string())
        .label(label("source"), &workspace.repository)
        .label(label("licenses"), "MIT OR Apache-2.0")
}

/// Builds the source again, from a copy in another folder and with nothing built before, and compares the
/// digests with those of `report`.
///
/// # Errors
/// [`Error::NotReproducible`]; otherwise the first error of any step.
pub fn check_reproducible(workspace: &Workspace, options: &Options, report: &Report) -> Result<(), Error> {
    let folder = workspace.target.join("reproducible");
    files::remove_directory(&folder)?;
    let copy = workspace.copy_to(&folder.join("another/checkout"), &folder.join("built"))?;
    let again = write(&copy, &Options { output: folder.join("images"), ..options.clone() })?;
    for (first, second) in report.images.iter().zip(&again.images) {
        if first.digest != second.digest {
            let (first, second, image) = (first.digest, second.digest, first.name.clone());
            return Err(Error::NotReproducible { image, first, second });
        }
    }
    files::remove_directory(&folder)
}
