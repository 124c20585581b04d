//! Fills the cache from a file before the first review.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::Reviewer;
use crate::policy::{Sown, sow};

/// A hundred thousand verdicts take about 40 MiB.
const SEED_BYTES_MAX: u64 = 64 << 20;
/// Log scope of the file.
const SCOPE: &str = "admission.seed";

impl Reviewer {
    /// Begins with the verdicts of the file that the options name in `cache_seed_path`, if any. They hold as long as their
    /// answers say and verdicts are remembered at most.
    ///
    /// A file or a line that cannot be used is logged and otherwise no matter: the policy source is asked then.
    pub fn warm(&self) {
        let Some(path) = &self.options.cache_seed_path else { return };
        match read(path) {
            Ok(text) => log(path, &sow(&text, &self.policy, &self.clock)),
            Err(error) => {
                let (path, error) = (path.display(), &error as &dyn std::error::Error);
                tracing::warn!(scope = SCOPE, %path, error, "the cache begins empty");
            }
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for its other end.
    let metadata = path.metadata()?;
    if !metadata.is_file() || metadata.len() > SEED_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file of at most 64 MiB",
        ));
    }
    let mut text = Vec::new();
    File::open(path)?.take(SEED_BYTES_MAX).read_to_end(&mut text)?;
    Ok(text)
}

fn log(path: &Path, sown: &Sown) {
    let path = path.display();
    for (line, reason) in &sown.faults {
        tracing::warn!(scope = SCOPE, %path, line, reason, "a line of the cache's seed has no effect");
    }
    let (verdicts, ended, faulty) = (sown.verdicts, sown.ended, sown.faulty);
    tracing::info!(scope = SCOPE, %path, verdicts, ended, faulty, "the cache begins with verdicts of a file");
}
