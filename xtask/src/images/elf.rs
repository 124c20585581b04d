//! Checks whether a program may go into an image.

use std::path::Path;

use object::Endianness;
use object::elf::{EM_AARCH64, EM_X86_64, FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use zastava_elf::BuildId;

use super::Platform;
use crate::Error;

/// Checks that a program is static, is for `platform` and has a build-id. Returns the build-id.
///
/// # Errors
/// [`Error::NotStatic`] names `path` and the fault of `bytes`.
pub fn check_static(path: &Path, bytes: &[u8], platform: Platform) -> Result<BuildId, Error> {
    let refuse = |fault| Error::NotStatic { path: path.to_owned(), fault };
    let header = FileHeader64::<Endianness>::parse(bytes).map_err(|_| refuse("is not a 64-bit ELF file"))?;
    let endian = header.endian().map_err(|_| refuse("has no byte order"))?;
    let machine = match platform {
        Platform::LinuxAmd64 => EM_X86_64,
        Platform::LinuxArm64 => EM_AARCH64,
    };
    if header.e_machine(endian) != machine {
        return Err(refuse("is for another machine"));
    }
    let segments =
        header.program_headers(endian, bytes).map_err(|_| refuse("has damaged program headers"))?;
    if segments.iter().any(|segment| segment.p_type(endian) == PT_INTERP) {
        return Err(refuse("needs a dynamic loader, which the images do not contain"));
    }
    match zastava_elf::build_id_in(bytes) {
        Ok(Some(id)) => Ok(id),
        _ => Err(refuse("has no build-id")),
    }
}
