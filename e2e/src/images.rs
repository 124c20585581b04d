//! Images that tests and nodes run, made of Debian's static busybox.

use std::path::Path;

use zastava_oci::{ImageBuilder, Layout};

use crate::Error;

/// Debian's `busybox-static`.
const BUSYBOX: &str = "/bin/busybox";

/// An image FROM scratch that runs `busybox` with these words, such as `sleep 1000`.
///
/// # Errors
/// If busybox is not installed.
pub fn busybox_image(reference: &str, command: &[&str]) -> Result<Layout, Error> {
    let program = std::fs::read(BUSYBOX).map_err(Error::file(BUSYBOX))?;
    let image =
        ImageBuilder::new(reference).program("/bin/busybox", program).command(command.iter().copied());
    // Images with different names have different digests, as real ones have.
    let image = image.label("org.opencontainers.image.title", reference);
    image.build().map_err(Error::Image)
}

/// Writes the archive that [`crate::Cluster::import_image`] takes.
///
/// # Errors
/// If it cannot be written.
pub fn write_archive(image: &Layout, path: &Path) -> Result<(), Error> {
    image.write_archive(path).map_err(Error::Image)
}
