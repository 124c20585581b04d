//! Collector: which of the files that a process runs are not those of its image.

pub(super) mod layers;
mod verdict;

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, MemfdFlags, StatxFlags, memfd_create, statx};
use rustix::time::{ClockId, clock_gettime};
use zastava_core::vocabulary::Signal;
use zastava_elf::{Device, FileVersion, Process, RegularFile, Root};

use self::layers::{Layers, RootMount};
pub use self::verdict::Verdict;
use self::verdict::{Below, Look, judge};
use super::files::Files;
use super::process::{InspectError, ProcessFacts, ProcessInspector};
use super::subject::Subject;
use crate::procfs;
use crate::reads::{Place, READ_TIME_MAX, UnderWay};
use crate::text::{reason, shown};

/// The largest `mountinfo` that is read.
const MOUNTINFO_BYTES_MAX: u64 = 1 << 20;
/// The longest time that the files of one process are compared.
const COMPARISON_TIME_MAX: Duration = Duration::from_secs(1);
/// Processes start within a tick of the kernel's clock.
const TICK_NS: i128 = 10_000_000;

/// A file that runs and is not the image's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drift {
    /// Its path in the container.
    pub path: String,
    /// How it differs.
    pub verdict: Verdict,
    /// What decided that.
    pub method: Signal,
    /// The SHA-256 of its content in lower-case hex, within the limits of what is hashed.
    pub sha256: Option<String>,
}

/// What the files of a process are compared with.
struct Comparison {
    mount: RootMount,
    /// The node's root, where the layers are.
    node: Vec<Root>,
    /// Until when the container may have been made, in nanoseconds since 1970.
    made: i128,
    files: Arc<Files>,
    bytes_max: u64,
    /// How many bytes may still be hashed.
    budget: u64,
    until: Instant,
}

/// A file that a process runs.
struct RunningFile {
    path: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The program itself, which is found without its path.
    Program,
    /// The same, if no path leads to it.
    UnnamedProgram,
    Library,
}

impl ProcessInspector {
    /// Which of the files that the process runs are not those of its image: its program, and the libraries that were found
    /// when it was inspected. A process that has the node's mounts has no image, and no drift.
    ///
    /// # Errors
    /// The reason why that cannot be said.
    pub fn drift(&self, facts: &ProcessFacts) -> Result<Vec<Drift>, String> {
        self.drift_since(facts, facts.start_ticks)
    }

    /// The same for a process that started later than its container did, in clock ticks since boot.
    pub(super) fn drift_since(&self, facts: &ProcessFacts, made_ticks: u64) -> Result<Vec<Drift>, String> {
        let (tree, pid) = (self.tree.clone(), facts.pid);
        let mut reader = self.reads.reader(READ_TIME_MAX);
        let open = move |_: &UnderWay| {
            let process = tree.process(pid).map_err(InspectError::from_io)?;
            let stat = procfs::stat(&process).map_err(InspectError::from_io)?;
            let link = |name| process.link(name).map_err(|error| InspectError::from_io(error.into()));
            let (program, root, mounts) = (link("exe")?, link("root")?, link("ns/mnt")?);
            let mounts_of = |pid| tree.process(pid).ok()?.link("ns/mnt").ok();
            let is_nodes = [Some(1), tree.own_pid()]
                .into_iter()
                .flatten()
                .any(|pid| mounts_of(pid).as_ref() == Some(&mounts));
            Ok::<_, InspectError>((process, stat.start_ticks, program, root, is_nodes))
        };
        let opened = reader.read(Place::Process { pid, file: "stat" }, open);
        let (process, start_ticks, program, root, is_nodes) =
            opened.map_err(InspectError::from).flatten().map_err(|error| error.to_string())?;
        if start_ticks != facts.start_ticks {
            return Err(InspectError::Reused.to_string());
        }
        // It sees the node's own files, and no image.
        if is_nodes {
            return Ok(Vec::new());
        }
        let mut subject = Subject::new(process, pid, reader);
        let is_unnamed = facts.evidence.iter().any(|evidence| evidence.signal == Signal::ProcExeDeleted);
        let kind = if is_unnamed { Kind::UnnamedProgram } else { Kind::Program };
        let shown = if is_unnamed { program.strip_deleted() } else { None };
        // The kernel shows paths from the root of the mount namespace, and `chroot` changes another one.
        let of = |path: &Path, kind| {
            let path = path.strip_prefix(root.as_path()).unwrap_or(path);
            RunningFile { path: Path::new("/").join(path), kind }
        };
        let mut running = vec![of(shown.unwrap_or(program.as_path()), kind)];
        running.extend(facts.libraries.iter().map(|library| of(library.path.as_ref(), Kind::Library)));
        let mut comparison = self.comparison(&mut subject, made_ticks)?;
        let compare = move |process: &Process, _: &UnderWay| {
            let root = process.root().map_err(|error| reason(&error.into()))?;
            Ok(running.iter().filter_map(|file| comparison.compare(process, &root, file)).collect())
        };
        let place = subject.below_root();
        subject.read(place, compare).map_err(|not_read| not_read.to_string())?
    }

    /// What the files of a process are compared with.
    fn comparison(&self, subject: &mut Subject, made_ticks: u64) -> Result<Comparison, String> {
        let mountinfo = subject.read_file("mountinfo", MOUNTINFO_BYTES_MAX)?;
        let mount = RootMount::parse(&mountinfo).ok_or("its root is no mount")?;
        let tree = self.tree.clone();
        let open = move |_: &Process, _: &UnderWay| {
            let init = tree.process(1).ok().and_then(|init| init.root().ok());
            init.into_iter().chain(Root::open("/").ok()).collect::<Vec<Root>>()
        };
        let node = subject.read(Place::Node("root"), open).map_err(|not_read| not_read.to_string())?;
        Ok(Comparison {
            mount,
            node,
            made: wall_clock_ns(made_ticks) + TICK_NS,
            files: Arc::clone(&self.files),
            bytes_max: self.options.library_bytes_max,
            budget: self.options.hash_bytes_max,
            until: Instant::now() + COMPARISON_TIME_MAX,
        })
    }
}

