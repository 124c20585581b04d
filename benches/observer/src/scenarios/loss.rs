//! What is told never, or twice, when one side is killed.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::lab::{Lab, Told};

/// Containers that come and go: each lives for two seconds.
const LIFE: [&str; 2] = ["sleep", "2"];

/// Short lives of which the observer can see a part.
struct Lives {
    started: BTreeSet<String>,
}

impl Lives {
    fn start(&mut self, lab: &Lab, name: String) {
        if lab.containerd.try_start(&name, &LIFE) {
            self.started.insert(name);
        }
    }
}

pub(crate) async fn gaps(lab: &mut Lab, kills: usize) {
    lab.observe().await;
    let mut lives = Lives { started: BTreeSet::new() };
    for round in 0..kills {
        for number in 0..5 {
            lives.start(lab, format!("gap-{round}-{number}"));
        }
        lab.containerd.kill();
        // Those that were started end meanwhile.
        tokio::time::sleep(Duration::from_millis(500 * round as u64)).await;
        lab.containerd.start_again().await;
        for number in 5..8 {
            lives.start(lab, format!("gap-{round}-{number}"));
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    print(lab, &lives).await;
}

pub(crate) async fn kills(lab: &mut Lab, kills: usize) {
    let mut lives = Lives { started: BTreeSet::new() };
    for round in 0..kills {
        lab.observe().await;
        for number in 0..3 {
            lives.start(lab, format!("kill-{round}-{number}"));
        }
        tokio::time::sleep(Duration::from_millis(70 * round as u64)).await;
        lab.kill_observer();
        // It starts while no observer is there, and ends before the next one is, every second time.
        lives.start(lab, format!("kill-{round}-away"));
        tokio::time::sleep(Duration::from_millis(if round % 2 == 0 { 2500 } else { 100 })).await;
    }
    lab.observe().await;
    print(lab, &lives).await;
}

async fn print(lab: &Lab, lives: &Lives) {
    let once = Told { starts: 1, stops: 1 };
    lab.until(|lab| {
        let told = lab.told();
        lives.started.iter().all(|id| told.get(id) == Some(&once))
    })
    .await;
    assert!(lab.containerd.running().is_empty(), "every life is over");
    let told = lab.told();
    let count = |is: &dyn Fn(Told) -> bool| {
        let lives = lives.started.iter().map(|id| told.get(id).copied().unwrap_or_default());
        lives.filter(|told| is(*told)).count()
    };
    println!(
        "{} containers came and went: told once {}; start never {}, twice {}; stop never {}, twice {}",
        lives.started.len(),
        count(&|told| told == once),
        count(&|told| told.starts == 0),
        count(&|told| told.starts > 1),
        count(&|told| told.stops == 0),
        count(&|told| told.stops > 1),
    );
    let not_once: Vec<_> = lives.started.iter().filter(|id| told.get(*id) != Some(&once)).collect();
    if !not_once.is_empty() {
        println!("  not told once: {not_once:?}");
    }
}
