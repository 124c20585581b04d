//! What a process costs, as `/proc` says.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Processor time of all threads, and of the children that were waited for, so far.
pub(crate) fn processor_time(pid: u32) -> Duration {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return Duration::ZERO };
    let (_, fields) = stat.rsplit_once(')').expect("has a name");
    // utime and stime are fields 14 and 15 (proc_pid_stat(5)); the state behind the name is field 3.
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
}

/// A size of `/proc/<pid>/status` in KiB, such as `VmRSS`.
pub(crate) fn kibibytes(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("is a pid");
    // It may have ended already.
    let _ = kill_process(pid, signal);
}
