//! Prints the event that the observer would send for a process: of the pid that is given, or of
//! this very program. Reading another user's process needs `CAP_SYS_PTRACE`.
//!
//! ```sh
//! cargo run --example inspect_process -- $(pgrep -f payments-api | head -n1)
//! ```

use std::io::Write as _;

use zastava_core::clock::Timestamp;
use zastava_observer::{CollectOptions, Observed, ProcTree, ProcessReader, ProcessTarget, host_container};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pid = match std::env::args().nth(1) {
        Some(pid) => pid.parse()?,
        None => std::process::id(),
    };
    let tree = ProcTree::open("/proc")?;
    let container = host_container(&tree, pid)?;
    let boot_id = tree.boot_id().to_owned();
    let observed = Observed { tenant: "example".to_owned(), node: "this-node".to_owned(), boot_id };

    let reader = ProcessReader::new(tree, CollectOptions::default());
    let target = ProcessTarget { pid, start_ticks: container.start_ticks, ..ProcessTarget::default() };
    let captured = reader.capture(&target);
    let at = container.started_at.unwrap_or_else(Timestamp::now);
    let event = observed.start(&container, at, captured.as_ref());

    serde_json::to_writer_pretty(std::io::stdout(), &event)?;
    writeln!(std::io::stdout())?;
    Ok(())
}
