//! Starts the parts and reports what they have done so far.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use zastava_admission::WebhookOptions;
use zastava_core::config::{Configuration, Origin};
use zastava_core::contract::AdmissionDecisionEnvelope;
use zastava_core::program::{Health, Shutdown};
use zastava_core::telemetry::Telemetry;
use zastava_observer::{Accounting, AccountingHandle, ObserverOptions};
use zastava_sandbox::{Sandbox, SandboxOptions};

use crate::view::Snapshot;
use crate::{Arguments, Error, reviews};

/// The first round ends when nothing new happens for this long. Longer than two polls.
const QUIET: Duration = Duration::from_millis(600);
/// How often the host engine polls.
const POLL_INTERVAL: &str = "250ms";

/// The running parts. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Plane(Arc<Inner>);

struct Inner {
    sandbox: Sandbox,
    config: Configuration,
    shutdown: Shutdown,
    /// A second one watches processes if containerd runs no container.
    observers: Mutex<Vec<Observer>>,
    address: SocketAddr,
    webhook: Mutex<Option<JoinHandle<()>>>,
    decisions: Arc<Mutex<Vec<AdmissionDecisionEnvelope>>>,
    /// A child that even an unprivileged user may inspect.
    workload: Mutex<Child>,
    /// Certificates, keys and the buffer; removed at the end.
    directory: tempfile::TempDir,
}

struct Observer {
    accounting: AccountingHandle,
    health: Health,
    telemetry: Telemetry,
    task: JoinHandle<()>,
}

impl Observer {
    fn start(options: ObserverOptions, shutdown: &Shutdown) -> Result<Self, Error> {
        let telemetry = Telemetry::new(&options.runtime, env!("CARGO_PKG_VERSION"), "unknown");
        let health = Health::new();
        let app = zastava_observer::App::build(options, &telemetry, &health)?;
        let accounting = app.accounting();
        let task = tokio::spawn(report(app.run(shutdown.clone())));
        Ok(Self { accounting, health, telemetry, task })
    }
}

impl Plane {
    pub(crate) async fn start(arguments: &Arguments, shutdown: &Shutdown) -> Result<Self, Error> {
        let directory = tempfile::Builder::new().prefix("zastava-quickstart-").tempdir()?;
        let sandbox = Sandbox::start(SandboxOptions::new(directory.path())).await?;
        let config = configuration(&sandbox, arguments);
        let (mut options, _) = config.read(ObserverOptions::read)?;
        if let Some(socket) = &arguments.containerd {
            options.endpoints.truncate(1);
            options.endpoints.iter_mut().for_each(|endpoint| endpoint.socket.clone_from(socket));
        }
        let observer = Observer::start(options, shutdown)?;

        let (options, _) = config.read(WebhookOptions::read)?;
        let telemetry = Telemetry::new(&options.runtime, env!("CARGO_PKG_VERSION"), "unknown");
        let decisions = Arc::<Mutex<Vec<_>>>::default();
        let sink = Arc::clone(&decisions);
        let webhook = zastava_admission::App::build(options, &telemetry, &Health::new(), move |decision| {
            sink.lock().unwrap_or_else(PoisonError::into_inner).push(decision.clone());
        })
        .await?;
        let address = webhook.local_addr();

        // A process group of its own makes it a workload of its own.
        let workload = Command::new(std::env::current_exe()?)
            .arg("--be-a-workload")
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()?;

        let webhook = tokio::spawn(webhook.run(shutdown.clone()));
        Ok(Self(Arc::new(Inner {
            sandbox,
            config,
            shutdown: shutdown.clone(),
            observers: Mutex::new(vec![observer]),
            address,
            webhook: Mutex::new(Some(webhook)),
            decisions,
            workload: Mutex::new(workload),
            directory,
        })))
    }

