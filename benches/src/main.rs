//! Compares the ratios of criterion runs with those that `docs/performance.md` states.
//!
//! `benches/ratios` runs the benchmarks in some rounds and then this program, with a folder of criterion's results for each round. A
//! ratio is taken within a round; the median of the rounds counts, since the machine may be busy in one of them. The program prints
//! every ratio. It fails when one is more than [`LOSS_MAX`] times the stated one, or when a result is missing.
#![expect(clippy::print_stdout, reason = "the ratios are the program's output")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

const DOCUMENT: &str = include_str!("../../docs/performance.md");
/// The heading of the table in the document.
const HEADING: &str = "## Ratios that CI checks";
/// The ratio to the stated one that counts as a gross loss. Noise stays below it, on a shared machine too.
const LOSS_MAX: f64 = 2.0;

fn main() -> Result<(), Box<dyn Error>> {
    let rounds = std::env::args_os().skip(1).map(|folder| results(Path::new(&folder)));
    let rounds = rounds.collect::<Result<Vec<_>, _>>()?;
    if rounds.is_empty() {
        return Err("usage: check-ratios CRITERION_FOLDER...".into());
    }
    let rows = stated(DOCUMENT);
    if rows.is_empty() {
        return Err(format!("docs/performance.md has no table below {HEADING:?}").into());
    }
    let mut lost = Vec::new();
    println!("{:<44} {:>8} {:>8}", "", "measured", "stated");
    for Row { name, reference, ratio } in rows {
        let measured = median_ratio(&rounds, name, reference)?;
        println!("{name:<44} {measured:>8.2} {ratio:>8.2}");
        if measured > LOSS_MAX * ratio {
            lost.push(format!("{name} costs {measured:.2} of {reference}, stated is {ratio:.2}"));
        }
    }
    if lost.is_empty() { Ok(()) } else { Err(lost.join("; ").into()) }
}

/// Median nanoseconds of each benchmark of one round, by its full name.
type Results = BTreeMap<String, f64>;

fn median_ratio(rounds: &[Results], name: &str, reference: &str) -> Result<f64, String> {
    let result = |round: &Results, name: &str| {
        round.get(name).copied().ok_or_else(|| format!("no result for {name:?}"))
    };
    let ratios = rounds.iter().map(|round| Ok(result(round, name)? / result(round, reference)?));
    let mut ratios = ratios.collect::<Result<Vec<f64>, String>>()?;
    ratios.sort_by(f64::total_cmp);
    Ok(ratios[ratios.len() / 2])
}

fn results(folder: &Path) -> Result<Results, Box<dyn Error>> {
    let mut medians = Results::new();
    collect(folder, &mut medians)?;
    Ok(medians)
}

fn collect(folder: &Path, medians: &mut Results) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.ends_with("new") {
            let name = read(path.join("benchmark.json"))?["full_id"].as_str().ok_or("no full_id")?.to_owned();
            let median = &read(path.join("estimates.json"))?["median"]["point_estimate"];
            medians.insert(name, median.as_f64().ok_or("no median")?);
        } else if path.is_dir() {
            collect(&path, medians)?;
        }
    }
    Ok(())
}

fn read(path: PathBuf) -> Result<Value, Box<dyn Error>> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// One row of the document's table.
#[derive(Debug, PartialEq)]
struct Row<'a> {
    name: &'a str,
    reference: &'a str,
    ratio: f64,
}

/// The rows of the table below [`HEADING`]: benchmark, reference, ratio.
fn stated(document: &str) -> Vec<Row<'_>> {
    let section = document.split_once(HEADING).map_or("", |(_, rest)| rest);
    let section = section.split("\n## ").next().unwrap_or_default();
    section
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.trim_end_matches(" |").split(" | ");
            let name = cells.next()?.trim_matches('`');
            let reference = cells.next()?.trim_matches('`');
            Some(Row { name, reference, ratio: cells.next()?.parse().ok()? })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_table_is_read() {
        let document = "## Ratios that CI checks\n\n| benchmark | reference | ratio |\n| --- | --- | --- |\n\
            | `a/b` | `a/reference` | 1.25 |\n\n## Next\n| `c` | `d` | 2 |\n";
        assert_eq!(stated(document), [Row { name: "a/b", reference: "a/reference", ratio: 1.25 }]);
        assert!(stated(DOCUMENT).len() >= 6);
    }
}
