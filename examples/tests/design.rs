//! The questions of `docs/design`: the index has each of them, and whoever cites one finds it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// `file.md#anchor` for each question, as GitHub makes anchors of headings.
fn questions(folder: &Path) -> BTreeSet<String> {
    let mut questions = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("the design documents").map(|entry| entry.expect("an entry")) {
        let name = entry.file_name().into_string().expect("UTF-8");
        let text = fs::read_to_string(entry.path()).expect("a document");
        for heading in
            text.lines().filter_map(|line| line.strip_prefix("## ")).filter(|_| name != "README.md")
        {
            let kept = |letter: &char| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_');
            let anchor: String = heading.trim().to_lowercase().chars().filter(kept).collect();
            questions.insert(format!("{name}#{}", anchor.replace(' ', "-")));
        }
    }
    questions
}

#[test]
fn the_index_has_each_question_and_citations_lead_to_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let design = root.join("docs/design");
    let questions = questions(&design);
    assert!(questions.len() > 100, "only {} questions", questions.len());
    let index = fs::read_to_string(design.join("README.md")).expect("the index");
    let listed: BTreeSet<String> = links(&index, "](").collect();
    let (missing, dead) = (questions.difference(&listed), listed.difference(&questions));
    let mut faults: Vec<_> = missing.map(|question| format!("the index lacks {question}")).collect();
    faults.extend(dead.map(|question| format!("the index leads nowhere with {question}")));

    let mut files = Vec::new();
    collect(root, &mut files).expect("the sources can be listed");
    for file in files {
        let text = fs::read_to_string(&file).expect("UTF-8");
        let lost = links(&text, "docs/design/").filter(|question| !questions.contains(question));
        faults.extend(lost.map(|question| format!("{} cites {question}", file.display())));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// What stands behind `prefix` as `file.md#anchor`.
fn links<'t>(text: &'t str, prefix: &'t str) -> impl Iterator<Item = String> + 't {
    let of_link = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.' | '#');
    text.split(prefix).skip(1).filter_map(move |rest| {
        let end = rest.find(|letter| !of_link(letter)).unwrap_or(rest.len());
        rest[..end].contains(".md#").then(|| rest[..end].trim_end_matches('.').to_owned())
    })
}

/// Files of source and prose below the folder, except what was built or downloaded.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let skipped =
            ["target", "node_modules", "corpus", "artifacts"].iter().any(|skipped| name == *skipped);
        if entry.file_type()?.is_dir() {
            if !skipped && !name.as_encoded_bytes().starts_with(b".") {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "md") {
            files.push(path);
        }
    }
    Ok(())
}
