//! Measures the observer program beside a private containerd.
//!
//! `benches/observer/measure` builds and runs it. Each scenario prints what it counted; none of them judges.

mod containerd;
mod lab;
mod process;
mod scenarios;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use self::lab::Lab;

#[derive(Debug, Parser)]
struct Arguments {
    /// The observer program to measure
    #[arg(long, value_name = "FILE")]
    observer: PathBuf,
    /// A folder with containerd, its shim, ctr and runc [default: those on PATH]
    #[arg(long, value_name = "DIR")]
    containerd: Option<PathBuf>,
    /// The snapshotter of the containers
    #[arg(long, default_value = "overlayfs")]
    snapshotter: String,
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Clone, Debug, Subcommand)]
enum Scenario {
    /// Every scenario, one after another
    All,
    /// Containers that run `true`, back to back: what was known of each, and how late
    Storm {
        #[arg(long, default_value_t = 60)]
        containers: usize,
        /// Keeps both processors busy meanwhile
        #[arg(long)]
        busy: bool,
    },
    /// Containers that sleep, then one that starts 100 programs a second: memory and processor time
    Idle {
        #[arg(long, default_value_t = 100)]
        containers: usize,
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Inspections of one process by the library: with nothing known about its files, and with everything known
    Inspect {
        #[arg(long, default_value_t = 256)]
        libraries: usize,
        #[arg(long, default_value_t = 1000)]
        rounds: usize,
    },
    /// Processes in as many cgroups as containers, followed by the host engine: memory and processor time
    Many {
        #[arg(long, default_value_t = 250)]
        containers: usize,
        #[arg(long, default_value_t = 5000)]
        processes: usize,
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Starts of containers while the observer is stopped with SIGSTOP, beside starts without an observer
    Stopped {
        #[arg(long, default_value_t = 60)]
        containers: usize,
    },
    /// containerd killed and restarted while containers come and go: what was told never, or twice
    Gaps {
        #[arg(long, default_value_t = 5)]
        kills: usize,
    },
    /// The observer killed and restarted while containers come and go: what was told never, or twice
    Kills {
        #[arg(long, default_value_t = 10)]
        kills: usize,
    },
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let all = [
        Scenario::Storm { containers: 60, busy: false },
        Scenario::Storm { containers: 60, busy: true },
        Scenario::Idle { containers: 100, seconds: 60 },
        Scenario::Inspect { libraries: 256, rounds: 1000 },
        Scenario::Many { containers: 250, processes: 5000, seconds: 60 },
        Scenario::Stopped { containers: 60 },
        Scenario::Gaps { kills: 5 },
        Scenario::Kills { kills: 10 },
    ];
    let asked = match &arguments.scenario {
        Scenario::All => all.to_vec(),
        one => vec![one.clone()],
    };
    for scenario in asked {
        println!("\n== {scenario:?}");
        // Each has a containerd and a Scanner of its own, so that none sees what another left.
        let mut lab =
            Lab::start(&arguments.observer, arguments.containerd.as_deref(), &arguments.snapshotter).await;
        match scenario {
            Scenario::All => unreachable!("replaced above"),
            Scenario::Storm { containers, busy } => scenarios::storm(&mut lab, containers, busy).await,
            Scenario::Idle { containers, seconds } => scenarios::idle(&mut lab, containers, seconds).await,
            Scenario::Inspect { libraries, rounds } => scenarios::inspect(libraries, rounds),
            Scenario::Many { containers, processes, seconds } => {
                scenarios::many(&mut lab, containers, processes, seconds).await;
            }
            Scenario::Stopped { containers } => scenarios::stopped(&mut lab, containers).await,
            Scenario::Gaps { kills } => scenarios::gaps(&mut lab, kills).await,
            Scenario::Kills { kills } => scenarios::kills(&mut lab, kills).await,
        }
        lab.end().await;
    }
}
