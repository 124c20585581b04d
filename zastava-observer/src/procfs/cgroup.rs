//! `/proc/<pid>/cgroup`, and what the path of a cgroup says about its owner.

/// The longest path in the file: of the v2 line `0::` or of any v1 controller, since a hybrid host may use
/// either. `None` if every line says `/`.
///
/// Format: `hierarchy:controllers:path` (cgroups(7)).
#[must_use]
pub fn cgroup_path(content: &[u8]) -> Option<String> {
    let lines = content.split(|byte| *byte == b'\n');
    let paths = lines.filter_map(|line| {
        let mut fields = line.splitn(3, |byte| *byte == b':');
        fields.nth(2).filter(|path| path.len() > 1 && path.first() == Some(&b'/'))
    });
    // Of several equal ones the first is taken, where `max_by_key` would take the last.
    let longest = paths.fold(None, |longest: Option<&[u8]>, path| match longest {
        Some(found) if found.len() >= path.len() => Some(found),
        _ => Some(path),
    });
    longest.map(|path| String::from_utf8_lossy(path).into_owned())
}

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
    /// The unit that the path names, the innermost one first.
    ///
    /// A scope below `user.slice` is a login or a terminal, in which many things run, and
    /// `user@<uid>.service` holds all units of a user. Neither is a unit here.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        let of_user = names.contains(&"user.slice");
        (1..=names.len()).rev().find_map(|depth| {
            let (kind, name) =
                owner(names[depth - 1], of_user).or_else(|| plain_container(&names[..depth]))?;
            Some(Self { kind, name, path: format!("/{}", names[..depth].join("/")) })
        })
    }
}

fn owner(name: &str, of_user: bool) -> Option<(CgroupUnitKind, String)> {
    if let Some(id) = container_id(name) {
        return Some((CgroupUnitKind::Container, id.to_owned()));
    }
    let service = name.ends_with(".service") && !name.starts_with("user@");
    let scope = name.ends_with(".scope") && !of_user;
    (service || scope).then(|| (CgroupUnitKind::Service, name.to_owned()))
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

/// Plain `ctr` creates `/<namespace>/<name>` with any name.
fn plain_container(names: &[&str]) -> Option<(CgroupUnitKind, String)> {
    let [namespace, name] = names else { return None };
    let plain =
        |name: &str| !name.ends_with(".slice") && !name.starts_with("kubepods") && !name.starts_with("..");
    (plain(namespace) && plain(name)).then(|| (CgroupUnitKind::Container, (*name).to_owned()))
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
