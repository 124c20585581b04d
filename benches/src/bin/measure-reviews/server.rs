//! The servers as processes, and what they have used.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use zastava_sandbox::{Sandbox, SandboxOptions};

use crate::{AnyError, bare};

/// What the servers stand on: Authority, Scanner, certificates.
pub(crate) struct Stand {
    sandbox: Sandbox,
    pub(crate) client: Arc<ClientConfig>,
    directory: tempfile::TempDir,
}

/// A server; killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Stand {
    pub(crate) async fn start() -> Result<Self, AnyError> {
        let directory = tempfile::tempdir()?;
        let sandbox = Sandbox::start(SandboxOptions::new(directory.path().join("sandbox"))).await?;
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_file_iter(sandbox.ca_bundle())? {
            roots.add(root?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { sandbox, client: Arc::new(client), directory })
    }

    pub(crate) fn webhook(&self, program: &Path) -> Result<Server, AnyError> {
        let mut command = Command::new(program);
        command.arg("--config").arg(self.sandbox.write_configuration("acme")?);
        for setting in ["listen", "health.listen"] {
            command.arg(format!("--set=zastava.webhook.{setting}=127.0.0.1:0"));
        }
        // A verdict that ends in the middle of a turn would be asked for again.
        command.arg("--set=zastava.webhook.admission.cacheTtlSeconds=1h");
        Server::start(command)
    }

    pub(crate) fn bare(&self) -> Result<Server, AnyError> {
        let (certificate, key) = self.sandbox.issue_server_certificate(&["localhost"]);
        let file = |name: &str, text: &str| -> Result<PathBuf, AnyError> {
            let path = self.directory.path().join(name);
            std::fs::write(&path, text)?;
            Ok(path)
        };
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(bare::NAME).arg(file("bare.crt", &certificate)?).arg(file("bare.key", key.expose())?);
        Server::start(command)
    }
}

impl Server {
    fn start(mut command: Command) -> Result<Self, AnyError> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("a pipe")?);
        let mut line = String::new();
        let address = loop {
            line.clear();
            if lines.read_line(&mut line)? == 0 {
                return Err("the server ended before it listened".into());
            }
            let said: Value = serde_json::from_str(&line)?;
            if said["message"] == "listening for reviews" {
                break said["listen"].as_str().ok_or("an address")?.parse()?;
            }
        };
        // The container's engine reads the lines.
        std::thread::spawn(move || {
            let mut bytes = [0; 64 << 10];
            while lines.read(&mut bytes).is_ok_and(|count| count > 0) {}
        });
        Ok(Self { child, address })
    }

    /// Processor time of all threads so far (proc_pid_schedstat: nanoseconds on a processor).
    pub(crate) fn processor_time(&self) -> Result<Duration, AnyError> {
        let mut nanoseconds = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // A thread may have ended meanwhile.
            let text = std::fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
            nanoseconds += text.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// The most memory that was resident.
    pub(crate) fn peak_bytes(&self) -> Result<u64, AnyError> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kibibytes << 10)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
