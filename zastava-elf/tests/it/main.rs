//! What a caller of `zastava-elf` can rely on, through its public door.
//!
//! `image` makes ELF files in memory; the other modules are named for what they show.

#[cfg(feature = "cli")]
mod cli;
mod facts;
mod format;
mod hostile;
mod id;
mod image;
mod limits;
#[cfg(all(feature = "linux", target_os = "linux"))]
mod maps;
#[cfg(all(feature = "linux", target_os = "linux"))]
mod open;
#[cfg(all(feature = "linux", target_os = "linux"))]
mod process;
#[cfg(all(feature = "linux", target_os = "linux"))]
mod real_files;
#[cfg(feature = "serde")]
mod serde;
#[cfg(all(feature = "linux", target_os = "linux"))]
mod skip;
#[cfg(all(feature = "linux", target_os = "linux"))]
mod store;
