//! The program `zastava-webhook`: reads its configuration and runs the library.

mod cli;

use std::process::ExitCode;

use zastava_admission::{App, WebhookOptions};
use zastava_core::program::{
    Action, CommandLine, ExitStatus, Health, HealthServer, LogWriter, Program, Shutdown, init_logging,
    shutdown_on_signal,
};
use zastava_core::telemetry::Telemetry;

const PROGRAM: Program = Program {
    name: "zastava-webhook",
    about: "Asks Scanner for a verdict on each image of a Pod, and allows or denies",
    version: env!("CARGO_PKG_VERSION"),
    commit: match option_env!("ZASTAVA_COMMIT") {
        Some(commit) => commit,
        None => "unknown",
    },
};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    run().unwrap_or_else(|status| status).into()
}

fn run() -> Result<ExitStatus, ExitStatus> {
    let invocation = match PROGRAM.command_line(&cli::COMMANDS)? {
        CommandLine::Shared(invocation) => invocation,
        CommandLine::Own { name, arguments, invocation } => {
            return cli::run(PROGRAM.name, name, arguments, &invocation);
        }
    };
    let (options, action) = invocation.options(WebhookOptions::read)?;
    let lines = LogWriter::stdout();
    init_logging(&options.runtime.logging, &invocation.log_filter, &lines)
        .map_err(|_| ExitStatus::Failure)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = runtime.map_err(AnyError::from).and_then(|runtime| match action {
        Action::Run => runtime.block_on(serve(options, &lines)),
        Action::InvalidateOpToken { audience } => runtime.block_on(invalidate(&options, &audience)),
    });
    let status = done.unwrap_or_else(|error| {
        tracing::error!(error = &*error as &dyn std::error::Error, "the webhook cannot go on");
        ExitStatus::Failure
    });
    lines.flush();
    Ok(status)
}

async fn serve(options: WebhookOptions, lines: &LogWriter) -> Result<ExitStatus, AnyError> {
    let telemetry = Telemetry::new(&options.runtime, PROGRAM.version, PROGRAM.commit);
    lines.count_drops(&telemetry);
    let (health, shutdown, end) = (Health::new(), Shutdown::new(), Shutdown::new());
    let probes = HealthServer::bind(&options.health, &PROGRAM, health.clone(), telemetry.clone()).await?;
    let address = probes.local_addr().map(|address| address.to_string());
    tracing::info!(address, "probes and metrics are answered");
    let decisions = lines.clone();
    let app = App::build(options, &telemetry, &health, move |decision| decisions.json(decision)).await?;
    shutdown_on_signal(&shutdown)?;
    // Probes are served until the last review is answered.
    let probes = tokio::spawn(probes.serve(end.clone()));
    app.run(shutdown).await;
    end.begin();
    probes.await?;
    Ok(ExitStatus::Success)
}

async fn invalidate(options: &WebhookOptions, audience: &str) -> Result<ExitStatus, AnyError> {
    let cache_dir = &options.runtime.authority.cache_dir;
    let dropped = zastava_authority::invalidate_op_token(cache_dir, audience).await?;
    Ok(ExitStatus::of_invalidation(dropped.tokens, dropped.unanswered))
}
