//! The whole runtime plane in one process on this machine, without installation or configuration: a sandbox (Authority and Scanner), the
//! real observer and the real webhook.
//!
//! ```sh
//! cargo run --example quickstart              # runs until Ctrl-C, shows processes as they start
//! cargo run --example quickstart -- --once    # ends after the first round, with status 0 if every step happened
//! ```

mod page;
mod plane;
mod reviews;
mod view;

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use zastava_core::options::LoggingOptions;
use zastava_core::program::{LogWriter, Shutdown, init_logging};

use crate::plane::Plane;
use crate::view::Snapshot;

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// How long the quickstart waits for a container before it turns to processes.
const CONTAINER_WAIT_MAX: Duration = Duration::from_secs(3);
/// How long the first round may take.
const FIRST_ROUND_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, Parser)]
#[command(name = "quickstart", about = "The whole runtime plane in one process, on this machine")]
pub(crate) struct Arguments {
    /// End after the first full round, with status 0 only if every step happened
    #[arg(long)]
    once: bool,
    /// The engine to watch: auto, containerd or host
    #[arg(long, value_name = "ENGINE", default_value = "auto")]
    pub(crate) engine: String,
    /// The containerd socket [default: the well-known ones]
    #[arg(long, value_name = "SOCKET")]
    pub(crate) containerd: Option<PathBuf>,
    /// Where the status page is served
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    page: SocketAddr,
    /// Show the parts' log, by a filter such as info or zastava_observer=debug
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Be the workload that the observer sees start: wait until standard input ends
    #[arg(long, hide = true)]
    be_a_workload: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.be_a_workload {
        // Ends with the process that holds the other side, however that one ends.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        return ExitCode::SUCCESS;
    }
    if let Some(filter) = &arguments.log {
        let logging = init_logging(&LoggingOptions::default(), filter, &LogWriter::stdout());
        logging.expect("nothing else logs in this process");
    }
    let runtime = tokio::runtime::Runtime::new();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(&arguments))) {
        Ok(code) => code,
        Err(error) => {
            say(format_args!("quickstart failed: {}", chain(&*error)));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let started = Instant::now();
    let shutdown = Shutdown::new();
    zastava_core::program::shutdown_on_signal(&shutdown)?;
    let plane = Plane::start(arguments, &shutdown).await?;
    let page = page::serve(arguments.page, plane.clone(), shutdown.clone()).await?;
    say(plane.heading(arguments.once, page));

    let round = tokio::select! {
        round = first_round(&plane, &arguments.engine) => round,
        () = shutdown.begun() => Err("interrupted".into()),
    };
    let snapshot = plane.snapshot();
    say(snapshot.terminal(std::io::stdout().is_terminal()));
    let missing = snapshot.missing(round.as_ref().err());
    let code = if missing.is_empty() {
        say(format_args!("The first round is complete after {:.1} s.", started.elapsed().as_secs_f64()));
        ExitCode::SUCCESS
    } else {
        say(format_args!("The first round is NOT complete after {:.1} s:", started.elapsed().as_secs_f64()));
        missing.iter().chain(&plane.failures()).for_each(|step| say(format_args!("  {step}")));
        ExitCode::FAILURE
    };
    if !arguments.once && !shutdown.has_begun() {
        say("Watching; Ctrl-C ends. Start a program, for example `setsid sleep 60`, and see it here.\n");
        watch(&plane, snapshot, &shutdown).await;
    }
    shutdown.begin();
    plane.stop().await;
    Ok(code)
}

/// Sends the two reviews and waits for events at Scanner.
async fn first_round(plane: &Plane, engine: &str) -> Result<(), Error> {
    plane.review_both().await?;
    if engine == "auto" && tokio::time::timeout(CONTAINER_WAIT_MAX, plane.first_events()).await.is_err() {
        say("containerd runs no container; the quickstart watches the processes of this machine.\n");
        plane.watch_processes()?;
    }
    tokio::time::timeout(FIRST_ROUND_MAX, plane.first_events())
        .await
        .map_err(|_| "no event with a build-id arrived in time")?;
    Ok(())
}

/// Prints each event that Scanner accepts from now on.
async fn watch(plane: &Plane, first: Snapshot, shutdown: &Shutdown) {
    let mut seen = first.events_accepted();
    loop {
        tokio::select! {
            () = plane.more_events_than(seen) => {}
            () = shutdown.begun() => return,
        }
        let snapshot = plane.snapshot();
        for row in snapshot.events_after(seen) {
            say(row);
        }
        seen = snapshot.events_accepted();
    }
}

/// Prints a line. A closed terminal is not an error.
pub(crate) fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
