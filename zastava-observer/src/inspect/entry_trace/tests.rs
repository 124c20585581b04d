//! Entrypoints of real images, in shortened shapes (`tests/data/entry_traces`), in a real directory tree.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use zastava_elf::Root;

use super::*;
use crate::reads::{Place, Reads};
use crate::workload::DeclaredProcess;

const CORPUS: [&str; 4] = [
    include_str!("../../../tests/data/entry_traces/databases.txt"),
    include_str!("../../../tests/data/entry_traces/servers.txt"),
    include_str!("../../../tests/data/entry_traces/languages.txt"),
    include_str!("../../../tests/data/entry_traces/wrappers.txt"),
];

/// What is right for so many of a hundred cases.
const RIGHT_MIN: usize = 95;

/// A container, and the trace of its program.
struct Case {
    name: String,
    declared: DeclaredProcess,
    root: tempfile::TempDir,
    wanted: Vec<String>,
}

impl Case {
    fn read(text: &str) -> Self {
        let mut lines = text.lines();
        let name = lines.next().expect("has a name").trim().to_owned();
        let root = tempfile::tempdir().expect("a directory");
        let mut case = Self { name, declared: DeclaredProcess::default(), root, wanted: Vec::new() };
        for program in ["/bin/sh", "/bin/bash", "/usr/bin/env"] {
            case.write(program, "\x7fELF");
        }
        let mut environment = Vec::new();
        let (mut file, mut content) = (String::new(), String::new());
        for line in lines {
            if let Some(line) = line.strip_prefix("| ") {
                content.push_str(line);
                content.push('\n');
                case.write(&file, &content);
                continue;
            }
            let Some((key, value)) = line.split_once(": ") else { continue };
            match key {
                "args" => case.declared.args = words(value),
                "cwd" => value.clone_into(&mut case.declared.cwd),
                "user" => case.declared.user.uid = value.parse().expect("is a number"),
                "env" => environment.push(value.to_owned()),
                "programs" => value.split(' ').for_each(|path| case.write(path, "\x7fELF")),
                "file" => {
                    value.clone_into(&mut file);
                    content.clear();
                }
                "want" => case.wanted.push(value.to_owned()),
                _ => panic!("{line}"),
            }
        }
        environment.push("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
        case.declared.variables = environment.into();
        case
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.root.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().expect("has one")).expect("can be made");
        fs::write(&path, content).expect("can be written");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("can be set");
    }

    fn trace(&self) -> Vec<EntryTrace> {
        trace_in(self.root.path(), &self.declared, 48)
    }
}

/// Words that may stand in quotes.
fn words(line: &str) -> Vec<String> {
    let parts = line.split('"').enumerate();
    let words = parts.flat_map(|(at, part)| match at % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect(),
        _ => vec![part.to_owned()],
    });
    words.collect()
}

fn trace_in(root: &Path, declared: &DeclaredProcess, steps_max: usize) -> Vec<EntryTrace> {
    let (root, process) = (Arc::new(Root::open(root).expect("is a directory")), declared.clone());
    let (mut reader, look_up) =
        (Reads::default().patient_reader(Duration::from_secs(60)), Place::LookUp { pid: 1 });
    let read = reader.read(look_up, move |under_way| {
        trace(&ContainerRoot { root: &root, process: &process, under_way, look_up }, steps_max)
    });
    read.expect("answers").steps
}

fn shown(trace: &[EntryTrace]) -> Vec<String> {
    let one = |step: &EntryTrace| {
        format!("{} {}", step.op.as_deref().unwrap_or("?"), step.target.as_deref().unwrap_or("?"))
    };
    trace.iter().map(one).collect()
}

/// The trace of a script `/run`, which `sh` runs, with these variables and programs.
fn script(content: &str, environment: &[&str], programs: &[&str]) -> Vec<EntryTrace> {
    let mut case = Case::read("script");
    case.write("/run", &format!("#!/bin/sh\n{content}\n"));
    programs.iter().for_each(|path| case.write(path, "\x7fELF"));
    case.declared.args = vec!["/run".to_owned()];
    let environment = environment.iter().copied().chain(["PATH=/bin"]);
    case.declared.variables = environment.map(str::to_owned).collect::<Vec<_>>().into();
    let mut trace = case.trace();
    trace.drain(..2.min(trace.len()));
    trace
}

