//! Prints the GNU build-id of each file that is named, or of this program.
//!
//! ```sh
//! cargo run --example read_build_id
//! cargo run --example read_build_id -- /bin/sh /usr/lib/x86_64-linux-gnu/libc.so.6
//! ```
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to a person")]

use std::env;
use std::error::Error as _;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut paths: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    if paths.is_empty() {
        paths.push("/proc/self/exe".into());
    }
    let mut status = ExitCode::SUCCESS;
    for path in paths {
        match zastava_elf::build_id(&path) {
            Ok(Some(id)) => println!("{}  {id}", path.display()),
            Ok(None) => println!("{}  has no build-id", path.display()),
            Err(error) => {
                let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                eprintln!("{}: {error}{cause}", path.display());
                status = ExitCode::FAILURE;
            }
        }
    }
    status
}
