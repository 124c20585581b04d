//! Groups processes into workloads and names each.

use std::collections::{BTreeMap, HashMap};

use zastava_core::contract::{self, Evidence, Owner};
use zastava_core::vocabulary::{Engine, Platform, Signal};

use crate::hash::short_hash;
use crate::procfs::{self, CgroupUnit, CgroupUnitKind, ProcTree, Stat};
use crate::workload::Workload;

/// A process of the scan.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) stat: Stat,
    /// Its cgroup path, if that may name a workload.
    pub(super) cgroup: Option<String>,
}

/// What the processes of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum GroupKey {
    Cgroup(String),
    Job { session: u32, process_group: u32 },
}

/// The workloads of the last scan. A workload keeps its identity when its first process ends before
/// others.
#[derive(Debug)]
pub(super) struct Groups {
    tree: ProcTree,
    known: HashMap<GroupKey, Workload>,
}

impl Groups {
    pub(super) fn new(tree: ProcTree) -> Self {
        Self { tree, known: HashMap::new() }
    }

    /// The workloads that these processes form.
    pub(super) fn update(&mut self, members: Vec<Member>) -> Vec<Workload> {
        let mut groups: BTreeMap<GroupKey, (Option<CgroupUnit>, Vec<Stat>)> = BTreeMap::new();
        for Member { stat, cgroup } in members {
            let unit = cgroup.as_deref().and_then(CgroupUnit::of);
            let key = match &unit {
                Some(unit) => GroupKey::Cgroup(unit.path.clone()),
                None => GroupKey::Job { session: stat.session, process_group: stat.process_group },
            };
            groups.entry(key).or_insert_with(|| (unit, Vec::new())).1.push(stat);
        }
        let mut known = HashMap::with_capacity(groups.len());
        for (key, (unit, stats)) in groups {
            let Some(workload) = self.workload(&key, unit.as_ref(), &stats) else { continue };
            known.insert(key, workload);
        }
        self.known = known;
        let mut workloads: Vec<Workload> = self.known.values().cloned().collect();
        workloads.sort_by_key(|workload| (workload.start_ticks, workload.pid));
        workloads
    }

    fn workload(&self, key: &GroupKey, unit: Option<&CgroupUnit>, stats: &[Stat]) -> Option<Workload> {
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

    /// The session, named by its leader's program, or by its number if the leader has ended.
    fn session_owner(&self, session: u32) -> Owner {
        let leader = self.tree.process(session).and_then(|process| procfs::stat(&process));
        let name = leader.map_or_else(|_| session.to_string(), |stat| stat.name);
        Owner { kind: "Session".to_owned(), name }
    }

    fn describe(&self, main: &Stat, owner: Owner, identity: &str) -> Workload {
        let hash = short_hash([self.tree.boot_id().as_bytes(), identity.as_bytes()]);
        let id = format!("host://{hash}");
        let description = contract::Workload {
            container_id: Some(id.clone()),
            owner: Some(owner),
            ..contract::Workload::new(Platform::Vm)
        };
        Workload {
            engine: Engine::Host,
            engine_version: None,
            key: id.clone(),
            id,
            pid: main.pid,
            start_ticks: Some(main.start_ticks),
            started_at: Some(self.tree.start_time(main.start_ticks)),
            cgroup: None,
            description,
            entrypoint: Vec::new(),
            evidence: vec![Evidence::new(Signal::ProcfsScan, main.name.clone())],
            prepared: None,
            declared: None,
        }
    }
}

/// Whether the workload of the last scan still runs. A service runs as long as its main process. A job
/// runs as long as any of its processes, since the first command of a pipeline may end before the others;
/// only a new leader shows that another job got the group's id.
fn goes_on(known: &Workload, key: &GroupKey, stats: &[Stat]) -> bool {
    let ticks = known.start_ticks.unwrap_or(0);
    let main_runs = stats.iter().any(|stat| stat.pid == known.pid && stat.start_ticks == ticks);
    match key {
        GroupKey::Cgroup(_) => main_runs,
        GroupKey::Job { process_group, .. } => {
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
