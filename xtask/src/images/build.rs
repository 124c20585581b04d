//! The static build: the same bytes from any folder, and no path of the machine in them.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use zastava_elf::BuildId;

use super::Platform;
use super::program::{PROGRAMS, Program};
use super::toolchain::Toolchain;
use super::{debug, elf};
use crate::Error;
use crate::command::Command;
use crate::workspace::Workspace;

/// A program that may go into an image.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) program: &'static Program,
    pub(super) platform: Platform,
    /// Stripped; the build-id is still in it.
    pub(super) bytes: Vec<u8>,
    pub(super) build_id: BuildId,
}

/// Builds all programs with one call of cargo, strips them, and keeps their debug files in `output`.
pub(super) fn build(
    workspace: &Workspace,
    toolchain: &Toolchain,
    output: &Path,
) -> Result<Vec<Built>, Error> {
    cargo(workspace, toolchain)?;
    let folder = workspace.target.join(toolchain.target).join("release");
    PROGRAMS
        .iter()
        .map(|program| {
            let path = folder.join(program.name);
            let bytes = debug::strip(toolchain, &path, output)?;
            let build_id = elf::check_static(&path, &bytes, toolchain.platform)?;
            debug::keep(toolchain, &path, &build_id, output)?;
            Ok(Built { program, platform: toolchain.platform, bytes, build_id })
        })
        .collect()
}

fn cargo(workspace: &Workspace, toolchain: &Toolchain) -> Result<(), Error> {
    let packages = PROGRAMS.iter().flat_map(|program| ["--package", program.package, "--bin", program.name]);
    let renamed = renamed_folders(workspace, toolchain)?;
    let target = toolchain.target.replace('-', "_");
    Command::new("cargo", &workspace.root)
        .arguments(["build", "--release", "--locked", "--target", toolchain.target])
        .arguments(packages)
        .env("CARGO_TARGET_DIR", &workspace.target)
        .env("CARGO_INCREMENTAL", "0")
        .env("RUSTC", &toolchain.rustc)
        // It overrides RUSTFLAGS, so that settings for daily work do not get into a release.
        .env("CARGO_ENCODED_RUSTFLAGS", rust_flags(&renamed))
        .env(format!("CARGO_TARGET_{}_LINKER", target.to_uppercase()), toolchain.cc)
        .env(format!("CC_{target}"), toolchain.cc)
        .env(format!("CFLAGS_{target}"), c_flags(&renamed))
        .env("ZASTAVA_COMMIT", &workspace.commit)
        // For `__DATE__` in C. The commit's time would rebuild all C code for each commit.
        .env("SOURCE_DATE_EPOCH", "0")
        .run()
}

/// A folder of this machine, and its name in every program.
type Renamed = (PathBuf, &'static str);

/// Inner folders come last, since the last match wins.
fn renamed_folders(workspace: &Workspace, toolchain: &Toolchain) -> Result<Vec<Renamed>, Error> {
    let sysroot =
        Command::new(&toolchain.rustc, &workspace.root).arguments(["--print", "sysroot"]).output()?;
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cargo_home = env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let mut renamed = vec![
        (PathBuf::from(sysroot.trim()), "/rust"),
        (cargo_home.clone(), "/cargo"),
        (workspace.root.clone(), "/zastava"),
        (workspace.target.clone(), "/target"),
    ];
    // The folder of the packages is named after the registry they came through.
    let registries = cargo_home.join("registry/src").read_dir().into_iter().flatten().flatten();
    renamed.extend(registries.map(|registry| (registry.path(), "/cargo/registry")));
    Ok(renamed)
}

fn rust_flags(renamed: &[Renamed]) -> OsString {
    // The build-id is a hash of the program.
    let fixed = ["-Ctarget-feature=+crt-static", "-Clink-arg=-Wl,--build-id=sha1"].map(OsString::from);
    let paths = renamed.iter().map(|(from, to)| flag("--remap-path-prefix=", from, to));
    fixed.into_iter().chain(paths).collect::<Vec<_>>().join("\u{1f}".as_ref())
}

fn c_flags(renamed: &[Renamed]) -> OsString {
    let paths = renamed.iter().map(|(from, to)| flag("-ffile-prefix-map=", from, to));
    paths.collect::<Vec<_>>().join(" ".as_ref())
}

fn flag(name: &str, from: &Path, to: &str) -> OsString {
    let mut flag = OsString::from(name);
    flag.push(from);
    flag.push("=");
    flag.push(to);
    flag
}
