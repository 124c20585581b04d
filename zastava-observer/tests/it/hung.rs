//! What the observer does while a file of a workload does not answer. The files are on FUSE file systems whose server is
//! stopped, or takes requests and never answers them.

use std::error::Error as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Mutex;
use zastava_core::contract::{EventKind, RuntimeEvent};
use zastava_core::program::Health;
use zastava_core::telemetry::Telemetry;
use zastava_core::vocabulary::Signal;
use zastava_observer::App;

use crate::fuse::{Fuse, Server, Trust};
use crate::program::Observer;
use crate::support::{Echo, Process, Running, Stage, skip, sleep_path, within};

/// Each of these tests sees the workloads of all others.
static ALONE: Mutex<()> = Mutex::const_new(());

const LATE: &str = "not read in time";
const CAT: &str = "/bin/cat";
const BUSYBOX: &str = "/bin/busybox";
/// More file systems than may hang before unknown ones are refused.
const MANY: usize = 34;
/// Maps a page of the file over a page of its own arguments, which nobody reads but `/proc`.
const ARGUMENTS_ON_FILE: &str = "
import ctypes, os, sys
start = int(open('/proc/self/stat').read().rsplit(')', 1)[1].split()[45])
page = os.sysconf('SC_PAGE_SIZE')
where = (start + 4 * page) // page * page
mmap = ctypes.CDLL(None, use_errno=True).mmap
mmap.restype, mmap.argtypes = ctypes.c_void_p, [ctypes.c_void_p] + [ctypes.c_long] * 5
assert mmap(where, page, 1, 0x12, os.open(sys.argv[1], os.O_RDONLY), 0) == where
for line in sys.stdin:
    print(line, end='', flush=True)
";

/// What of a workload is on the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Library,
    Executable,
    Root,
    WorkingDirectory,
    Arguments,
}

impl Part {
    /// Starts a workload of which this part is on the file system; `None` if a program is missing.
    fn start(self, fuse: &Fuse) -> Option<Echo> {
        let mut command = match self {
            Self::Library => Command::new(CAT),
            Self::Executable => Command::new(fuse.path("cat")),
            Self::Root => Command::new("chroot"),
            Self::WorkingDirectory => Command::new(CAT),
            Self::Arguments => Command::new("python3"),
        };
        match self {
            Self::Library => command.env("LD_PRELOAD", fuse.path("libm.so")),
            Self::Executable => &mut command,
            Self::Root => command.arg(fuse.path("")).args(["/busybox", "cat"]),
            Self::WorkingDirectory => command.current_dir(fuse.path("")),
            Self::Arguments => {
                command.args(["-c", ARGUMENTS_ON_FILE]).arg(fuse.path("cat")).arg("x".repeat(64 << 10))
            }
        };
        match Echo::start(command) {
            Ok(echo) => Some(echo),
            Err(error) => {
                skip(&format!("{self:?}: {error}"));
                None
            }
        }
    }

    /// The fact that is missing while the file system does not answer.
    fn missing(self) -> Option<Signal> {
        match self {
            Self::Library => Some(Signal::ProcfsMaps),
            Self::Executable | Self::Root => Some(Signal::ElfBuildId),
            // Nothing is read there. Since Linux 4.17 `/proc` shows no arguments that are not in plain memory.
            Self::WorkingDirectory | Self::Arguments => None,
        }
    }
}

/// A library of this process.
fn library() -> PathBuf {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("can be read");
    let mut paths = maps.lines().filter_map(|line| line.split_ascii_whitespace().nth(5)).map(Path::new);
    paths
        .find(|path| path.ends_with("libm.so.6") || path.ends_with("libgcc_s.so.1"))
        .expect("is mapped")
        .into()
}

fn mount(trust: Trust) -> Fuse {
    let library = library();
    let busybox = if Path::new(BUSYBOX).exists() { BUSYBOX } else { CAT };
    let files: [(&str, &Path); 3] =
        [("cat", Path::new(CAT)), ("libm.so", &library), ("busybox", Path::new(busybox))];
    Fuse::mount(trust, &files)
}

fn late(event: &RuntimeEvent) -> Vec<Signal> {
    let late = event.evidence.iter().filter(|evidence| evidence.value.contains(LATE));
    late.filter_map(|evidence| evidence.signal.listed()).collect()
}

fn check_complete(event: &RuntimeEvent) {
    assert_eq!(late(event), [], "{event:#?}");
    let process = event.process.as_ref().expect("has a process");
    assert!(process.build_id.is_some() && !process.entrypoint.is_empty(), "{event:#?}");
    let has_libc =
        event.loaded_libs.iter().any(|library| library.path.contains("libc.so") && library.sha256.is_some());
    assert!(has_libc, "{event:#?}");
}

