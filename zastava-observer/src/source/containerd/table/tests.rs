use super::*;
use crate::source::containerd::event::ContainerKey;
use crate::workload::Note;
use crate::workload::tests::workload;

const EXIT: Exit = Exit { at: Some(Timestamp::UNIX_EPOCH), status: Some(3) };
const GONE: Verdict = Verdict::Unknown { process_is_gone: true };

fn key(id: &str, pid: u32) -> TaskKey {
    TaskKey { namespace: "n".to_owned(), id: id.to_owned(), pid }
}

fn created(id: &str, pid: u32) -> TaskEvent {
    TaskEvent::Created(key(id, pid), Bundle::default(), Time::default())
}

fn started(id: &str, pid: u32) -> TaskEvent {
    TaskEvent::Started(key(id, pid), Time::default())
}

fn ended(id: &str, pid: u32) -> TaskEvent {
    TaskEvent::Ended(key(id, pid), EXIT)
}

fn exec(id: &str, pid: u32) -> TaskEvent {
    let container = ContainerKey { namespace: "n".to_owned(), id: id.to_owned() };
    TaskEvent::Exec(container, ExecSession { id: "e".to_owned(), pid, at: Timestamp::UNIX_EPOCH })
}

fn listed(id: &str, pid: u32, status: TaskStatus) -> ListedTask {
    let exit = if status == TaskStatus::Stopped { EXIT } else { Exit::default() };
    ListedTask { key: key(id, pid), status, exit, asked: Time::default() }
}

/// `look a1`, `confirm a1`, `+a1` and `-a1 3` for what is reported, with `~` in front of what only lists showed.
fn text(action: &Action) -> String {
    let name = |key: &str, pid: u32| format!("{}{pid}", key.trim_start_matches("n/"));
    match action {
        Action::LookUp { key, .. } => format!("look {}", name(&key.id, key.pid)),
        Action::Confirm { key, .. } => format!("confirm {}", name(&key.id, key.pid)),
        Action::Report(Change::Started(workload)) => format!("+{}", name(&workload.key, workload.pid)),
        Action::Report(Change::Found(workload)) => format!("~+{}", name(&workload.key, workload.pid)),
        Action::Report(Change::Stopped { key, pid, exit_status, reconciled, .. }) => {
            let (mark, status) =
                (if *reconciled { "~" } else { "" }, exit_status.map(|status| status.to_string()));
            format!("{mark}-{} {}", name(key, *pid), status.unwrap_or_default()).trim_end().to_owned()
        }
        Action::Report(Change::Listed { workloads, .. }) => {
            let mut names: Vec<_> = workloads.iter().map(|found| name(&found.key, found.pid)).collect();
            names.sort();
            format!("list {}", names.join(" "))
        }
        Action::Report(Change::Noted(of, Note::Exec(exec))) => format!("exec {}", name(&of.key, exec.pid)),
        Action::Report(Change::Unfollowed { .. } | Change::Noted(..)) => {
            unreachable!("containerd is followed, and looks are the pipeline's")
        }
        Action::Lost(reason, _) => format!("lost {}", reason.as_str()),
    }
}

/// A table whose first list was empty.
struct Script(TaskTable);

impl Script {
    fn new() -> Self {
        let mut table = TaskTable::default();
        assert!(table.connected().is_empty());
        assert_eq!(texts(&table.listed(Vec::new())), ["list "]);
        Self(table)
    }

    fn event(&mut self, event: TaskEvent) -> Vec<String> {
        texts(&self.0.event(event))
    }

    fn known(&mut self, id: &str, pid: u32) -> Vec<String> {
        let found = workload(&format!("n/{id}"), pid);
        texts(&self.0.looked_up(&key(id, pid), Some(found)))
    }

    fn list(&mut self, tasks: Vec<ListedTask>) -> Vec<String> {
        texts(&self.0.listed(tasks))
    }

    fn confirm(&mut self, id: &str, pid: u32, verdict: Verdict) -> Vec<String> {
        texts(&self.0.confirmed(&key(id, pid), verdict))
    }

    /// One task that runs and is told.
    fn running() -> Self {
        let mut script = Self::new();
        script.event(started("a", 1));
        assert_eq!(script.known("a", 1), ["+a1"]);
        script
    }
}

