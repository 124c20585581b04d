//! Services: programs that are started again when they end.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{WaitOptions, wait};

use crate::Error;
use crate::cluster::Layout;

/// The pause before a service that ended is started again.
const RESTART_PAUSE: Duration = Duration::from_millis(300);

/// The services of one set of namespaces.
#[derive(Debug)]
pub(crate) struct Services {
    layout: Layout,
    search_path: String,
    running: HashMap<i32, Service>,
}

#[derive(Debug)]
struct Service {
    log: String,
    program: PathBuf,
    arguments: Vec<String>,
}

impl Services {
    pub(crate) fn new(layout: &Layout, search_path: String) -> Self {
        Self { layout: layout.clone(), search_path, running: HashMap::new() }
    }

    /// Starts a program with its arguments, one a line; `log` names its log file.
    pub(crate) fn start(
        &mut self,
        log: &str,
        program: impl Into<PathBuf>,
        arguments: &str,
    ) -> Result<i32, Error> {
        let arguments = arguments.lines().map(str::trim).filter(|line| !line.is_empty());
        let service = Service {
            log: log.to_owned(),
            program: program.into(),
            arguments: arguments.map(str::to_owned).collect(),
        };
        self.spawn(service)
    }

    fn spawn(&mut self, service: Service) -> Result<i32, Error> {
        let path = self.layout.log(&service.log);
        let log = OpenOptions::new().append(true).create(true).open(&path).map_err(Error::file(&path))?;
        let other = log.try_clone().map_err(Error::file(&path))?;
        let child = Command::new(&service.program)
            .args(&service.arguments)
            .env_clear()
            .env("PATH", &self.search_path)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(other)
            .spawn()
            .map_err(|source| Error::Start { program: service.program.display().to_string(), source })?;
        let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
        self.running.insert(pid, service);
        Ok(pid)
    }

    /// Reaps every process that ends, and starts services again.
    pub(crate) fn supervise(mut self) -> Result<(), Error> {
        loop {
            let Ok(Some((pid, status))) = wait(WaitOptions::empty()) else {
                std::thread::sleep(RESTART_PAUSE);
                continue;
            };
            if let Some(service) = self.running.remove(&pid.as_raw_nonzero().get()) {
                let log = &service.log;
                crate::init::note(&format!("{log} ended ({status:?}) and is started again"));
                std::thread::sleep(RESTART_PAUSE);
                self.spawn(service)?;
            }
        }
    }
}
