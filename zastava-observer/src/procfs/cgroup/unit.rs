//! What the path of a cgroup says about its owner.

/// What a cgroup was made for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CgroupUnit {
    /// A container, or a service or scope of the service manager.
    pub kind: CgroupUnitKind,
    /// The container's id, or the unit's name.
    pub name: String,
    /// The unit's own path. Cgroups below it belong to the unit.
    pub path: String,
}

/// The kinds of [`CgroupUnit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CgroupUnitKind {
    /// Made by a container engine.
    Container,
    /// Made by the service manager.
    Service,
}

impl CgroupUnit {
    /// The unit that the path names: its outermost container, or without one its outermost service or scope.
    ///
    /// The node's own engine or service manager made that one. What is below it, whoever is in it has named.
    ///
    /// A scope below `user.slice` is a login or a terminal, in which many things run, and
    /// `user@<uid>.service` holds all units of a user. Neither is a unit here.
    // docs/design/observer.md#which-container-does-a-cgroup-belong-to
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        let of_user = names.contains(&"user.slice");
        let container = (0..names.len()).find_map(|at| Some((at, container(&names, at)?)));
        let service =
            || (0..names.len()).find(|&at| is_service(names[at], of_user)).map(|at| (at, names[at]));
        let (kind, (at, name)) = match container {
            Some(found) => (CgroupUnitKind::Container, found),
            None => (CgroupUnitKind::Service, service()?),
        };
        Some(Self { kind, name: name.to_owned(), path: format!("/{}", names[..=at].join("/")) })
    }
}

fn is_service(name: &str, of_user: bool) -> bool {
    let service = name.ends_with(".service") && !name.starts_with("user@");
    let scope = name.ends_with(".scope") && !of_user;
    service || scope
}

/// The id or name of the container that this part of the path was made for.
fn container<'p>(names: &[&'p str], at: usize) -> Option<&'p str> {
    let name = names[at];
    match at.checked_sub(1).map(|parent| names[parent]) {
        // Podman without systemd: a pod, which holds containers.
        Some("libpod_parent") if names.get(at + 1).is_some_and(|next| container_id(next).is_some()) => None,
        // What Kata Containers runs on the node for a sandbox.
        Some("kata_overhead") => None,
        // Plain `ctr` in its default namespace, and LXC, with any name.
        Some("default" | "lxc" | "lxc.payload") if at == 1 => Some(name),
        _ => container_id(name).or_else(|| name.strip_prefix("lxc.payload.")),
    }
    .filter(|name| !name.is_empty())
}

/// The container id in one part of a cgroup path: 64 hex digits after the engine's prefix, with or without
/// `.scope`, or the forms of ECS (`<32 hex>-<digits>`) and Garden (8-4-4-4-4 hex).
///
/// `None` for `conmon`, which runs beside a container and not in it.
#[must_use]
pub fn container_id(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    if name.contains("conmon") {
        return None;
    }
    let last = name.rsplit(['-', ':']).next().unwrap_or(name);
    if is_hex(last, 64) {
        return Some(last);
    }
    let parts: Vec<&str> = name.split('-').collect();
    let ecs = matches!(parts[..], [task, number] if is_hex(task, 32)
        && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    let garden = matches!(parts[..], [a, b, c, d, e] if is_hex(a, 8)
        && [b, c, d, e].iter().all(|part| is_hex(part, 4)));
    (ecs || garden).then_some(name)
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
