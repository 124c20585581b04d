//! A program's symbols: not in the image, kept beside it under the build-id.

use std::path::Path;

use zastava_elf::BuildId;

use super::toolchain::Toolchain;
use crate::command::Command;
use crate::{Error, files};

/// The program without symbols and debug information, which is also left in `output/<platform>/`.
pub(super) fn strip(toolchain: &Toolchain, program: &Path, output: &Path) -> Result<Vec<u8>, Error> {
    let folder = output.join(toolchain.platform.folder());
    files::create_directory(&folder)?;
    let stripped = folder.join(program.file_name().unwrap_or_default());
    objcopy(toolchain, "--strip-all", program, &stripped)?;
    files::read(&stripped)
}

/// Keeps what `strip` removed at `output/debug/.build-id/ab/cdef….debug`, where debuggers and debuginfod look.
pub(super) fn keep(toolchain: &Toolchain, program: &Path, id: &BuildId, output: &Path) -> Result<(), Error> {
    let Some(name) = id.debug_path() else { return Ok(()) };
    let path = output.join("debug").join(name.as_str());
    files::create_directory(path.parent().unwrap_or(output))?;
    objcopy(toolchain, "--only-keep-debug", program, &path)
}

fn objcopy(toolchain: &Toolchain, what: &str, from: &Path, to: &Path) -> Result<(), Error> {
    let arguments = [what.as_ref(), from.as_os_str(), to.as_os_str()];
    Command::new(toolchain.objcopy, Path::new(".")).arguments(arguments).output().map(drop)
}