    /// The addresses of the parts.
    pub(crate) fn heading(&self, once: bool, page: SocketAddr) -> String {
        let sandbox = &self.0.sandbox;
        let ca = sandbox.files().ca_bundle.display();
        let scanner = sandbox.scanner_url().to_string();
        let scanner = scanner.trim_end_matches('/');
        let parts = format!(
            "Zastava quickstart: the runtime plane in one process\n\n  \
             Authority    {}  (mutual TLS, DPoP, nonces demanded)\n  \
             Scanner      {scanner}  (DPoP, nonces demanded)\n  \
             Webhook      https://{}/validate\n",
            sandbox.issuer(),
            self.0.address,
        );
        // With `--once` the pages would be gone before anybody reads them.
        match once {
            true => parts,
            false => format!(
                "{parts}  Status page  http://{page}/\n  \
                 All events   curl --cacert {ca} {scanner}/sandbox/events\n"
            ),
        }
    }

    /// Sends the two reviews as an API server would.
    pub(crate) async fn review_both(&self) -> Result<(), Error> {
        let ca = &self.0.sandbox.files().ca_bundle;
        reviews::send(ca, self.0.address, "signed", '1').await?;
        reviews::send(ca, self.0.address, "unsigned", '2').await
    }

    /// Waits until Scanner has an event with a build-id and the observers have sent all their first events.
    pub(crate) async fn first_events(&self) {
        let has_build_id = |event: &zastava_core::contract::RuntimeEventEnvelope| {
            event.event.process.as_ref().is_some_and(|process| process.build_id.is_some())
        };
        self.0.sandbox.wait_until(|_, events| events.iter().any(has_build_id)).await;
        let mut seen = 0;
        loop {
            let all: Vec<Accounting> =
                self.observers().iter().map(|observer| observer.accounting.current()).collect();
            let observed = all.iter().map(|accounting| accounting.observed).sum();
            if observed == seen && all.iter().all(|accounting| accounting.buffered == 0) {
                return;
            }
            seen = observed;
            tokio::time::sleep(QUIET).await;
        }
    }

    /// Starts a second observer, which watches the processes of this machine.
    pub(crate) fn watch_processes(&self) -> Result<(), Error> {
        let mut config = self.0.config.clone();
        let origin = Origin::Flag("quickstart".to_owned());
        let spool = self.0.directory.path().join("processes");
        config.set("zastava.observer.engine", "host", &origin);
        config.set("zastava.observer.eventBufferPath", &spool.to_string_lossy(), &origin);
        let (options, _) = config.read(ObserverOptions::read)?;
        let observer = Observer::start(options, &self.0.shutdown)?;
        self.observers().push(observer);
        Ok(())
    }

    /// The failures that the observers' health reports.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.observers().iter().flat_map(|observer| observer.health.failures()).collect()
    }

    fn observers(&self) -> MutexGuard<'_, Vec<Observer>> {
        self.0.observers.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.observers().last().map(|observer| observer.telemetry.render()).unwrap_or_default()
    }

    /// Waits for the parts to end and removes what they wrote.
    pub(crate) async fn stop(&self) {
        let observers = std::mem::take(&mut *self.observers());
        let webhook = self.0.webhook.lock().unwrap_or_else(PoisonError::into_inner).take();
        for task in observers.into_iter().map(|observer| observer.task).chain(webhook) {
            // The panic of a part has been printed already.
            let _ = task.await;
        }
        self.0.sandbox.stop().await;
        let mut workload = self.0.workload.lock().unwrap_or_else(PoisonError::into_inner);
        drop(workload.stdin.take());
        let _ = workload.wait();
        let _ = std::fs::remove_dir_all(self.0.directory.path());
    }
}

/// Prints the error that an observer ended with. What is missing then shows in the round.
async fn report(run: impl Future<Output = Result<(), zastava_observer::Error>>) {
    if let Err(error) = run.await {
        crate::say(format_args!("the observer ended: {}", crate::chain(&error)));
    }
}

/// The sandbox's configuration with free ports and short intervals.
fn configuration(sandbox: &Sandbox, arguments: &Arguments) -> Configuration {
    let mut config =
        Configuration::from_yaml(&sandbox.configuration("quickstart"), Path::new("quickstart.yaml"));
    let origin = Origin::Flag("quickstart".to_owned());
    for (key, value) in [
        ("zastava.observer.engine", arguments.engine.as_str()),
        ("zastava.observer.pollInterval", POLL_INTERVAL),
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
