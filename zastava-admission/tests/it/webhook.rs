//! A webhook that serves in this process.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinHandle;
use zastava_admission::{App, WebhookOptions};
use zastava_core::config::Configuration;
use zastava_core::contract::{AdmissionDecisionEnvelope, Decision};
use zastava_core::program::{Health, Shutdown};
use zastava_core::telemetry::{ADMISSION_REFUSALS, Telemetry};

use super::scanner::FakeScanner;
use super::web::{Connection, self_signed};

/// A webhook that serves in this process.
pub(crate) struct Webhook {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) certificate: PathBuf,
    pub(crate) scanner: FakeScanner,
    pub(crate) decisions: Arc<Mutex<Vec<AdmissionDecisionEnvelope>>>,
    pub(crate) health: Health,
    pub(crate) telemetry: Telemetry,
    pub(crate) shutdown: Shutdown,
    pub(crate) running: JoinHandle<()>,
    _directory: TempDir,
}

pub(crate) fn options(directory: &Path, more: &str) -> WebhookOptions {
    let client_ca = directory.join("client-ca.crt");
    let client_ca = match client_ca.exists() {
        true => format!(", clientCaBundlePath: {}", client_ca.display()),
        false => String::new(),
    };
    let yaml = format!(
        "zastava:
  runtime: {{tenant: acme, authority: {{issuer: 'https://authority.example', requireMutualTls: false}}}}
  webhook:
    listen: 127.0.0.1:0
    tls:
      {{certificatePath: {0}/tls.crt, privateKeyPath: {0}/tls.key, caBundlePath: {0}/tls.crt, pollInterval: 50ms{client_ca}}}
    backend: {{baseAddress: 'https://scanner.example'}}
    {more}
",
        directory.display()
    );
    let config = Configuration::from_yaml(&yaml, Path::new("test.yaml"));
    config.read(WebhookOptions::read).unwrap_or_else(|faults| panic!("{faults}")).0
}

pub(crate) fn write_pair(directory: &Path, (certificate, key): (String, String)) {
    std::fs::write(directory.join("tls.crt"), certificate).unwrap();
    std::fs::write(directory.join("tls.key"), key).unwrap();
}

impl Webhook {
    pub(crate) async fn start(more: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), more).await
    }

    /// The same with a directory in which `client-ca.crt` may be.
    pub(crate) async fn start_in(directory: TempDir, more: &str) -> Self {
        write_pair(directory.path(), self_signed());
        let (health, telemetry, shutdown) = (Health::new(), Telemetry::detached(), Shutdown::new());
        let scanner = FakeScanner::demo();
        let decisions = Arc::<Mutex<Vec<_>>>::default();
        let sink = Arc::clone(&decisions);
        let app = App::with_source(
            options(directory.path(), more),
            scanner.clone(),
            &telemetry,
            &health,
            move |decision| sink.lock().unwrap().push(decision.clone()),
        )
        .await
        .unwrap();
        let address = app.local_addr();
        let running = tokio::spawn(app.run(shutdown.clone()));
        let certificate = directory.path().join("tls.crt");
        Self {
            address,
            certificate,
            scanner,
            decisions,
            health,
            telemetry,
            shutdown,
            running,
            _directory: directory,
        }
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.address, &self.certificate).await.unwrap()
    }

    pub(crate) fn decided(&self) -> Vec<Decision> {
        self.decisions.lock().unwrap().iter().map(|envelope| envelope.decision.decision).collect()
    }

    /// Waits until so many requests or connections were refused for that reason.
    pub(crate) async fn until_refused(&self, reason: &str, count: u64) {
        while self.refused(reason) < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn refused(&self, reason: &str) -> u64 {
        self.telemetry.counter(ADMISSION_REFUSALS).get(&[reason])
    }
}
