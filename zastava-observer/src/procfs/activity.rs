//! Whether processes have started or ended.

/// How many processes and threads were started since boot, and how many there are. Both are those of the whole system in every
/// pid namespace. While both stay, no process has started and none has been removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Activity {
    forks: u64,
    threads: u64,
}

impl Activity {
    /// From `/proc/stat` and `/proc/loadavg` (proc_stat(5), proc_loadavg(5)).
    pub(super) fn parse(stat: &[u8], load: &[u8]) -> Option<Self> {
        let line = stat.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"processes "))?;
        let forks = std::str::from_utf8(line).ok()?.trim().parse().ok()?;
        // `0.20 0.18 0.12 1/80 11206`: the threads that run, and all.
        let (_, threads) =
            std::str::from_utf8(load).ok()?.split_ascii_whitespace().nth(3)?.split_once('/')?;
        Some(Self { forks, threads: threads.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::procfs::ProcTree;

    #[test]
    fn activity_is_what_changes_with_every_process() {
        let stat = b"cpu 1 2 3\nbtime 1700000000\nprocesses 4711\nprocs_running 2\n";
        let load = b"0.20 0.18 0.12 1/80 11206\n";
        assert_eq!(Activity::parse(stat, load), Some(Activity { forks: 4711, threads: 80 }));
        for (stat, load) in
            [(&b""[..], &load[..]), (stat, b""), (stat, b"0 0 0 80 1"), (b"processes x\n", load)]
        {
            assert_eq!(Activity::parse(stat, load), None);
        }
        let tree = ProcTree::open("/proc").expect("this system has one");
        let before = tree.activity().expect("can be read");
        let started = std::process::Command::new("/bin/true").status();
        assert!(started.is_ok_and(|status| status.success()));
        assert_ne!(tree.activity().expect("can be read"), before);
    }
}
