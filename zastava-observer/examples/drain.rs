//! Measures how fast a backlog drains, and how long live events take meanwhile:
//! `cargo run --release -p stellaops-zastava-observer --example drain [EVENTS]`.
//!
//! An earlier run left the events in the buffer. Scanner is the sandbox, over TLS with DPoP. While the observer drains
//! the backlog, a process starts every 200 ms, and its event is waited for at Scanner.

use std::error::Error;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use zastava_buffer::{Buffer, BufferOptions, Kind, KindPolicy, WhenFull};
use zastava_core::clock::Timestamp;
use zastava_core::config::{Configuration, Origin};
use zastava_core::contract::{
    EngineIdentity, EventKind, KindStyle, RuntimeEvent, RuntimeEventEnvelope, Workload,
};
use zastava_core::program::{Health, Shutdown};
use zastava_core::telemetry::Telemetry;
use zastava_core::vocabulary::{Engine, Platform};
use zastava_observer::{App, ObserverOptions};
use zastava_sandbox::{Sandbox, SandboxOptions};

/// The number of a start event in the buffer's second class, the backlog.
const START_IN_BACKLOG: Kind = Kind(0x80);
const BETWEEN_PROCESSES: Duration = Duration::from_millis(200);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let count = std::env::args().nth(1).map_or(Ok(8000), |count| count.parse())?;
    let directory = tempfile::tempdir()?;
    let sandbox = Arc::new(Sandbox::start(SandboxOptions::new(directory.path().join("sandbox"))).await?);
    let mut config = Configuration::from_yaml(&sandbox.configuration("acme"), Path::new("zastava.yaml"));
    for (key, value) in [("engine", "host"), ("pollInterval", "100ms"), ("health.listen", "127.0.0.1:0")] {
        config.set(&format!("zastava.observer.{key}"), value, &Origin::Flag("--set".to_owned()));
    }
    let (options, _) = config.read(ObserverOptions::read)?;
    leave_behind(&options, count)?;

    let telemetry = Telemetry::new(&options.runtime, "0.0.0", "measured");
    let app = App::build(options, &telemetry, &Health::new())?;
    let (accounting, shutdown) = (app.accounting(), Shutdown::new());
    let started = Instant::now();
    let running = tokio::spawn(app.run(shutdown.clone()));
    let scanner = Arc::clone(&sandbox);
    let drained = tokio::spawn(async move {
        scanner.wait_until(|counts, _| counts.events_accepted >= count).await;
        started.elapsed()
    });
    let mut delays = Vec::new();
    while !drained.is_finished() || delays.len() < 10 {
        let mut process = Command::new("sleep").arg("60").process_group(0).spawn()?;
        let born = Instant::now();
        sandbox.wait_until(|_, events| is_among(&process, events)).await;
        delays.push(born.elapsed());
        process.kill()?;
        process.wait()?;
        tokio::time::sleep(BETWEEN_PROCESSES).await;
    }
    shutdown.begin();
    running.await??;
    let took = drained.await?.as_secs_f64();
    let longest = delays.iter().max().copied().unwrap_or_default();
    let mut out = std::io::stdout();
    writeln!(out, "{count} events in {took:.2} s: {:.0} a second", count as f64 / took)?;
    writeln!(out, "{} live events, the slowest at Scanner after {longest:.2?}", delays.len())?;
    writeln!(out, "accounting: {}", serde_json::to_string(&accounting.current())?)?;
    Ok(())
}

fn is_among(process: &Child, events: &[RuntimeEventEnvelope]) -> bool {
    // The newest events are the last.
    events.iter().rev().any(|found| found.event.process.as_ref().is_some_and(|told| told.pid == process.id()))
}

/// Puts events into the buffer, as an earlier run leaves them during an outage.
fn leave_behind(options: &ObserverOptions, count: u64) -> Result<(), Box<dyn Error>> {
    let mut settings = BufferOptions::new(options.buffer.disk_bytes_max);
    settings.free_percent_min = 0;
    settings.policies.insert(START_IN_BACKLOG, KindPolicy { when_full: WhenFull::DropOldest, class: 1 });
    let (producer, _consumer, _) = Buffer::open(&options.buffer.path, settings)?;
    for number in 0..count {
        let mut workload = Workload::new(Platform::Vm);
        workload.container_id = Some(format!("host://left-{number}"));
        let (engine, kind) = (EngineIdentity::new(Engine::Host), EventKind::ContainerStart);
        let (tenant, node) = ("acme".to_owned(), "node-1".to_owned());
        let id = format!("left-{number}");
        let event = RuntimeEvent::new(id, Timestamp::now(), kind, tenant, node, engine, workload);
        let json = RuntimeEventEnvelope::new(event).encode(KindStyle::Pascal)?;
        let _ = producer.push(START_IN_BACKLOG, &json);
    }
    producer.close(Duration::from_secs(60));
    Ok(())
}
