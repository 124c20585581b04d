//! Ten parts of its surroundings are taken away from the program, one by one. It runs without each and names it.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use zastava_sandbox::{Fault, FaultKind, Route};

use crate::program::Observer;
use crate::support::{Stage, skip, within};

/// What is taken away.
enum Removal {
    /// A setting names something that is not there, or a file that is in the way.
    Setting(&'static str, &'static str),
    /// A capability.
    Capability(&'static str),
    Scanner,
    Authority,
    /// Another observer keeps the live set.
    LiveSetLock,
}

/// Each with the place in `/status` that names it, and words there.
const REMOVALS: [(Removal, &str, &str); 10] = [
    (Removal::Setting("procRootPath", "nowhere"), "/selfTest/proc/missing", "nowhere"),
    (Removal::Setting("eventBufferPath", "in-the-way"), "/buffer/disk", "the disk fails"),
    (
        Removal::Setting("deadLetter.path", "in-the-way/letters"),
        "/selfTest/deadLetters/missing",
        "no directory",
    ),
    (Removal::Setting("runtime", "in-the-way"), "/selfTest/tokenCache/missing", "no directory"),
    (Removal::Setting("engine", "containerd"), "/selfTest/socket/missing", ".sock"),
    (Removal::Capability("sys_ptrace"), "/selfTest/SYS_PTRACE/missing", "capability"),
    (Removal::Capability("dac_read_search"), "/selfTest/DAC_READ_SEARCH/missing", "capability"),
    (Removal::Scanner, "/observer/scannerFailure", "scanner cannot be reached"),
    (Removal::Authority, "/observer/scannerFailure", "no token from authority"),
    (Removal::LiveSetLock, "/liveSet/missing", "another observer keeps it"),
];

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_without_each_of_ten_parts_and_names_it() {
    for (removal, place, words) in &REMOVALS {
        let stage = Stage::start().await;
        let directory = stage.directory.path();
        std::fs::write(directory.join("in-the-way"), "a file").expect("can be written");
        let Some(observer) = without(&stage, removal).await else { continue };
        let named = within(async {
            loop {
                let status: Value = serde_json::from_str(&observer.ask("/status").1).expect("is JSON");
                match status.pointer(place).and_then(Value::as_str) {
                    Some(named) if named.contains(words) => return status,
                    _ => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        })
        .await;
        assert_eq!(observer.ask("/healthz/live").0, 200, "{place}");
        if place.starts_with("/selfTest") {
            assert!(observer.ask("/healthz/ready").1.contains("[!] selfTest ok, but: "), "{named}");
            let lost = named.pointer(&place.replace("/missing", "/without"));
            assert!(lost.and_then(Value::as_str).is_some_and(|lost| !lost.is_empty()), "{named}");
        }
    }
}

async fn without(stage: &Stage, removal: &Removal) -> Option<Observer> {
    let host = ("zastava.observer.engine", "host");
    match removal {
        Removal::Setting("engine", engine) => {
            if Path::new("/run/containerd/containerd.sock").exists() {
                skip("an engine runs here, so its socket cannot be missing");
                return None;
            }
            Some(Observer::start_with(stage, &[("zastava.observer.engine", engine)]))
        }
        Removal::Setting("runtime", file) => {
            let path = stage.directory.path().join(file).display().to_string();
            Some(Observer::start_with(stage, &[host, ("zastava.runtime.authority.cacheDir", &path)]))
        }
        Removal::Setting(key, file) => {
            let path = stage.directory.path().join(file).display().to_string();
            let key = format!("zastava.observer.{key}");
            // Without /proc there is no host to scan.
            let engine =
                if key.ends_with("procRootPath") { ("zastava.observer.engine", "containerd") } else { host };
            Some(Observer::start_with(stage, &[engine, (&key, &path)]))
        }
        Removal::Capability(name) => {
            let bounding = format!("--bounding-set=-{name}");
            Some(Observer::start_under(stage, &[host], &["setpriv", &bounding, "--"]))
        }
        Removal::Scanner => {
            stage.sandbox.scanner_offline().await;
            Some(Observer::start_with(stage, &[host]))
        }
        Removal::Authority => {
            let kind = FaultKind::Status { status: 503, retry_after: None };
            stage.sandbox.misbehave(Fault { route: Route::Token, kind, times: 1000 });
            Some(Observer::start_with(stage, &[host]))
        }
        Removal::LiveSetLock => {
            let directory = stage.options(&[]).buffer.path;
            std::fs::create_dir_all(&directory).expect("can be made");
            let lock = std::fs::File::create(directory.join("live-set.lock")).expect("can be made");
            lock.try_lock().expect("is free");
            let observer = Observer::start_with(stage, &[host]);
            // The test holds it until the process ends.
            std::mem::forget(lock);
            Some(observer)
        }
    }
}
