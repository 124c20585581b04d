//! Finds a toolchain for a platform: a compiler with its standard library, a linker, a C compiler.

use std::env;
use std::path::{Path, PathBuf};

use super::Platform;
use crate::command::Command;

/// A complete toolchain, found on this machine.
#[derive(Debug)]
pub(super) struct Toolchain {
    pub(super) platform: Platform,
    /// The platform in the compiler's spelling.
    pub(super) target: &'static str,
    /// The compiler, which has a standard library for the target.
    pub(super) rustc: PathBuf,
    /// `objcopy` for the target's files.
    pub(super) objcopy: &'static str,
    /// C compiler and linker.
    pub(super) cc: &'static str,
}

impl Toolchain {
    /// Finds a toolchain, or says what is missing.
    pub(super) fn find(platform: Platform, folder: &Path) -> Result<Self, String> {
        let target = match platform {
            Platform::LinuxAmd64 => "x86_64-unknown-linux-gnu",
            Platform::LinuxArm64 => "aarch64-unknown-linux-gnu",
        };
        let native = target.starts_with(env::consts::ARCH);
        let (cc, objcopy) = match platform {
            _ if native => ("cc", "objcopy"),
            Platform::LinuxAmd64 => ("x86_64-linux-gnu-gcc", "x86_64-linux-gnu-objcopy"),
            Platform::LinuxArm64 => ("aarch64-linux-gnu-gcc", "aarch64-linux-gnu-objcopy"),
        };
        let rustc = rustc_with(target, folder).ok_or_else(|| format!("no standard library for {target}"))?;
        for tool in [cc, objcopy] {
            Command::new(tool, folder).arguments(["--version"]).output().map_err(|_| format!("no {tool}"))?;
        }
        Ok(Self { platform, target, rustc, objcopy, cc })
    }
}

/// The project's compiler, or the distribution's: Debian has standard libraries for other
/// machines as packages.
fn rustc_with(target: &str, folder: &Path) -> Option<PathBuf> {
    let candidates = [PathBuf::from("rustc"), PathBuf::from("/usr/bin/rustc")];
    candidates.into_iter().find(|rustc| {
        let asked =
            Command::new(rustc, folder).arguments(["--print", "target-libdir", "--target", target]).output();
        asked.is_ok_and(|directory| has_standard_library(Path::new(directory.trim())))
    })
}

fn has_standard_library(directory: &Path) -> bool {
    let entries = directory.read_dir().into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).any(|name| {
        let name = name.to_string_lossy();
        name.starts_with("libstd-") && name.ends_with(".rlib")
    })
}
