//! The lines of the file, and what they amount to.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use zastava_core::clock::Timestamp;

use super::Earlier;
use super::stored::StoredWorkload;
use crate::hash::short_hash;
use crate::tracker::Restored;

/// A longer file is not of the observer's making. The longest it writes is a few MiB.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// What a line says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Line {
    /// The kernel's boot to which everything belongs.
    Boot {
        id: String,
    },
    /// A workload whose start is told.
    Live(StoredWorkload),
    /// A workload whose start may be told.
    Begun(StoredWorkload),
    /// The start of a workload that has begun is told.
    Told {
        engine: String,
        key: String,
    },
    /// The stop of a workload is told.
    Ended {
        engine: String,
        key: String,
    },
    Unfollowed {
        engine: String,
    },
}

/// The line's bytes: a checksum, a space, JSON.
pub(super) fn encode(line: &Line) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(line)?;
    let mut bytes = short_hash([&json[..]]).into_bytes();
    bytes.push(b' ');
    bytes.extend_from_slice(&json);
    bytes.push(b'\n');
    Ok(bytes)
}

fn decode(bytes: &[u8]) -> Option<Line> {
    let at = bytes.iter().position(|byte| *byte == b' ')?;
    let (sum, json) = (&bytes[..at], &bytes[at + 1..]);
    if short_hash([json]).as_bytes() == sum { serde_json::from_slice(json).ok() } else { None }
}

/// What the file says. Lines that are cut off or damaged are left out.
pub(super) fn read(path: &Path) -> io::Result<Earlier> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => {
            let written = file.metadata()?.modified().ok().map(Timestamp::from);
            file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
            Ok(Earlier { written, ..replay(&bytes) })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Earlier::default()),
        Err(error) => Err(error),
    }
}

fn replay(bytes: &[u8]) -> Earlier {
    let mut boot_id = String::new();
    let mut live: BTreeMap<(String, String), (StoredWorkload, bool)> = BTreeMap::new();
    let mut damaged = 0_u32;
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match decode(line) {
            Some(Line::Boot { id }) => boot_id = id,
            Some(Line::Live(workload)) => drop(live.insert(run(&workload), (workload, true))),
            Some(Line::Begun(workload)) => drop(live.insert(run(&workload), (workload, false))),
            Some(Line::Told { engine, key }) => {
                if let Some((_, is_told)) = live.get_mut(&(engine, key)) {
                    *is_told = true;
                }
            }
            Some(Line::Ended { engine, key }) => drop(live.remove(&(engine, key))),
            Some(Line::Unfollowed { engine }) => live.retain(|(of, _), _| *of != engine),
            None => damaged += 1,
        }
    }
    // A kill leaves one line that is cut off.
    if damaged > 1 {
        tracing::warn!(
            lines = damaged,
            "the file of running workloads is damaged; some stops may not be told"
        );
    }
    let restored = |(workload, is_told): (StoredWorkload, bool)| {
        Some(Restored { workload: workload.workload()?, is_told })
    };
    Earlier { boot_id, written: None, workloads: live.into_values().filter_map(restored).collect() }
}

fn run(workload: &StoredWorkload) -> (String, String) {
    (workload.engine.clone(), workload.key.clone())
}
