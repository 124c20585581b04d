//! `/proc/<pid>/cgroup`: the cgroups that a process is in.

mod unit;

pub use self::unit::{CgroupUnit, CgroupUnitKind, container_id};

/// The path in the file that says most about its owner; `None` if every line says `/`.
///
/// A line names a container, or else a service, or else another cgroup. Lines of one kind often agree. If not, the v2
/// line `0::` counts first and the service manager's own hierarchy second.
#[must_use]
pub fn cgroup_path(content: &[u8]) -> Option<String> {
    Cgroups::parse(content).into_path()
}

/// The cgroups of a process: one for each hierarchy (cgroups(7)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cgroups {
    /// Without those that say `/`, the most telling one first.
    paths: Vec<String>,
}

/// Whether a process is in a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Membership {
    Inside,
    Outside,
    /// The paths do not say it.
    Unknown,
}

impl Cgroups {
    /// Lines that the kernel does not write are skipped. Format: `hierarchy:controllers:path`.
    pub(crate) fn parse(content: &[u8]) -> Self {
        let mut lines: Vec<(Rank, String)> =
            content.split(|byte| *byte == b'\n').filter_map(ranked_line).collect();
        // Stable: of equal lines the first is taken.
        lines.sort_by(|(one, _), (other, _)| other.cmp(one));
        Self { paths: lines.into_iter().map(|(_, path)| path).collect() }
    }

    /// The most telling path.
    pub(crate) fn path(&self) -> Option<&str> {
        self.paths.first().map(String::as_str)
    }

    pub(crate) fn into_path(self) -> Option<String> {
        self.paths.into_iter().next()
    }

    /// Whether the process is in the cgroup that has this name, or below it. The name is that of a container, with or
    /// without what its engine adds to it.
    ///
    /// In a cgroup namespace the paths begin at the reader's cgroup, and what is above it is not shown:
    /// `/../b` is beside that cgroup, and `/b` is below it. Whoever is below it may be in any of the cgroups that are
    /// not shown.
    pub(crate) fn membership(&self, name: &str, are_whole: bool) -> Membership {
        if self.paths.iter().any(|path| path.split('/').any(|part| is_named(part, name))) {
            return Membership::Inside;
        }
        let shows_all = |path: &String| path.split('/').nth(1) == Some("..") && !path.ends_with("..");
        match are_whole || (!self.paths.is_empty() && self.paths.iter().all(shows_all)) {
            true => Membership::Outside,
            false => Membership::Unknown,
        }
    }
}

/// What a line says: first whether of a container, of a service or of neither, then whose hierarchy it is of, then how
/// much.
type Rank = (u8, u8, usize);

/// A line's path with its rank; `None` for `/`.
fn ranked_line(line: &[u8]) -> Option<(Rank, String)> {
    let mut fields = line.splitn(3, |byte| *byte == b':');
    let (hierarchy, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    if path.len() < 2 || path.first() != Some(&b'/') {
        return None;
    }
    let path = String::from_utf8_lossy(path).into_owned();
    let owner = match CgroupUnit::of(&path).map(|unit| unit.kind) {
        Some(CgroupUnitKind::Container) => 2,
        Some(CgroupUnitKind::Service) => 1,
        None => 0,
    };
    let manager = match (hierarchy, controllers) {
        (b"0", b"") => 2,
        (_, b"name=systemd") => 1,
        _ => 0,
    };
    Some(((owner, manager, path.len()), path))
}

/// Whether a part of a path is `name`, `<engine>-name`, `<slice>:<engine>:name` or such with `.scope`.
fn is_named(part: &str, name: &str) -> bool {
    let part = part.strip_suffix(".scope").unwrap_or(part);
    part.strip_suffix(name).is_some_and(|engine| engine.is_empty() || engine.ends_with(['-', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4c64e1b96ad429ae508be926d6f431fb4c64e1b96ad429ae508be926d6f431fb";
    const OTHER: &str = "91fb3a1f8cf1bb5b39ba25f0d5be4be891fb3a1f8cf1bb5b39ba25f0d5be4be8";

    #[track_caller]
    fn check(are_whole: bool, content: &str, name: &str, wanted: Membership) {
        let content = content.replace("ID", ID).replace("OTHER", OTHER);
        let name = name.replace("ID", ID);
        assert_eq!(Cgroups::parse(content.as_bytes()).membership(&name, are_whole), wanted, "{content}");
    }

    #[test]
    fn a_process_is_in_the_cgroup_that_any_line_names() {
        use Membership::{Inside, Outside};
        check(true, "0::/kubepods/besteffort/pod1/ID", "ID", Inside);
        check(true, "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-ID.scope", "ID", Inside);
        check(
            true,
            "0::/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:ID",
            "ID",
            Inside,
        );
        check(true, "0::/system.slice/docker-ID.scope/init", "ID", Inside);
        check(true, "0::/default/web", "web", Inside);
        check(
            true,
            "2:cpu:/docker/ID\n1:name=systemd:/system.slice/a-very-long-name-of-a-service.service",
            "ID",
            Inside,
        );
        check(true, "0::/docker/OTHER/docker/ID", "ID", Inside);
        check(true, "0::/docker/OTHER", "ID", Outside);
        check(true, "0::/default/webhook", "web", Outside);
        check(true, "0::/default/web/x.service", "x", Outside);
        check(true, "0::/system.slice/cron.service", "ID", Outside);
        check(true, "0::/", "ID", Outside);
    }

    #[test]
    fn in_a_cgroup_namespace_what_is_not_shown_is_unknown() {
        use Membership::{Inside, Outside, Unknown};
        check(false, "0::/../../kubepods-pod2.slice/cri-containerd-ID.scope", "ID", Inside);
        check(false, "0::/../cri-containerd-OTHER.scope", "ID", Outside);
        check(false, "0::/../../../../system.slice/cron.service", "ID", Outside);
        // The reader's own cgroup, one above it, and one below it.
        check(false, "0::/", "ID", Unknown);
        check(false, "2:cpu:/\n1:name=systemd:/", "ID", Unknown);
        check(false, "0::/..", "ID", Unknown);
        check(false, "0::/../..", "ID", Unknown);
        check(false, "0::/init", "ID", Unknown);
        check(false, "2:cpu:/../OTHER\n0::/init", "ID", Unknown);
        check(false, "", "ID", Unknown);
    }
}
