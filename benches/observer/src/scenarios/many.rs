//! Many containers with many processes.

use std::time::Duration;

use super::cost::shares;
use crate::lab::Lab;
use crate::process::kibibytes;

pub(crate) async fn many(lab: &mut Lab, containers: usize, processes: usize, seconds: u64) {
    let each = processes.div_ceil(containers);
    // The shell is one of them.
    let script =
        format!("i=1; while [ $i -lt {each} ]; do /bin/busybox sleep 100000 & i=$((i+1)); done; wait");
    for number in 0..containers {
        let id = format!("many-{number}");
        assert!(lab.containerd.try_start(&id, &["sh", "-c", &script]), "a container starts");
    }
    println!("{containers} containers of {each} processes each, in percent of a processor and KiB:");
    for engine in ["containerd", "host"] {
        let observer = lab.observe_by(engine).await;
        lab.until(|lab| lab.starts().len() >= containers).await;
        // The list and the inspections of the start are over.
        tokio::time::sleep(Duration::from_secs(20)).await;
        let used = shares(&[observer], Duration::from_secs(seconds)).await[0];
        println!(
            "  engine {engine:<10} {used:.2}; {} resident, at most {}",
            kibibytes(observer, "VmRSS"),
            kibibytes(observer, "VmHWM")
        );
        lab.kill_observer();
    }
}
