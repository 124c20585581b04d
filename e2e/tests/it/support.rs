//! Helpers of the tests.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use zastava_e2e::{ClusterOptions, Tools, Versions};

/// The options of a cluster in a directory of its own, or `None` with one visible line about what is
/// missing.
pub(crate) fn options(name: &str) -> Option<ClusterOptions> {
    let asked = |name: &str| std::env::var(name).ok().filter(|version| !version.is_empty());
    let versions =
        Versions { kubernetes: asked("ZASTAVA_E2E_KUBERNETES"), containerd: asked("ZASTAVA_E2E_CONTAINERD") };
    if let Some(missing) = missing(&versions) {
        say(&format!("SKIP: Kubernetes: {missing}"));
        return None;
    }
    let mut options = ClusterOptions::new(workspace().join("e2e").join(format!(".cluster-{name}")));
    options.versions = versions;
    options.program = PathBuf::from(env!("CARGO_BIN_EXE_zastava-e2e"));
    Some(options)
}

fn missing(versions: &Versions) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root".to_owned());
    }
    if ["/run", "/var/lib", "/var/log"].iter().any(|mask| workspace().starts_with(mask)) {
        return Some(format!("{} lies where nodes mount directories of their own", workspace().display()));
    }
    let packages = Tools::missing_packages();
    if !packages.is_empty() {
        return Some(format!("needs the Debian packages {}", packages.join(" ")));
    }
    let tools = Tools::locate(versions).expect("the module files can be read");
    (!tools.are_built()).then(|| format!("needs the tools: {}", versions.build_command()))
}

pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace")
}

/// Written past the test runner's capture: skips and the story's progress must be visible.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
