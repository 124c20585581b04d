//! Rust files stay short. Clippy checks the length of functions (`clippy.toml`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

const LINES_MAX: usize = 400;
/// Half of the source files of each crate have at most this.
const MEDIAN_MAX: usize = 140;

#[test]
fn files_are_short() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut files = Vec::new();
    collect(root, &mut files).expect("the sources can be listed");
    assert!(files.len() > 100, "only {} files below {}", files.len(), root.display());

    let mut crates: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut faults = Vec::new();
    for file in &files {
        let path = file.strip_prefix(root).expect("below the root").to_str().expect("UTF-8");
        let lines = fs::read_to_string(file).expect("a source file").lines().count();
        if lines > LINES_MAX {
            faults.push(format!("{path}: {lines} lines, more than {LINES_MAX}"));
        }
        if let Some((package, _)) = path.split_once("/src/").filter(|_| path.starts_with("zastava-")) {
            crates.entry(package).or_default().push(lines);
        }
    }
    for (package, mut lines) in crates {
        lines.sort_unstable();
        let median = lines[lines.len() / 2];
        if median > MEDIAN_MAX {
            faults.push(format!(
                "{package}: the median of its files is {median} lines, more than {MEDIAN_MAX}"
            ));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Rust files below the folder, except what was built or downloaded.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let skipped = name.as_encoded_bytes().starts_with(b".") || name == "target" || name == "node_modules";
        if entry.file_type()?.is_dir() && !skipped {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
