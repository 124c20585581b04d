//! The threads of a process, for when its first one has ended.
//!
//! A process lives as long as any of its threads. If the first one ends before the others (`pthread_exit` in `main`),
//! the process's directory in `/proc` has no memory and no files any more, and on cgroup v1 no cgroup. Each thread has
//! a directory like that of a process, which `/proc` does not list but opens by the thread's id.

use std::format;

use rustix::fs::{Dir, OFlags};

use crate::linux::directory::Directory;
use crate::part::Part;

/// The most threads that are looked at for one that runs. Threads that have ended are gone, unless they are traced.
const THREADS_MAX: usize = 64;
/// The fields up to the parent's pid, with a name that is as long as it can be.
const STAT_BYTES_MAX: u64 = 128;

/// The first fields of `stat` (proc_pid_stat(5)).
pub(super) struct Stat {
    /// The process, or the thread in a thread's directory.
    pub(super) id: u32,
    state: u8,
    pub(super) parent: u32,
}

impl Stat {
    pub(super) fn read(directory: &Directory) -> Option<Self> {
        let content = directory.read("stat".as_ref(), STAT_BYTES_MAX).ok()?;
        // The name is not escaped, so only the last parenthesis ends it.
        let close = content.iter().rposition(|&byte| byte == b')')?;
        let mut rest = str::from_utf8(&content[close + 1..]).ok()?.split_ascii_whitespace();
        let state = *rest.next()?.as_bytes().first()?;
        let id = content.split(|&byte| byte == b' ').next()?;
        let id = str::from_utf8(id).ok()?.parse().ok()?;
        Some(Self { id, state, parent: rest.next()?.parse().ok()? })
    }

    fn has_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// The directory of a thread that runs, if the first one has ended, whose directory is given.
pub(super) fn living(first: &Directory) -> Option<Directory> {
    let stat = Stat::read(first).filter(Stat::has_ended)?;
    let tasks = first.lookup("task".as_ref(), OFlags::RDONLY | OFlags::DIRECTORY, Part::Process).ok()?;
    let ids = Dir::new(tasks).ok()?.filter_map(|entry| entry.ok()?.file_name().to_str().ok()?.parse().ok());
    ids.take(THREADS_MAX).find_map(|id| thread(first, stat.id, id))
}

/// The directory of a thread that runs. Its id may have gone to another process since it was listed: threads of one
/// process have each other below `task`.
fn thread(first: &Directory, process: u32, id: u32) -> Option<Directory> {
    let directory = first.directory(format!("../{id}").as_ref(), Part::Process).ok()?;
    directory.lookup(format!("task/{process}").as_ref(), OFlags::PATH, Part::Process).ok()?;
    Stat::read(&directory).is_some_and(|stat| !stat.has_ended()).then_some(directory)
}