#[test]
fn entrypoints_of_real_images_lead_to_their_programs() {
    let cases = CORPUS.iter().flat_map(|text| text.split("\n== ").map(|case| case.trim_start_matches("== ")));
    let (mut count, mut wrong) = (0, Vec::new());
    for case in cases.map(Case::read) {
        count += 1;
        let found = shown(&case.trace());
        if found != case.wanted {
            wrong.push(format!("{}\n  wanted {:?}\n  found  {found:?}", case.name, case.wanted));
        }
    }
    // Past the capture of the test runner, which would hide the figure.
    let _ = writeln!(std::io::stderr(), "{} of {count} entry traces are right", count - wrong.len());
    assert!(count >= 60, "{count} cases");
    assert!((count - wrong.len()) * 100 >= count * RIGHT_MIN, "{}", wrong.join("\n"));
}

#[test]
fn a_step_names_its_place() {
    let trace = script("# first\nif true; then\n\n  exec app\nfi", &[], &["/bin/app"]);
    let [step] = &trace[..] else { panic!("{trace:?}") };
    assert_eq!((step.file.as_deref(), step.line), (Some("/run"), Some(5)));
    assert_eq!((step.op.as_deref(), step.target.as_deref()), (Some("exec"), Some("/bin/app")));
}

#[test]
fn secrets_stay_in_the_script() {
    for content in [
        "exec app --password hunter2",
        "PASSWORD=hunter2 exec app",
        "exec \"https://me:hunter2@host/app\"",
        "exec mysql://me:hunter2@host/app",
    ] {
        let trace = script(content, &["DB_PASSWORD=hunter2"], &["/bin/app"]);
        assert!(!format!("{trace:?}").contains("hunter2"), "{content}: {trace:?}");
    }
}

#[test]
fn hostile_scripts_end() {
    let deep =
        |open: &str, close: &str, count: usize| format!("{}true{}", open.repeat(count), close.repeat(count));
    let mut cases = vec![
        ("braces", deep("{ ", ";}", 9_000)),
        ("parentheses", deep("(", ")", 20_000)),
        ("substitutions", deep("$(", ")", 9_000)),
        ("quotes", deep("\"$(", ")\"", 9_000)),
        ("conditions", "if ".repeat(20_000)),
        ("negations", "! ".repeat(30_000)),
        ("cases", "case a in a) ".repeat(4_000)),
        ("operators", "a && ".repeat(12_000)),
        ("pipelines", "a | ".repeat(15_000)),
        ("defaults", deep("${a:-", "}", 9_000)),
        ("backticks", "`\\".repeat(9_000)),
        ("recursion", "f() { f; f; }\nf\nexec app".to_owned()),
        ("itself", "exec /run\nexec /run".to_owned()),
        ("branches", format!("{}exec app", "if $x; then y=$y$y; fi\n".repeat(2_000))),
        ("doubling", format!("x=aaaaaaaa\n{}exec $x", "x=$x$x\n".repeat(2_000))),
        ("loops", "while true; do while true; do while true; do :; done; done; done".to_owned()),
        ("eval", "f='eval \"$f\"'\neval \"$f\"".to_owned()),
        ("sources", ". /run".to_owned()),
        ("variables", (0..3_000).map(|n| format!("a{n}=1; if $u; then b{n}=2; fi\n")).collect()),
    ];
    cases.push(("too long", format!("exec app\n{}", "#".repeat(70 << 10))));
    for (name, content) in cases {
        let trace = script(&content, &["x=a b", "u=a b"], &["/bin/app"]);
        assert!(trace.len() <= 48, "{name}: {} steps", trace.len());
    }
}

#[test]
fn the_steps_are_bounded() {
    let mut case = Case::read("itself");
    case.write("/run", "#!/bin/sh\nexec /run\n");
    case.declared.args = vec!["/run".to_owned()];
    for max in [1, 2, 7, 48] {
        assert_eq!(trace_in(case.root.path(), &case.declared, max).len(), max);
    }
}
