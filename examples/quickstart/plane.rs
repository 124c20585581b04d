//! Starts the parts and answers what they have done so far.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use zastava_admission::WebhookOptions;
use zastava_core::config::{Config, Origin};
use zastava_core::contract::AdmissionDecisionEnvelope;
use zastava_core::program::{Health, Shutdown};
use zastava_core::telemetry::Telemetry;
use zastava_observer::{Books, ObserverOptions};
use zastava_sandbox::{Sandbox, SandboxOptions};

use crate::view::Snapshot;
use crate::{Arguments, Error, reviews};

/// Nothing new for so long ends the first round; longer than two looks at the processes.
const STILL: Duration = Duration::from_millis(600);
/// How often the host engine looks.
const LOOK: &str = "250ms";

/// The running parts. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Plane(Arc<Inner>);

struct Inner {
    sandbox: Sandbox,
    webhook: SocketAddr,
    decisions: Arc<Mutex<Vec<AdmissionDecisionEnvelope>>>,
    books: Books,
    observer_telemetry: Telemetry,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// One program that anybody may look into, also a user who may look into no other.
    workload: Mutex<Child>,
    /// Certificates, keys and the spool; removed at the end.
    directory: tempfile::TempDir,
}

impl Plane {
    pub(crate) async fn start(arguments: &Arguments, shutdown: &Shutdown) -> Result<Self, Error> {
        let directory = tempfile::Builder::new().prefix("zastava-quickstart-").tempdir()?;
        let sandbox = Sandbox::start(SandboxOptions::new(directory.path())).await?;
        let config = configuration(&sandbox, arguments);

        let (mut options, _) = config.read(ObserverOptions::read)?;
        if let Some(socket) = &arguments.containerd {
            options.runtimes.truncate(1);
            options.runtimes.iter_mut().for_each(|runtime| runtime.socket.clone_from(socket));
        }
        let observer_telemetry = Telemetry::new(&options.runtime, env!("CARGO_PKG_VERSION"), "unknown");
        let observer = zastava_observer::App::build(options, &observer_telemetry, &Health::new())?;

        let books = observer.books();

        let (options, _) = config.read(WebhookOptions::read)?;
        let telemetry = Telemetry::new(&options.runtime, env!("CARGO_PKG_VERSION"), "unknown");
        let decisions = Arc::<Mutex<Vec<_>>>::default();
        let sink = Arc::clone(&decisions);
        let webhook = zastava_admission::App::build(options, &telemetry, &Health::new(), move |decision| {
            sink.lock().unwrap_or_else(PoisonError::into_inner).push(decision.clone());
        })
        .await?;
        let address = webhook.local_addr();

        // A process group of its own is a workload of its own.
        let workload = Command::new(std::env::current_exe()?)
            .arg("--be-a-workload")
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()?;

        let tasks = vec![
            tokio::spawn(told(observer.run(shutdown.clone()))),
            tokio::spawn(webhook.run(shutdown.clone())),
        ];
        Ok(Self(Arc::new(Inner {
            sandbox,
            books,
            webhook: address,
            decisions,
            observer_telemetry,
            tasks: Mutex::new(tasks),
            workload: Mutex::new(workload),
            directory,
        })))
    }

    /// Where everything is.
    pub(crate) fn heading(&self, page: SocketAddr) -> String {
        let sandbox = &self.0.sandbox;
        let ca = sandbox.files().ca_bundle.display();
        let scanner = sandbox.scanner_url().to_string();
        let scanner = scanner.trim_end_matches('/');
        format!(
            "Zastava quickstart: the runtime plane in one process\n\n  \
             Authority    {}  (mutual TLS, DPoP, nonces demanded)\n  \
             Scanner      {scanner}  (DPoP, nonces demanded)\n  \
             Webhook      https://{}/validate\n  \
             Status page  http://{page}/\n  \
             All events   curl --cacert {ca} {scanner}/sandbox/events\n",
            sandbox.issuer(),
            self.0.webhook,
        )
    }

    /// Sends the two reviews as an API server would.
    pub(crate) async fn review_both(&self) -> Result<(), Error> {
        let ca = &self.0.sandbox.files().ca_bundle;
        reviews::send(ca, self.0.webhook, "signed", '1').await?;
        reviews::send(ca, self.0.webhook, "unsigned", '2').await
    }

    /// Waits until Scanner holds an event with a build-id, and all that the observer made at first.
    pub(crate) async fn first_events(&self) {
        let has_build_id = |event: &zastava_core::contract::RuntimeEventEnvelope| {
            event.event.process.as_ref().is_some_and(|process| process.build_id.is_some())
        };
        self.0.sandbox.wait_until(|_, events| events.iter().any(has_build_id)).await;
        let mut seen = 0;
        loop {
            let books = self.0.books.accounting();
            if books.buffered == 0 && books.observed == seen {
                return;
            }
            seen = books.observed;
            tokio::time::sleep(STILL).await;
        }
    }

    pub(crate) async fn more_events_than(&self, count: usize) {
        self.0.sandbox.wait_until(|_, events| events.len() > count).await;
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let decisions = self.0.decisions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Snapshot::new(self.0.sandbox.counts(), self.0.sandbox.accepted(), decisions)
    }

    /// The observer's metrics.
    pub(crate) fn metrics(&self) -> String {
        self.0.observer_telemetry.render()
    }

    /// Waits for the parts to end and removes what they wrote.
    pub(crate) async fn stop(&self) {
        let tasks = std::mem::take(&mut *self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            // A part that panicked said so on standard error.
            let _ = task.await;
        }
        self.0.sandbox.stop().await;
        let mut workload = self.0.workload.lock().unwrap_or_else(PoisonError::into_inner);
        drop(workload.stdin.take());
        let _ = workload.wait();
        let _ = std::fs::remove_dir_all(self.0.directory.path());
    }
}

/// The observer ends with an error only when a part of it broke; the round then shows what is missing.
async fn told(run: impl Future<Output = Result<(), zastava_observer::Error>>) {
    if let Err(error) = run.await {
        println!("the observer ended: {}", crate::chain(&error));
    }
}

/// The sandbox's ready configuration, with free ports and a quick eye.
fn configuration(sandbox: &Sandbox, arguments: &Arguments) -> Config {
    let mut config = Config::from_yaml(&sandbox.configuration("quickstart"), Path::new("quickstart.yaml"));
    let origin = Origin::Flag("quickstart".to_owned());
    for (key, value) in [
        ("zastava.observer.engine", arguments.engine.as_str()),
        ("zastava.observer.pollInterval", LOOK),
        ("zastava.observer.publishFlushIntervalSeconds", "250ms"),
        ("zastava.observer.health.listen", "127.0.0.1:0"),
        ("zastava.webhook.listen", "127.0.0.1:0"),
        ("zastava.webhook.health.listen", "127.0.0.1:0"),
        ("zastava.webhook.drainSeconds", "0"),
    ] {
        config.set(key, value, &origin);
    }
    config
}
