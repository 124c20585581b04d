//! Groups processes into workloads and names each.

use std::collections::HashMap;
use std::sync::Arc;

use zastava_core::contract::{self, Evidence, Owner};
use zastava_core::vocabulary::{Engine, Platform, Signal};

use crate::hash::short_hash;
use crate::procfs::{self, CgroupUnit, CgroupUnitKind, ProcTree};
use crate::workload::Workload;

/// A process of the scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) pid: u32,
    pub(super) start_ticks: u64,
    pub(super) session: u32,
    pub(super) process_group: u32,
    pub(super) name: Box<str>,
    /// What its cgroup was made for, if that is a workload.
    pub(super) unit: Option<Arc<CgroupUnit>>,
}

/// What the processes of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum GroupKey {
    Cgroup(Arc<str>),
    Job { session: u32, process_group: u32 },
}

/// What a group's key is, without a copy of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum GroupName<'a> {
    Cgroup(&'a str),
    Job { session: u32, process_group: u32 },
}

/// The processes of a group.
struct Group<'a> {
    oldest: &'a Member,
    /// Whether the main process of the group's workload is among them.
    main_runs: bool,
    /// Whether the process that the process group is named by is among them.
    has_leader: bool,
}

/// The workloads of the last scan. A workload keeps its identity when its first process ends before
/// others.
#[derive(Debug)]
pub(super) struct Groups {
    tree: ProcTree,
    known: HashMap<GroupKey, Workload>,
}

impl Member {
    fn group(&self) -> GroupName<'_> {
        match &self.unit {
            Some(unit) => GroupName::Cgroup(&unit.path),
            None => GroupName::Job { session: self.session, process_group: self.process_group },
        }
    }
}

impl GroupKey {
    fn is_named(&self, name: GroupName<'_>) -> bool {
        match (self, name) {
            (Self::Cgroup(path), GroupName::Cgroup(name)) => **path == *name,
            (Self::Job { session, process_group }, GroupName::Job { session: s, process_group: g }) => {
                (*session, *process_group) == (s, g)
            }
            _ => false,
        }
    }
}

impl GroupName<'_> {
    fn key(self) -> GroupKey {
        match self {
            Self::Cgroup(path) => GroupKey::Cgroup(path.into()),
            Self::Job { session, process_group } => GroupKey::Job { session, process_group },
        }
    }
}

impl Groups {
    pub(super) fn new(tree: ProcTree) -> Self {
        Self { tree, known: HashMap::new() }
    }

    /// The workloads, in the order of their starts.
    pub(super) fn workloads(&self) -> Vec<Workload> {
        let mut workloads: Vec<Workload> = self.known.values().cloned().collect();
        workloads.sort_by_key(|workload| (workload.start_ticks, workload.pid));
        workloads
    }

    /// From now on the workloads are those that these processes form.
    pub(super) fn update<'a>(&mut self, members: impl Iterator<Item = &'a Member>) {
        let mut last = std::mem::take(&mut self.known);
        let mains: HashMap<(u32, Option<u64>), GroupKey> =
            last.iter().map(|(key, main)| ((main.pid, main.start_ticks), key.clone())).collect();
        let mut groups: HashMap<GroupName<'a>, Group<'a>> = HashMap::new();
        for member in members {
            let name = member.group();
            let main_of = mains.get(&(member.pid, Some(member.start_ticks)));
            let is_main = main_of.is_some_and(|key| key.is_named(name));
            let is_leader = member.pid == member.process_group;
            let group =
                groups.entry(name).or_insert(Group { oldest: member, main_runs: false, has_leader: false });
            group.main_runs |= is_main;
            group.has_leader |= is_leader;
            if (member.start_ticks, member.pid) < (group.oldest.start_ticks, group.oldest.pid) {
                group.oldest = member;
            }
        }
        let mut known = HashMap::with_capacity(groups.len());
        for (name, group) in groups {
            let key = name.key();
            let workload = match last.remove(&key) {
                Some(workload) if goes_on(&key, &group) => workload,
                _ => self.workload(group.oldest),
            };
            known.insert(key, workload);
        }
        self.known = known;
    }

    fn workload(&self, oldest: &Member) -> Workload {
        match &oldest.unit {
            Some(unit) => self.describe(oldest, unit_owner(unit), &format!("cgroup {}", unit.path)),
            None => {
                let owner = self.session_owner(oldest.session);
                let identity = format!("process {} {}", oldest.pid, oldest.start_ticks);
                self.describe(oldest, owner, &identity)
            }
        }
    }

    /// The session, named by its leader's program, or by its number if the leader has ended.
    fn session_owner(&self, session: u32) -> Owner {
        let leader = self.tree.process(session).and_then(|process| procfs::stat(&process));
        let name = leader.map_or_else(|_| session.to_string(), |stat| stat.name);
        Owner { kind: "Session".to_owned(), name }
    }

    fn describe(&self, main: &Member, owner: Owner, identity: &str) -> Workload {
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
            image_entrypoint: Vec::new(),
            evidence: vec![Evidence::new(Signal::ProcfsScan, &*main.name)],
            prepared: None,
            declared: None,
        }
    }
}

/// Whether the workload of the last scan still runs. A service runs as long as its main process. A job
/// runs as long as any of its processes, since the first command of a pipeline may end before the others;
/// only a new leader shows that another job got the group's id.
fn goes_on(key: &GroupKey, group: &Group<'_>) -> bool {
    match key {
        GroupKey::Cgroup(_) => group.main_runs,
        GroupKey::Job { .. } => group.main_runs || !group.has_leader,
    }
}

fn unit_owner(unit: &CgroupUnit) -> Owner {
    let kind = match unit.kind {
        CgroupUnitKind::Container => "Container",
        CgroupUnitKind::Service => "Service",
    };
    Owner { kind: kind.to_owned(), name: unit.name.clone() }
}
