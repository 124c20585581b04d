//! What callers of `zastava-elf` can rely on, through its public interface.
//!
//! `image` makes ELF files in memory, and `ask` asks for their build-id. The other modules are named for what they
//! test.

mod answers;
mod ask;
#[cfg(feature = "cli")]
mod cli;
mod damage;
mod debug_link;
mod facts;
mod hostile;
#[cfg(feature = "htlhash")]
mod htlhash;
mod id;
mod image;
mod limits;
#[cfg(all(feature = "linux", target_os = "linux"))]
mod maps;
mod notes;
#[cfg(all(feature = "linux", target_os = "linux"))]
mod open;
#[cfg(all(feature = "linux", target_os = "linux"))]
mod process;
#[cfg(all(feature = "linux", target_os = "linux"))]
mod process_files;
#[cfg(all(feature = "linux", target_os = "linux"))]
mod real_files;
#[cfg(feature = "serde")]
mod serde;
#[cfg(all(feature = "linux", target_os = "linux"))]
mod skip;
#[cfg(all(feature = "linux", target_os = "linux"))]
mod stage;
#[cfg(all(feature = "linux", target_os = "linux"))]
mod store;
mod tables;
#[cfg(all(feature = "linux", target_os = "linux"))]
mod threads;
