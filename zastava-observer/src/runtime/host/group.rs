//! Which processes make a workload, and what it is called.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use zastava_core::contract::{EngineIdentity, Owner, Workload};
use zastava_core::vocabulary::{Engine, Platform, Signal};

use crate::process::{CgroupUnit, CgroupUnitKind, ProcTree, Stat};
use crate::runtime::{Container, evidence};

/// 128 bits name a workload.
const ID_BYTES: usize = 16;

/// A process of the scan.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) stat: Stat,
    /// Its cgroup path, when that may name a workload.
    pub(super) cgroup: Option<String>,
}

/// What the processes of a workload have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Key {
    Cgroup(String),
    Job { session: u32, process_group: u32 },
}

/// The workloads of the last scan: one keeps its name when its first process ends before others.
#[derive(Debug)]
pub(super) struct Groups {
    tree: ProcTree,
    known: HashMap<Key, Container>,
}

impl Groups {
    pub(super) fn new(tree: ProcTree) -> Self {
        Self { tree, known: HashMap::new() }
    }

    /// The workloads that these processes make.
    pub(super) fn update(&mut self, members: Vec<Member>) -> Vec<Container> {
        let mut groups: BTreeMap<Key, (Option<CgroupUnit>, Vec<Stat>)> = BTreeMap::new();
        for Member { stat, cgroup } in members {
            let unit = cgroup.as_deref().and_then(CgroupUnit::of);
            let key = match &unit {
                Some(unit) => Key::Cgroup(unit.path.clone()),
                None => Key::Job { session: stat.session, process_group: stat.process_group },
            };
            groups.entry(key).or_insert_with(|| (unit, Vec::new())).1.push(stat);
        }
        let mut known = HashMap::with_capacity(groups.len());
        for (key, (unit, stats)) in groups {
            let Some(container) = self.container(&key, unit.as_ref(), &stats) else { continue };
            known.insert(key, container);
        }
        self.known = known;
        let mut containers: Vec<Container> = self.known.values().cloned().collect();
        containers.sort_by_key(|container| (container.start_ticks, container.pid));
        containers
    }

    fn container(&self, key: &Key, unit: Option<&CgroupUnit>, stats: &[Stat]) -> Option<Container> {
        let oldest = stats.iter().min_by_key(|stat| (stat.start_ticks, stat.pid))?;
        if let Some(known) = self.known.get(key)
            && goes_on(known, key, stats)
        {
            return Some(known.clone());
        }
        let (owner, identity) = match unit {
            Some(unit) => (unit_owner(unit), format!("cgroup {}", unit.path)),
            None => {
                let owner = self.session_owner(oldest.session);
                (owner, format!("process {} {}", oldest.pid, oldest.start_ticks))
            }
        };
        Some(self.describe(oldest, owner, &identity))
    }

    /// The session by its leader's program; by its number when the leader has ended.
    fn session_owner(&self, session: u32) -> Owner {
        let leader = self.tree.process(session).and_then(|process| process.stat());
        let name = leader.map_or_else(|_| session.to_string(), |stat| stat.name);
        Owner { kind: "Session".to_owned(), name }
    }

    fn describe(&self, root: &Stat, owner: Owner, identity: &str) -> Container {
        let id = format!("host://{}", short_hash(&[self.tree.boot_id(), identity]));
        let workload =
            Workload { container_id: Some(id.clone()), owner: Some(owner), ..Workload::new(Platform::Vm) };
        Container {
            key: id.clone(),
            id,
            pid: root.pid,
            start_ticks: Some(root.start_ticks),
            started_at: Some(self.tree.start_time(root.start_ticks)),
            cgroup: None,
            runtime: EngineIdentity::new(Engine::Host),
            workload,
            entrypoint: Vec::new(),
            evidence: vec![evidence(Signal::ProcfsScan, root.name.clone())],
        }
    }
}

/// Whether the workload of the last scan still runs. A service goes on while its main process does; a
/// job while anything of it does, since the first command of a pipeline may end before the others. Only
/// a new leader says that the group's id was used again.
fn goes_on(known: &Container, key: &Key, stats: &[Stat]) -> bool {
    let ticks = known.start_ticks.unwrap_or(0);
    let main_runs = stats.iter().any(|stat| stat.pid == known.pid && stat.start_ticks == ticks);
    match key {
        Key::Cgroup(_) => main_runs,
        Key::Job { process_group, .. } => {
            let leader = stats.iter().find(|stat| stat.pid == *process_group);
            main_runs || leader.is_none()
        }
    }
}

fn unit_owner(unit: &CgroupUnit) -> Owner {
    let kind = match unit.kind {
        CgroupUnitKind::Container => "Container",
        CgroupUnitKind::Service => "Service",
    };
    Owner { kind: kind.to_owned(), name: unit.name.clone() }
}

fn short_hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize()[..ID_BYTES].iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
