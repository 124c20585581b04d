//! The commands by which README, CONTRIBUTING and the program's own guide start a cluster, run as they are
//! printed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use zastava_e2e::Cluster;

use crate::lab::both;
use crate::runbook::{Place, blocks};
use crate::support::{options, say, workspace};

/// A user's fresh shell: nothing set but what a login sets, and the folder that the document names.
fn fresh_shell(folder: &Path) -> Command {
    let mut shell = Command::new("bash");
    shell.current_dir(folder).env_clear();
    // Where Rust and Go are installed, and where cargo builds.
    for name in ["HOME", "PATH", "CARGO_HOME", "RUSTUP_HOME", "CARGO_TARGET_DIR", "GOPROXY", "GOFLAGS"] {
        shell.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    shell
}

#[track_caller]
fn run(shell: &mut Command, what: &str, commands: &str) -> String {
    let output =
        shell.args(["-euo", "pipefail", "-c", commands]).stdin(Stdio::null()).output().expect("bash runs");
    assert!(output.status.success(), "{what}: {commands}\n{}", both(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Removes what a failed test left running.
struct Remains<'o>(&'o Path);

impl Drop for Remains<'_> {
    fn drop(&mut self) {
        // The next run removes what this cannot.
        let _ = Cluster::remove(self.0);
    }
}

/// Every line with `zastava-e2e` in the code of a document.
fn mentions(text: &str) -> Vec<String> {
    let spans = text.split('`').skip(1).step_by(2).map(str::to_owned);
    let lines = blocks(text)
        .into_iter()
        .flat_map(|block| block.commands.lines().map(str::to_owned).collect::<Vec<_>>());
    spans.chain(lines).filter(|code| code.contains("zastava-e2e ") && !code.contains('\n')).collect()
}

#[test]
fn the_commands_of_the_documents_work_from_a_fresh_shell() {
    let Some(options) = options("documents") else { return };
    let _remains = Remains(&options.directory);
    let root = workspace();
    let mut run_so_far = Vec::new();
    for (name, section) in
        [("README.md", "On Kubernetes"), ("CONTRIBUTING.md", "A Kubernetes to try things on")]
    {
        let text = fs::read_to_string(root.join(name)).expect("is there");
        let blocks = blocks(&text);
        let (later, first): (Vec<_>, Vec<_>) = blocks
            .iter()
            .filter(|block| block.section == section)
            .partition(|block| block.place == Place::Cluster || block.commands.contains("-- down"));
        assert!(!first.is_empty() || !later.is_empty(), "{name} has no commands in {section}");
        // The document may say how to use a cluster before it says how to start one.
        let (in_cluster, down): (Vec<_>, Vec<_>) =
            later.into_iter().partition(|block| block.place == Place::Cluster);
        for block in first.into_iter().chain(in_cluster).chain(down) {
            let place = format!("{name}:{}", block.line);
            say(&format!("   {place}"));
            let mut shell = fresh_shell(root);
            // A cluster of its own, beside the one that somebody may be using.
            shell.env("ZASTAVA_E2E_DIRECTORY", &options.directory);
            if block.place == Place::Cluster {
                let script = format!(
                    "cargo run --quiet -p zastava-e2e -- shell <<'END'\nset -e\n{}END",
                    block.commands
                );
                run(&mut shell, &place, &script);
                continue;
            }
            let written = run(&mut shell, &place, &block.commands);
            run_so_far.extend(block.commands.lines().map(str::to_owned));
            if block.commands.contains("-- up") && !block.commands.contains("-- down") {
                the_guide_works(written.split_once("Ready: ").expect("`up` prints a guide").1);
            }
        }
        for code in mentions(&text) {
            let is_known = run_so_far.iter().any(|line| line.contains(code.trim()));
            let needs_a_person =
                code.contains("-- shell") || code.contains("-- tools") || code.starts_with("cargo test");
            assert!(is_known || needs_a_person, "{name}: nobody has run {code:?}");
        }
    }
}

/// Runs what `up` printed, but for what opens a shell or removes the cluster.
fn the_guide_works(guide: &str) {
    let root = workspace();
    let lines = guide.lines().filter_map(|line| line.strip_prefix("  "));
    let (cargo, bare): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with("cargo"));
    for line in cargo.into_iter().filter(|line| !line.contains(" shell") && !line.contains(" down")) {
        run(&mut fresh_shell(root), "the guide", line);
    }
    let elsewhere = tempfile::tempdir().expect("is made");
    let manifest = "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"a\"}}";
    fs::write(elsewhere.path().join("a.json"), manifest).expect("is written");
    let [line] = bare[..] else { panic!("one line is without cargo: {bare:?}") };
    run(&mut fresh_shell(elsewhere.path()), "the guide", line);
    let prefix = line.strip_suffix("kubectl get pods -A").expect("ends with a command");
    let written = run(
        &mut fresh_shell(elsewhere.path()),
        "the guide",
        &format!("{prefix} kubectl create --dry-run=client -o name -f a.json"),
    );
    assert!(written.contains("configmap/a"), "{written}");
}
