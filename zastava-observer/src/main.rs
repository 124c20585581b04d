//! The program `zastava-observer`: the library with configuration, log, probes and signals.

mod cli;

use std::process::ExitCode;
use std::time::Duration;

use zastava_core::program::{
    Action, CommandLine, ExitStatus, Health, HealthServer, LogWriter, Program, Shutdown, init_logging,
    shutdown_on_signal,
};
use zastava_core::telemetry::Telemetry;
use zastava_observer::{App, ObserverOptions};

const PROGRAM: Program = Program {
    name: "zastava-observer",
    about: "Watches the workloads of a node and sends what really runs in them to Scanner.",
    version: env!("CARGO_PKG_VERSION"),
    commit: match option_env!("ZASTAVA_COMMIT") {
        Some(commit) => commit,
        None => "unknown",
    },
};

/// The longest wait for threads at the end. A read may hang in the kernel.
const THREADS_END_MAX: Duration = Duration::from_secs(1);
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    run().unwrap_or_else(|status| status).into()
}

fn run() -> Result<ExitStatus, ExitStatus> {
    let invocation = match PROGRAM.command_line(&cli::COMMANDS)? {
        CommandLine::Shared(invocation) => invocation,
        CommandLine::Own { name, arguments, invocation } => return cli::run(name, arguments, &invocation),
    };
    let (options, action) = invocation.options(ObserverOptions::read)?;
    let writer = LogWriter::stdout();
    let ended = init_logging(&options.runtime.logging, &invocation.log_filter, &writer)
        .map_err(Failure::from)
        .and_then(|()| start(options, action, &writer));
    let status = ended.unwrap_or_else(|error| {
        tracing::error!(error = &*error, "the observer has failed and ends");
        ExitStatus::Failure
    });
    writer.flush();
    Ok(status)
}

fn start(options: ObserverOptions, action: Action, writer: &LogWriter) -> Result<ExitStatus, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(async {
        match action {
            Action::Run => serve(options, writer).await,
            Action::InvalidateOpToken { audience } => invalidate(&options, &audience).await,
        }
    });
    runtime.shutdown_timeout(THREADS_END_MAX);
    ended
}

async fn serve(options: ObserverOptions, writer: &LogWriter) -> Result<ExitStatus, Failure> {
    let telemetry = Telemetry::new(&options.runtime, PROGRAM.version, PROGRAM.commit);
    writer.count_drops(&telemetry);
    writer.limit_repeats(&telemetry);
    let (health, shutdown) = (Health::new(), Shutdown::new());
    shutdown_on_signal(&shutdown)?;
    let server = HealthServer::bind(&options.health, &PROGRAM, health.clone(), telemetry.clone()).await?;
    let address = server.local_addr().map(|address| address.to_string());
    tracing::info!(address, "probes and metrics are answered");
    let app = App::build(options, &telemetry, &health)?;
    tokio::select! {
        ended = app.run(shutdown) => ended?,
        // Answers until the end, so that a slow flush does not look like a dead program.
        () = server.serve(Shutdown::new()) => {}
    }
    Ok(ExitStatus::Success)
}

async fn invalidate(options: &ObserverOptions, audience: &str) -> Result<ExitStatus, Failure> {
    let cache = &options.runtime.authority.cache_dir;
    let dropped = zastava_authority::invalidate_op_token(cache, audience).await?;
    Ok(ExitStatus::of_invalidation(dropped.tokens, dropped.unanswered))
}