impl Comparison {
    /// Compares a file with the image's; `None` if it is that, or that cannot be said.
    fn compare(&mut self, process: &Process, root: &Root, file: &RunningFile) -> Option<Drift> {
        let opened = match file.kind {
            Kind::Library => root.open_regular(&file.path),
            Kind::Program | Kind::UnnamedProgram => process.executable(),
        };
        let opened = opened.ok()?;
        let mount = if file.kind == Kind::Library { mount_of(&opened) } else { mount_of_program(process) };
        let look = match &self.mount.layers {
            _ if is_memory(opened.version().device) => Look::InMemory,
            _ if file.kind == Kind::UnnamedProgram => Look::Unnamed,
            _ if mount? != self.mount.id => Look::OtherMount,
            Some(layers) => self.look_in_layers(&layers.clone(), &file.path, &opened)?,
            None => self.look_alone(&opened),
        };
        let (verdict, method) = judge(look)?;
        let sha256 = if verdict.is_drift() { self.sha256(&opened) } else { None };
        Some(Drift { path: shown(&file.path), verdict, method, sha256 })
    }

    fn look_in_layers(&mut self, layers: &Layers, path: &Path, opened: &RegularFile) -> Option<Look> {
        let below = path.strip_prefix("/").ok()?;
        let Some(upper) = &layers.upper else { return Some(Look::InImage) };
        // Otherwise nothing of the layers can be seen from here.
        let node = self.node.iter().position(|node| is_directory(node, upper))?;
        let find = |layer: &Path| self.node[node].open_regular(layer.join(below)).ok();
        let Some(written) = find(upper) else { return Some(Look::InImage) };
        // An overlay shows the times of the file below it.
        let (shown, version) = (opened.version(), written.version());
        if (shown.changed_ns, shown.size) != (version.changed_ns, version.size) {
            return None;
        }
        let places = layers.lower.iter().flat_map(|lower| layers.places(lower));
        let image =
            places.map(|layer| layer.join(below)).find_map(|path| self.node[node].open_regular(path).ok());
        let Some(image) = image else { return Some(Look::InUpper(Below::Absent)) };
        if image.version().size != shown.size {
            return Some(Look::InUpper(Below::Different));
        }
        // The content is read through the overlay: the upper file may hold nothing but metadata.
        Some(Look::InUpper(match (self.sha256(opened), self.sha256(&image)) {
            (Some(one), Some(other)) if one == other => Below::Same,
            (Some(_), Some(_)) => Below::Different,
            _ => Below::Unknown,
        }))
    }

    fn look_alone(&mut self, opened: &RegularFile) -> Look {
        let changed = opened.version().changed_ns;
        let known = match self.files.sha256_before(opened.version(), self.made) {
            None => Below::Unknown,
            Some(before) => match self.sha256(opened) {
                Some(now) if now == hex(before) => Below::Same,
                Some(_) => Below::Different,
                None => Below::Unknown,
            },
        };
        Look::Alone { born: born(opened), changed, made: self.made, known }
    }

    fn sha256(&mut self, file: &RegularFile) -> Option<String> {
        let version = file.version();
        if version.size > self.bytes_max {
            return None;
        }
        self.files.sha256(version, file, &mut self.budget, self.until).ok().map(hex)
    }
}

/// Whether the path leads to something else than a file.
fn is_directory(root: &Root, path: &Path) -> bool {
    matches!(root.open_regular(path), Err(zastava_elf::Error::NotRegular))
}

fn hex(digest: zastava_core::image::Digest) -> String {
    let text = digest.to_string();
    text.strip_prefix("sha256:").unwrap_or(&text).to_owned()
}

fn mount_of_program(process: &Process) -> Option<u64> {
    let found = statx(process, "exe", AtFlags::STATX_DONT_SYNC, StatxFlags::MNT_ID).ok()?;
    known_mount(found.stx_mask, found.stx_mnt_id)
}

fn mount_of(file: impl AsFd) -> Option<u64> {
    let found = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
    known_mount(found.stx_mask, found.stx_mnt_id)
}

/// Linux before 5.8 does not say.
fn known_mount(mask: u32, id: u64) -> Option<u64> {
    (mask & StatxFlags::MNT_ID.bits() != 0).then_some(id)
}

/// When a file was made, if its file system knows.
fn born(file: impl AsFd) -> Option<i128> {
    let found = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BTIME).ok()?;
    let is_known = found.stx_mask & StatxFlags::BTIME.bits() != 0;
    is_known.then(|| i128::from(found.stx_btime.tv_sec) * 1_000_000_000 + i128::from(found.stx_btime.tv_nsec))
}

/// Whether this is the kernel's own file system for memory, in which nothing has a name.
fn is_memory(device: Device) -> bool {
    static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
    let memory = DEVICE.get_or_init(|| {
        let file = memfd_create("zastava", MemfdFlags::CLOEXEC).ok()?;
        Some(FileVersion::of(file).ok()?.device)
    });
    *memory == Some(device)
}

/// The time of day at which so many ticks had passed since boot.
fn wall_clock_ns(ticks: u64) -> i128 {
    let ns = |id| {
        let now = clock_gettime(id);
        i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
    };
    let since_boot = i128::from(ticks) * 1_000_000_000 / i128::from(rustix::param::clock_ticks_per_second());
    ns(ClockId::Realtime) - ns(ClockId::Boottime) + since_boot
}
