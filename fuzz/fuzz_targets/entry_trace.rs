//! A container's entrypoint script from foreign bytes: no panic, no endless work, and a trace of bounded size.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use zastava_observer::{CollectOptions, DeclaredProcess, ProcTree, ProcessInspector};

/// The script is looked up in the root of this process, and never executed.
static INSPECTOR: LazyLock<ProcessInspector> = LazyLock::new(|| {
    ProcessInspector::new(ProcTree::open("/proc").expect("is mounted"), CollectOptions::default())
});
static DIRECTORY: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("can be made"));

fuzz_target!(|data: &[u8]| {
    let script: PathBuf = DIRECTORY.path().join("entrypoint.sh");
    let content = if data.starts_with(b"#!") { data.to_vec() } else { [b"#!/bin/sh\n", data].concat() };
    std::fs::write(&script, content).expect("can be written");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, executable).expect("is ours");
    let declared = DeclaredProcess {
        args: vec![script.display().to_string(), "serve".to_owned(), "--port=1".to_owned()],
        variables: vec!["PATH=/usr/sbin:/usr/bin:/sbin:/bin".to_owned(), "A=/usr/bin/env".to_owned()].into(),
        cwd: "/".to_owned(),
        ..DeclaredProcess::default()
    };
    let waiting = INSPECTOR.hold(std::process::id()).expect("this process runs");
    let prepared = INSPECTOR.resolve(waiting, &declared);
    assert!(prepared.chain.len() <= 9, "{:?}", prepared.chain);
    assert!(prepared.entry_trace.len() <= CollectOptions::default().entry_trace_steps_max);
    let text: usize =
        prepared.entry_trace.iter().filter_map(|step| step.target.as_ref()).map(String::len).sum();
    assert!(text <= 64 << 10, "{text} bytes");
});
