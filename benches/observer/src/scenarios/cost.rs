//! What the observer costs, and what it costs others.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::percentile;
use crate::lab::Lab;
use crate::process::{self, kibibytes, processor_time};

/// The share of one processor in percent, of each process, over that time.
pub(super) async fn shares(pids: &[u32], time: Duration) -> Vec<f64> {
    let before: Vec<_> = pids.iter().map(|pid| processor_time(*pid)).collect();
    let start = Instant::now();
    tokio::time::sleep(time).await;
    let elapsed = start.elapsed().as_secs_f64();
    let used = pids.iter().zip(before).map(|(pid, before)| processor_time(*pid).saturating_sub(before));
    used.map(|used| used.as_secs_f64() / elapsed * 100.0).collect()
}

pub(crate) async fn idle(lab: &mut Lab, containers: usize, seconds: u64) {
    let time = Duration::from_secs(seconds);
    for number in 0..containers {
        assert!(
            lab.containerd.try_start(&format!("idle-{number}"), &["sleep", "100000"]),
            "a container starts"
        );
    }
    let containerd = lab.containerd.pid();
    let alone = shares(&[containerd], time).await;
    let observer = lab.observe().await;
    lab.until(|lab| lab.starts().len() >= containers).await;
    // The list and the inspections of the start are over.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let both = shares(&[containerd, observer], time).await;
    println!("{containers} containers sleep for {seconds} s, in percent of a processor:");
    println!(
        "  containerd {:.2} without an observer, {:.2} with one; the observer {:.2}",
        alone[0], both[0], both[1]
    );
    println!(
        "  the observer's memory: {} KiB resident, at most {} KiB",
        kibibytes(observer, "VmRSS"),
        kibibytes(observer, "VmHWM")
    );
    let script = "while true; do /bin/busybox true; /bin/busybox usleep 8000; done";
    assert!(lab.containerd.try_start("execs", &["sh", "-c", script]), "a container starts");
    let busy = shares(&[containerd, observer], time).await;
    println!(
        "  while a container starts about 100 programs a second: containerd {:.2}, the observer {:.2}",
        busy[0], busy[1]
    );
}

pub(crate) async fn stopped(lab: &mut Lab, containers: usize) {
    let starts = |lab: &Lab, prefix: &str| -> Vec<f64> {
        let ids: Vec<_> = (0..containers).map(|number| format!("{prefix}-{number}")).collect();
        let times = ids.iter().map(|id| {
            let start = Instant::now();
            assert!(lab.containerd.try_start(id, &["sleep", "100000"]), "a container starts");
            let taken = start.elapsed().as_secs_f64() * 1000.0;
            lab.containerd.remove(id);
            taken
        });
        times.collect()
    };
    let mut before = starts(lab, "before");
    let observer = lab.observe().await;
    let memory = kibibytes(lab.containerd.pid(), "VmRSS");
    process::signal(observer, Signal::STOP);
    let began = Instant::now();
    let mut during = starts(lab, "during");
    tokio::time::sleep(Duration::from_secs(60).saturating_sub(began.elapsed())).await;
    let grown = kibibytes(lab.containerd.pid(), "VmRSS").saturating_sub(memory);
    process::signal(observer, Signal::CONT);
    let mut after = starts(lab, "after");
    println!("start of a container in ms, p50 and p99 of {containers}:");
    for (what, times) in
        [("no observer", &mut before), ("observer stopped", &mut during), ("observer runs", &mut after)]
    {
        println!("  {what:<18} {:6.1} {:6.1}", percentile(times, 50), percentile(times, 99));
    }
    println!("containerd's memory grew by {grown} KiB while the observer was stopped");
}
