//! `/proc/<pid>/stat`.

/// The flag of a kernel thread (`PF_KTHREAD`, include/linux/sched.h).
const PF_KTHREAD: u32 = 0x0020_0000;

/// The fields of `/proc/<pid>/stat` that identify a process (proc_pid_stat(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stat {
    /// The process.
    pub pid: u32,
    /// The program's name: up to 15 bytes of any value, a closing parenthesis too.
    pub name: String,
    /// `R`, `S`, `D`, `Z`, …
    pub state: char,
    /// The pid of the parent.
    pub parent: u32,
    /// The process group. A shell gives each job its own.
    pub process_group: u32,
    /// The session: a login, a terminal, a daemon.
    pub session: u32,
    /// When the process started, in clock ticks since boot. Boot id, pid and start ticks identify a process.
    pub start_ticks: u64,
    flags: u32,
    /// The threads, of which the first counts until all have ended.
    threads: u64,
}

impl Stat {
    /// Parses the file's content; `None` if it is not what the kernel writes.
    #[must_use]
    pub fn parse(content: &[u8]) -> Option<Self> {
        let open = content.iter().position(|byte| *byte == b'(')?;
        // The name is not escaped, so only the last parenthesis ends it.
        let close = content.iter().rposition(|byte| *byte == b')')?;
        let pid = std::str::from_utf8(&content[..open]).ok()?.trim().parse().ok()?;
        let name = String::from_utf8_lossy(content.get(open + 1..close)?).into_owned();
        let rest = std::str::from_utf8(&content[close + 1..]).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().take(20).collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        // `0` for a group or session outside this pid namespace, `-1` for none.
        let id = |index: usize| number(index).and_then(|id| u32::try_from(id).ok()).unwrap_or(0);
        Some(Self {
            pid,
            name,
            state: fields.first()?.chars().next()?,
            parent: id(1),
            process_group: id(2),
            session: id(3),
            flags: u32::try_from(number(6)?).ok()?,
            threads: number(17)?,
            start_ticks: number(19)?,
        })
    }

    /// Whether this is a thread of the kernel, which has no program.
    #[must_use]
    pub fn is_kernel_thread(&self) -> bool {
        self.flags & PF_KTHREAD != 0
    }

    /// Whether the process has ended and only waits for its parent. Nothing of it can be read any more.
    ///
    /// The state is that of the first thread. If that has ended and others run, the process runs.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.has_first_thread_ended() && self.threads <= 1
    }

    /// Whether the first thread has ended. The process's files in `/proc` are those of this thread.
    pub(crate) fn has_first_thread_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}
