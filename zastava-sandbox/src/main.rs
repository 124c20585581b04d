//! `zastava-sandbox`: an Authority and a Scanner on this machine, until SIGTERM or SIGINT.

mod guide;

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use zastava_core::options::LoggingOptions;
use zastava_core::program::{ExitStatus, LogWriter, Shutdown, init_logging, shutdown_on_signal};
use zastava_core::secret::Secret;
use zastava_sandbox::{Policy, Sandbox, SandboxOptions, ServerIdentity};

/// An Authority and a Scanner in one process, for trying Zastava without either
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where certificates, keys and zastava.yaml are written; made with mode 0700
    #[arg(long, value_name = "DIR", default_value = "zastava-sandbox-data")]
    directory: PathBuf,
    /// The address that both servers listen on; whoever reaches it controls the sandbox
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,
    /// The host name in URLs and server certificates, such as a Service's [default: the address]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Certificate chain that both servers present instead of one of the sandbox's own authority
    #[arg(long, value_name = "FILE", requires_all = ["key", "ca_bundle"])]
    certificate: Option<PathBuf>,
    /// The certificate's key
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// Authorities that clients check the certificate against, and whose client certificates are accepted
    #[arg(long, value_name = "FILE", requires = "certificate")]
    ca_bundle: Option<PathBuf>,
    /// Authority's port; 0 takes any
    #[arg(long, value_name = "PORT", default_value_t = 8440)]
    authority_port: u16,
    /// Scanner's port; 0 takes any
    #[arg(long, value_name = "PORT", default_value_t = 8441)]
    scanner_port: u16,
    /// The verdicts by image [default: the embedded policy]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The lifetime of a token
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    token_lifetime: u64,
    /// A file with a bearer token that Scanner also accepts, as for a bootstrap
    #[arg(long, value_name = "FILE")]
    static_token: Option<PathBuf>,
    /// The tenant in zastava.yaml
    #[arg(long, value_name = "NAME", default_value = "sandbox")]
    tenant: String,
    /// Logs JSON lines on standard output, by a directive such as info or zastava_sandbox=debug
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments).await {
        Ok(()) => ExitStatus::Success.into(),
        Err((status, text)) => {
            // If the terminal is gone, the exit status still reports the failure.
            let _ = writeln!(std::io::stderr(), "zastava-sandbox: {text}");
            status.into()
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), (ExitStatus, String)> {
    let writer = LogWriter::stdout();
    if let Some(filter) = &arguments.log {
        init_logging(&LoggingOptions::default(), filter, &writer).map_err(failure)?;
    }
    let shutdown = Shutdown::new();
    shutdown_on_signal(&shutdown).map_err(failure)?;
    let mut options = SandboxOptions::new(arguments.directory);
    options.listen = arguments.listen;
    options.host = arguments.host;
    if let (Some(certificate), Some(key), Some(ca_bundle)) =
        (arguments.certificate, arguments.key, arguments.ca_bundle)
    {
        options.server_identity = Some(ServerIdentity { certificate, key, ca_bundle });
    }
    options.token_lifetime = Duration::from_secs(arguments.token_lifetime);
    options.authority_port = arguments.authority_port;
    options.scanner_port = arguments.scanner_port;
    if let Some(path) = &arguments.static_token {
        options.static_token = Some(Secret::new(read(path)?.trim().to_owned()));
    }
    if let Some(path) = &arguments.policy {
        let text = read(path)?;
        options.policy =
            Policy::from_yaml(&text, path).map_err(|faults| (ExitStatus::Config, format!("\n{faults}")))?;
    }
    let sandbox = Sandbox::start(options).await.map_err(failure)?;
    let configuration = sandbox.write_configuration(&arguments.tenant).map_err(failure)?;
    // Standard output may be closed. The servers run without it.
    let _ = std::io::stdout().write_all(guide::text(&sandbox, &configuration).as_bytes());
    shutdown.begun().await;
    sandbox.stop().await;
    writer.flush();
    Ok(())
}

fn read(path: &Path) -> Result<String, (ExitStatus, String)> {
    std::fs::read_to_string(path)
        .map_err(|error| (ExitStatus::Config, format!("cannot read {}: {error}", path.display())))
}

fn failure(error: impl std::error::Error) -> (ExitStatus, String) {
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    (ExitStatus::Failure, causes.map(ToString::to_string).collect::<Vec<_>>().join(": "))
}