fn texts(actions: &[Action]) -> Vec<String> {
    actions.iter().map(text).collect()
}

#[test]
fn a_task_is_looked_up_when_it_is_created_and_told_when_it_starts() {
    let mut script = Script::new();
    assert_eq!(script.event(created("a", 1)), ["look a1"]);
    assert!(script.known("a", 1).is_empty());
    assert_eq!(script.event(started("a", 1)), ["+a1"]);
    assert!(script.event(started("a", 1)).is_empty());
    assert_eq!(script.event(ended("a", 1)), ["-a1 3"]);
    assert!(script.event(TaskEvent::Deleted(key("a", 1), EXIT)).is_empty());
    // A container that could not be started leaves nothing behind.
    script.event(created("b", 2));
    assert!(script.event(ended("b", 2)).is_empty());
    assert!(script.known("b", 2).is_empty() && script.0.tasks.is_empty());
}

#[test]
fn a_list_that_is_faster_than_the_creation_takes_nothing_from_the_task() {
    let listed_first = || {
        let mut script = Script::new();
        assert_eq!(script.list(vec![listed("a", 1, TaskStatus::Running)]), ["look a1"]);
        // The creation knows where the program is, and the start is on its way.
        assert_eq!(script.event(created("a", 1)), ["look a1", "confirm a1"]);
        assert!(script.known("a", 1).is_empty());
        script
    };
    let mut script = listed_first();
    assert_eq!(script.event(started("a", 1)), ["+a1"]);
    assert!(script.confirm("a", 1, Verdict::Runs).is_empty());
    assert!(script.known("a", 1).is_empty(), "the list's own look-up comes later");
    assert_eq!(script.event(ended("a", 1)), ["-a1 3"]);
    // The event of the start is lost.
    assert_eq!(listed_first().confirm("a", 1, Verdict::Runs), ["~+a1"]);
    let mut script = listed_first();
    assert_eq!(script.0.untold().map(|(_, count)| count), [1, 0, 0]);
    assert_eq!(script.event(ended("a", 1)), ["~+a1", "-a1 3"]);
    // The start is faster than the creation.
    let mut script = Script::new();
    script.event(started("a", 1));
    assert_eq!(script.event(created("a", 1)), ["look a1"]);
    assert_eq!(script.known("a", 1), ["+a1"]);
    assert!(script.event(created("a", 1)).is_empty());
}

#[test]
fn an_exit_waits_for_the_facts_of_its_start() {
    let mut script = Script::new();
    script.event(started("a", 1));
    assert!(script.event(ended("a", 1)).is_empty());
    assert_eq!(script.0.untold().map(|(_, count)| count), [1, 1, 0]);
    assert_eq!(script.known("a", 1), ["+a1", "-a1 3"]);
    assert!(script.0.tasks.is_empty());
}

#[test]
fn a_deletion_tells_an_exit_whose_event_is_lost() {
    let mut script = Script::running();
    assert_eq!(script.event(TaskEvent::Deleted(key("a", 1), EXIT)), ["-a1 3"]);
}

#[test]
fn what_a_list_lacks_is_doubted_once_and_ends_when_that_is_confirmed() {
    let mut script = Script::running();
    assert_eq!(script.list(Vec::new()), ["confirm a1"]);
    assert!(script.list(Vec::new()).is_empty(), "the doubt is not settled yet");
    assert!(script.confirm("a", 1, Verdict::Runs).is_empty());
    assert_eq!(script.list(Vec::new()), ["confirm a1"]);
    assert_eq!(script.confirm("a", 1, Verdict::Ended(EXIT)), ["~-a1 3"]);
    // The exit's own event settles a doubt, too.
    let mut script = Script::running();
    script.list(Vec::new());
    assert_eq!(script.event(ended("a", 1)), ["-a1 3"]);
    assert!(script.confirm("a", 1, Verdict::Ended(EXIT)).is_empty());
}

