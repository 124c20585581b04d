//! Prints the event that the observer would send for a process: the one with the given pid, or this one. A process of another user
//! needs `CAP_SYS_PTRACE`.
//!
//! ```sh
//! cargo run --example inspect_process -- $(pgrep -f payments-api | head -n1)
//! ```

use std::io::Write as _;

use zastava_core::clock::Timestamp;
use zastava_observer::{CollectOptions, Node, ProcTree, ProcessInspector, ProcessTarget, host_workload};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pid = match std::env::args().nth(1) {
        Some(pid) => pid.parse()?,
        None => std::process::id(),
    };
    let tree = ProcTree::open("/proc")?;
    let workload = host_workload(&tree, pid)?;
    let boot_id = tree.boot_id().to_owned();
    let node = Node { tenant: "example".to_owned(), name: "this-node".to_owned(), boot_id };

    let inspector = ProcessInspector::new(tree, CollectOptions::default());
    let target = ProcessTarget { pid, start_ticks: workload.start_ticks, ..ProcessTarget::default() };
    let inspected = inspector.inspect(&target);
    let at = workload.started_at.unwrap_or_else(Timestamp::now);
    let event = node.start_event(&workload, at, inspected.as_ref());

    serde_json::to_writer_pretty(std::io::stdout(), &event)?;
    writeln!(std::io::stdout())?;
    Ok(())
}
