//! Measures the memory of each program once it is ready and idle.
//!
//! The three run together, as the README says: the sandbox writes a configuration, the observer and the
//! webhook start with it. Each is looked at once it says that it is ready.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Error, files};

/// Long enough for a machine that is busy building.
const READY_MAX: Duration = Duration::from_secs(60);
const ASK_AGAIN: Duration = Duration::from_millis(50);
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// The sizes of one program.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Size {
    /// The program's name.
    pub name: &'static str,
    /// The file.
    pub program_bytes: u64,
    /// Resident memory when it is ready.
    pub resident_bytes: u64,
    /// The maximum of resident memory until then.
    pub peak_bytes: u64,
}

/// Runs the programs in `folder` with a configuration in `scratch`, a folder that is emptied first.
///
/// # Errors
/// [`Error::Spawn`], [`Error::File`], and [`Error::NotReady`] if a program does not become ready.
pub fn measure(folder: &Path, scratch: &Path) -> Result<Vec<Size>, Error> {
    files::remove_directory(scratch)?;
    let configuration = scratch.join("zastava.yaml");
    let sandbox = Running::start(
        folder,
        "zastava-sandbox",
        &["--directory", &text(scratch), "--authority-port", "0", "--scanner-port", "0"],
    )?;
    sandbox.wait(|| fs::metadata(&configuration).is_ok_and(|file| file.len() > 0))?;
    let [probes, more_probes, reviews] = free_ports()?;
    let observer = Running::start(
        folder,
        "zastava-observer",
        &["--config", &text(&configuration), "--set", &format!("zastava.observer.health.listen={probes}")],
    )?;
    let webhook = Running::start(
        folder,
        "zastava-webhook",
        &[
            "--config",
            &text(&configuration),
            "--set",
            &format!("zastava.webhook.health.listen={more_probes}"),
            "--set",
            &format!("zastava.webhook.listen={reviews}"),
        ],
    )?;
    observer.wait(|| is_ready(probes))?;
    webhook.wait(|| is_ready(more_probes))?;
    [observer, webhook, sandbox].iter().map(|program| program.size(folder)).collect()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Ports that are free now. They are bound at the same time, so that they differ.
fn free_ports() -> Result<[SocketAddr; 3], Error> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let found = bind().and_then(|one| Ok([one, bind()?, bind()?])).and_then(|listeners| {
        let [one, two, three] = &listeners;
        Ok([one.local_addr()?, two.local_addr()?, three.local_addr()?])
    });
    found.map_err(Error::file("bind", Path::new("127.0.0.1")))
}

fn is_ready(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(READY_MAX))?;
        write!(stream, "GET /healthz/ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// A running program, killed on drop.
struct Running {
    name: &'static str,
    child: Child,
}

impl Running {
    fn start(folder: &Path, name: &'static str, arguments: &[&str]) -> Result<Self, Error> {
        let path = folder.join(name);
        let mut command = Command::new(&path);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|source| Error::Spawn { program: text(&path), source })?;
        Ok(Self { name, child })
    }

    fn wait(&self, is_ready: impl Fn() -> bool) -> Result<(), Error> {
        let began = Instant::now();
        while !is_ready() {
            if began.elapsed() > READY_MAX {
                return Err(Error::NotReady { program: self.name, seconds: READY_MAX.as_secs() });
            }
            thread::sleep(ASK_AGAIN);
        }
        Ok(())
    }

    /// proc_pid_status(5).
    fn size(&self, folder: &Path) -> Result<Size, Error> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = String::from_utf8_lossy(&files::read(Path::new(&path))?).into_owned();
        let bytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
            kilobytes
                .map(|kilobytes| kilobytes * 1024)
                .ok_or_else(|| Error::Answer { program: path.clone(), message: key.to_owned() })
        };
        Ok(Size {
            name: self.name,
            program_bytes: files::read(&folder.join(self.name))?.len() as u64,
            resident_bytes: bytes("VmRSS:")?,
            peak_bytes: bytes("VmHWM:")?,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