#[test]
fn a_task_whose_shim_does_not_answer_is_not_doubted() {
    let mut script = Script::running();
    assert!(script.list(vec![listed("a", 0, TaskStatus::Unknown)]).is_empty());
    assert!(script.list(vec![listed("a", 1, TaskStatus::Paused)]).is_empty());
}

#[test]
fn a_process_that_is_gone_ends_its_task_even_if_containerd_never_says_so() {
    let mut script = Script::running();
    script.list(Vec::new());
    assert!(script.confirm("a", 1, GONE).is_empty());
    script.list(Vec::new());
    assert_eq!(script.confirm("a", 1, GONE), ["~-a1"]);
    let mut script = Script::running();
    for _ in 0..5 {
        script.list(Vec::new());
        assert!(script.confirm("a", 1, Verdict::Unknown { process_is_gone: false }).is_empty());
    }
}

#[test]
fn a_list_and_an_event_tell_a_start_once() {
    let mut script = Script::new();
    let running = || vec![listed("a", 1, TaskStatus::Running)];
    assert_eq!(script.list(running()), ["look a1"]);
    assert!(script.event(started("a", 1)).is_empty());
    assert_eq!(script.known("a", 1), ["+a1"]);
    let mut script = Script::new();
    script.list(running());
    assert_eq!(script.known("a", 1), ["~+a1"]);
    assert!(script.event(started("a", 1)).is_empty());
    // A created task whose start is lost.
    script.event(created("b", 2));
    script.known("b", 2);
    assert_eq!(script.list([running(), vec![listed("b", 2, TaskStatus::Running)]].concat()), ["confirm b2"]);
    assert_eq!(script.confirm("b", 2, Verdict::Runs), ["~+b2"]);
    // A created task whose start comes after all.
    script.event(created("c", 3));
    script.known("c", 3);
    assert_eq!(
        script.list(
            [running(), vec![listed("b", 2, TaskStatus::Running), listed("c", 3, TaskStatus::Running)]]
                .concat()
        ),
        ["confirm c3"]
    );
    assert_eq!(script.event(started("c", 3)), ["+c3"]);
    assert!(script.confirm("c", 3, Verdict::Runs).is_empty());
}

#[test]
fn the_first_list_of_a_connection_is_reported_when_nothing_of_it_is_open() {
    let mut script = Script::running();
    script.event(started("b", 2));
    script.0.disconnected(Timestamp::UNIX_EPOCH);
    // What was asked on the connection before is asked again.
    assert_eq!(texts(&script.0.connected()), ["look b2"]);
    let tasks = vec![listed("b", 2, TaskStatus::Running), listed("c", 3, TaskStatus::Running)];
    let mut actions = texts(&script.0.listed(tasks));
    actions.sort();
    assert_eq!(actions, ["confirm a1", "look c3"]);
    assert_eq!(script.known("b", 2), ["+b2"]);
    assert_eq!(script.confirm("a", 1, Verdict::Ended(EXIT)), ["~-a1 3"]);
    assert_eq!(script.known("c", 3), ["~+c3", "list b2 c3"]);
}

#[test]
fn a_first_list_with_a_shim_that_does_not_answer_is_tried_again() {
    let vague = || vec![listed("a", 0, TaskStatus::Unknown)];
    let mut table = TaskTable::default();
    table.connected();
    for _ in 1..FIRST_LISTS_MAX {
        assert!(table.listed(vague()).is_empty());
    }
    assert_eq!(texts(&table.listed(vague())), ["list "]);
    // A shim that answers at last.
    table.connected();
    assert!(table.listed(vague()).is_empty());
    assert_eq!(texts(&table.listed(vec![listed("a", 1, TaskStatus::Running)])), ["look a1"]);
}

#[test]
fn what_stopped_while_the_observer_was_away_is_told_with_its_status() {
    let mut table = TaskTable::default();
    table.connected();
    assert_eq!(texts(&table.listed(vec![listed("a", 1, TaskStatus::Stopped)])), ["~-a1 3", "list "]);
}