/// The number of hung reads, as the metric has it.
fn hung(running: &Running) -> f64 {
    let metrics = running.telemetry.render();
    let of_metric = metrics.lines().filter_map(|line| line.strip_prefix("zastava_observer_reads_hung{"));
    of_metric.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

async fn until(running: &Running, is_reached: impl Fn(&Running) -> bool) {
    within(async {
        while !is_reached(running) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

fn report(what: &str, since: Instant) {
    let _ = writeln!(std::io::stderr(), "MEASURED: {what}: {} ms", since.elapsed().as_millis());
}

/// A workload with that part on a file system that does not answer is told without the facts there, and another one
/// beside it is told in full. When the file system answers again, a new workload there is told in full too.
async fn check(part: Part, trust: Trust, server: Server) {
    let stage = Stage::start().await;
    let fuse = mount(trust);
    let Some(workload) = part.start(&fuse) else { return };
    fuse.set(server);
    let mut running = Running::start(stage.options(&[("zastava.observer.engine", "host")]));
    let started = Instant::now();
    let beside = Process::sleep(sleep_path());
    let pids = [beside.pid(), workload.pid()];
    let what = format!("{part:?} on a file system that trusts {trust:?}, {server:?}");
    let [beside, event] = running
        .events_of(pids, |pid| {
            let who = if pid == pids[0] { "others are" } else { "the workload itself is" };
            report(&format!("time until {who} served beside a hung file ({what})"), started);
        })
        .await;
    check_complete(&beside);
    assert_eq!(late(&event), Vec::from_iter(part.missing()), "{what}: {event:#?}");
    // The wait for a library takes nothing from those after it.
    let unread = event.loaded_libs.iter().filter(|library| library.sha256.is_none()).count();
    assert_eq!(unread, usize::from(part == Part::Library), "{what}: {event:#?}");
    assert!(part == Part::Root || event.loaded_libs.len() > unread, "{what}: {event:#?}");
    if part.missing().is_some() {
        until(&running, |running| hung(running) > 0.0).await;
        // One workload does not decide whether the observer is ready.
        assert!(running.health.is_ready(), "{what}: {:?}", running.health.failures());
    }

    fuse.set(Server::Answers);
    until(&running, |running| hung(running) == 0.0).await;
    let after = part.start(&fuse).expect("could be started before");
    let event = running.event(EventKind::ContainerStart, after.pid()).await;
    assert_eq!(late(&event), [], "{what}: {event:#?}");
    assert!(event.process.as_ref().is_some_and(|process| process.build_id.is_some()), "{what}: {event:#?}");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_does_not_answer_costs_its_workload_that_fact_and_others_nothing() {
    if !Fuse::is_possible() {
        return;
    }
    let _alone = ALONE.lock().await;
    for trust in [Trust::Nothing, Trust::Names] {
        for part in [Part::Library, Part::Executable, Part::Root] {
            check(part, trust, Server::Stopped).await;
        }
    }
    for part in [Part::WorkingDirectory, Part::Arguments] {
        check(part, Trust::Nothing, Server::Stopped).await;
    }
    for part in [Part::Library, Part::Executable] {
        check(part, Trust::Names, Server::Takes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_reads_that_hang_cost_a_bounded_number_of_threads_and_other_workloads_nothing() {
    if !Fuse::is_possible() {
        return;
    }
    let _alone = ALONE.lock().await;
    // Each program is on a file system of its own.
    check_many((0..MANY).map(|_| mount(Trust::Names)).collect(), Part::Executable).await;
    // All look up a library on the same one.
    check_many(vec![mount(Trust::Nothing)], Part::Library).await;
}

async fn check_many(all: Vec<Fuse>, part: Part) {
    let stage = Stage::start().await;
    let workloads: Vec<Echo> = all.iter().cycle().take(MANY).filter_map(|fuse| part.start(fuse)).collect();
    all.iter().for_each(|fuse| fuse.set(Server::Stopped));
    let mut running = Running::start(stage.options(&[("zastava.observer.engine", "host")]));
    let started = Instant::now();
    for workload in &workloads {
        let event = running.event_again(EventKind::ContainerStart, workload.pid()).await;
        assert_eq!(late(&event), Vec::from_iter(part.missing()), "{event:#?}");
    }
    let what = format!("{MANY} workloads, {} hung file systems, {part:?}", all.len());
    report(&format!("time until all workloads are told ({what})"), started);
    // Facts of unknown files are lost now, and readiness says so.
    until(&running, |running| !running.health.is_ready()).await;
    assert!(running.health.failures().iter().all(|reason| reason.starts_with("reads: ")));
    let beside = Process::sleep(sleep_path());
    let started = Instant::now();
    check_complete(running.event(EventKind::ContainerStart, beside.pid()).await.as_ref());
    report(&format!("time until others are served beside them ({what})"), started);
    assert!(reading_threads() <= 4 * MANY, "{}", reading_threads());

    all.iter().for_each(|fuse| fuse.set(Server::Answers));
    until(&running, |running| hung(running) == 0.0 && running.health.is_ready()).await;
    running.end().await;
}

/// How many threads of this process read files of workloads. Other tests may have some too.
fn reading_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("can be read").flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.trim() == "read").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_ends_while_a_file_does_not_answer() {
    if !Fuse::is_possible() {
        return;
    }
    let _alone = ALONE.lock().await;
    for server in [Server::Stopped, Server::Takes] {
        let stage = Stage::start().await;
        let fuse = mount(Trust::Names);
        let workload = Part::Executable.start(&fuse).expect("cat runs everywhere");
        fuse.set(server);
        let mut running = Running::start(stage.options(&[("zastava.observer.engine", "host")]));
        let beside = Process::sleep(sleep_path());
        check_complete(running.event(EventKind::ContainerStart, beside.pid()).await.as_ref());
        // At once, and when the read is given up.
        if server == Server::Takes {
            running.event_again(EventKind::ContainerStart, workload.pid()).await;
        }
        let accounting = running.end().await;
        assert_eq!(accounting.observed, accounting.delivered + accounting.duplicate, "{accounting:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_shows_a_file_that_does_not_answer_and_ends_beside_it() {
    if !Fuse::is_possible() {
        return;
    }
    let _alone = ALONE.lock().await;
    let stage = Stage::start().await;
    let fuse = mount(Trust::Names);
    let workload = Part::Executable.start(&fuse).expect("cat runs everywhere");
    fuse.set(Server::Stopped);
    let mut observer = Observer::start(&stage);
    assert!(observer.ask("/metrics").1.contains("zastava_observer_reads_hung{place=\"look_up\"} 0"));
    let hung =
        |answer: String| serde_json::from_str::<Value>(&answer).expect("is JSON")["reads"]["hung"].clone();
    within(async {
        while hung(observer.ask("/status").1).as_array().is_none_or(Vec::is_empty) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    within(stage.sandbox.wait_until(|_, events| {
        let is_meant = |event: &RuntimeEvent| {
            event.process.as_ref().is_some_and(|process| process.pid == workload.pid())
                && !late(event).is_empty()
        };
        events.iter().any(|found| is_meant(&found.event))
    }))
    .await;
    within(async {
        while !observer.ask("/healthz/ready").1.contains("[!] reads ok, but: 1 reads of files hang") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(observer.ask("/healthz/ready").0, 200);
    assert!(observer.ask("/metrics").1.contains("zastava_observer_reads_hung{place=\"file_system\"} 1"));
    assert!(observer.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_of_the_node_that_does_not_answer_is_missing_until_it_does() {
    if !Fuse::is_possible() {
        return;
    }
    let _alone = ALONE.lock().await;
    let stage = Stage::start().await;
    let fuse = mount(Trust::Nothing);
    fuse.set(Server::Stopped);
    // What is there in place of a socket can be read, and nobody listens.
    let socket = fuse.path("cat");
    let auto = [("zastava.observer.engine", "auto")];
    let mut running = Running::start(stage.options_at(&socket, &auto));
    let beside = Process::sleep(sleep_path());
    check_complete(running.event(EventKind::ContainerStart, beside.pid()).await.as_ref());
    let up = |running: &Running, value: &str| {
        running.telemetry.render().contains(&format!("zastava_observer_mount_up{{mount=\"socket\"}} {value}"))
    };
    until(&running, |running| up(running, "0") && hung(running) > 0.0).await;
    fuse.set(Server::Answers);
    until(&running, |running| up(running, "1") && hung(running) == 0.0).await;
    running.end().await;

    // Without its /proc the observer does not start, and says so.
    fuse.set(Server::Stopped);
    let path = fuse.path("").display().to_string();
    let options = stage.options(&[("zastava.observer.procRootPath", &path)]);
    let telemetry = Telemetry::new(&options.runtime, "0.0.0", "test");
    let error = App::build(options, &telemetry, &Health::new()).expect_err("cannot be built");
    assert!(error.source().is_some_and(|source| source.to_string().contains(LATE)), "{error:?}");
}