#[test]
fn what_began_and_ended_between_two_connections_is_told() {
    let stopped = || vec![listed("a", 1, TaskStatus::Stopped)];
    let mut script = Script::new();
    assert!(script.list(stopped()).is_empty(), "it ended before anybody looked");
    script.0.disconnected(Timestamp::UNIX_EPOCH);
    script.0.connected();
    assert_eq!(texts(&script.0.listed(stopped())), ["look a1", "confirm a1"]);
    assert!(script.confirm("a", 1, Verdict::Ended(EXIT)).is_empty());
    assert_eq!(script.known("a", 1), ["~+a1", "~-a1 3", "list "]);
}

#[test]
fn the_table_is_bounded_and_counts_what_it_leaves_out() {
    let mut script = Script::new();
    let tasks = |count: u32| (1..=count).map(|pid| listed("w", pid, TaskStatus::Running)).collect();
    let max = TASKS_MAX as u32;
    let lost =
        |actions: Vec<String>| actions.iter().filter(|action| *action == "lost too_many_tasks").count();
    assert_eq!(lost(script.list(tasks(max + 5))), 5);
    assert_eq!(lost(script.list(tasks(max + 5))), 0, "the same ones are not counted again");
    assert_eq!(lost(script.list(tasks(max + 6))), 1);
    assert_eq!(script.event(started("b", max + 7)), ["lost too_many_tasks"]);
    assert_eq!(script.0.tasks.len(), TASKS_MAX);
}

#[test]
fn a_list_that_was_made_before_an_end_starts_nothing_again() {
    let mut script = Script::new();
    script.event(started("a", 1));
    assert_eq!(script.known("a", 1), ["+a1"]);
    assert_eq!(script.event(ended("a", 1)), ["-a1 3"]);
    assert_eq!(script.list(vec![listed("a", 1, TaskStatus::Running)]), [""; 0]);
    // The next run has another process.
    assert_eq!(script.list(vec![listed("a", 2, TaskStatus::Running)]), ["look a2"]);
}

#[test]
fn a_process_that_comes_in_is_told_after_the_start_and_before_the_stop() {
    let mut script = Script::new();
    assert_eq!(script.event(exec("a", 9)), ["lost unknown_workload"]);
    assert_eq!(script.event(started("a", 1)), ["look a1"]);
    assert!(script.event(exec("a", 7)).is_empty());
    assert!(script.event(ended("a", 1)).is_empty());
    // Another task of the container would be meant now.
    assert_eq!(script.event(exec("a", 8)), ["lost unknown_workload"]);
    assert_eq!(script.known("a", 1), ["+a1", "exec a7", "-a1 3"]);
    assert_eq!(script.event(started("b", 2)), ["look b2"]);
    assert_eq!(script.known("b", 2), ["+b2"]);
    assert_eq!(script.event(exec("b", 7)), ["exec b7"]);
}

#[test]
fn a_process_that_comes_into_a_sandbox_is_not_told_and_those_that_wait_are_bounded() {
    let mut script = Script::new();
    script.event(started("pause", 1));
    assert!(script.event(exec("pause", 9)).is_empty());
    assert!(texts(&script.0.looked_up(&key("pause", 1), None)).is_empty());
    assert!(script.event(exec("pause", 2)).is_empty());
    script.event(started("a", 1));
    for pid in 2..18 {
        assert!(script.event(exec("a", pid)).is_empty());
    }
    assert_eq!(script.event(exec("a", 18)), ["lost queue_full"]);
    assert_eq!(
        script.0.untold(),
        [(EventKind::ContainerStart, 1), (EventKind::ContainerStop, 0), (EventKind::Drift, 16)]
    );
    assert_eq!(script.known("a", 1).len(), 17);
}

#[test]
fn a_process_that_comes_in_before_the_first_list_waits_for_it() {
    let mut table = TaskTable::default();
    assert!(table.connected().is_empty());
    for (id, pid) in [("a", 7), ("b", 8)] {
        assert!(table.event(exec(id, pid)).is_empty());
    }
    assert_eq!(table.untold()[2], (EventKind::Drift, 2));
    let actions = texts(&table.listed(vec![listed("a", 1, TaskStatus::Running)]));
    assert_eq!(actions, ["look a1", "lost unknown_workload"]);
    let found = workload("n/a", 1);
    assert_eq!(texts(&table.looked_up(&key("a", 1), Some(found))), ["~+a1", "exec a7", "list a1"]);
}
