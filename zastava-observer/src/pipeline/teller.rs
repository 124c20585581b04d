//! Makes the events of planned transitions: inspects what started, and looks again at what runs.

use std::sync::Arc;

use zastava_core::contract::RuntimeEvent;

use crate::event::{Node, add_posture, mark_reconciled};
use crate::inspect::{InspectError, Inspector, Looked, ProcessFacts, Seen};
use crate::posture::{Answer, Postures, WAIT_MAX};
use crate::tracker::{Step, Ticket, Transition};
use crate::workload::{Look, Note};

/// Inspects workloads of this node and makes their events.
#[derive(Debug)]
pub(crate) struct Teller {
    pub(crate) node: Node,
    pub(crate) processes: Inspector,
    pub(crate) postures: Postures,
}

/// What is to be told of a transition.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) events: Vec<Arc<RuntimeEvent>>,
    /// What a later look does not tell again, and the number of that look.
    pub(super) next_look: Option<(usize, Seen)>,
    /// How the image is signed, if that was not known in time.
    pub(super) posture: Option<Answer>,
}

impl Told {
    fn of(event: RuntimeEvent) -> Self {
        Self { events: vec![Arc::new(event)], ..Self::default() }
    }
}

impl Teller {
    /// What is to be told of a planned transition.
    pub(super) async fn tell(self: Arc<Self>, ticket: Ticket, transition: Transition) -> (Ticket, Told) {
        let (workload, at) = (&transition.workload, transition.at);
        let told = match &transition.step {
            Step::Start => self.start(&transition).await,
            Step::Stop { exit_status } => {
                let mut stop = self.node.stop_event(workload, at, *exit_status);
                mark_reconciled(&mut stop, &transition);
                Told::of(stop)
            }
            Step::Noted(Note::Look(look)) => self.look(&transition, look).await,
            Step::Noted(Note::Exec(exec)) => {
                let found = self.processes.inspect_exec(workload, exec.pid).await;
                Told::of(self.node.exec_event(workload, exec, found.as_ref()))
            }
            Step::Noted(Note::Posture(known)) => {
                self.node.posture_event(workload, at, known).map_or_else(Told::default, Told::of)
            }
        };
        (ticket, told)
    }

    /// A start may have found files that drifted.
    async fn start(&self, transition: &Transition) -> Told {
        let (workload, at) = (&transition.workload, transition.at);
        let asked = self.postures.look_up(workload);
        // The wait for Scanner is no longer than that for libraries may be.
        let known = async { tokio::time::timeout(WAIT_MAX, asked.clone()?).await.ok() };
        let (found, known) = tokio::join!(self.processes.inspect(workload), known);
        let mut start = self.node.start_event(workload, at, found.as_ref());
        if let Some(prepared) = &workload.prepared {
            Node::add_prepared(&mut start, prepared);
        }
        mark_reconciled(&mut start, transition);
        if let Some(known) = &known {
            add_posture(&mut start, known);
        }
        let posture = asked.filter(|_| known.is_none());
        let next_look = Some((0, found.as_ref().map_or_else(|_| Seen::nothing(), Seen::of)));
        let drift = found.ok().and_then(|facts| self.drift(transition, &facts));
        let events = std::iter::once(start).chain(drift).map(Arc::new).collect();
        Told { events, next_look, posture }
    }

    /// A look at a process that has ended tells nothing; its stop will be told.
    async fn look(&self, transition: &Transition, look: &Look) -> Told {
        let found = self.processes.look_again(&transition.workload, &look.seen).await;
        let next_look = next_look(look, found.as_ref());
        let Looked { main, drifted, .. } = found.unwrap_or_default();
        let later = main.map(|main| self.node.later_event(&transition.workload, transition.at, &main));
        let drift = drifted.iter().filter_map(|facts| self.drift(transition, facts));
        let events = later.into_iter().chain(drift).map(Arc::new).collect();
        Told { events, next_look, posture: None }
    }

    fn drift(&self, transition: &Transition, facts: &ProcessFacts) -> Option<RuntimeEvent> {
        self.node.drift_event(&transition.workload, transition.at, facts)
    }
}

/// A process that could not be read is looked at once more, unless it is gone.
fn next_look(look: &Look, found: Result<&Looked, &InspectError>) -> Option<(usize, Seen)> {
    let seen = match found {
        Ok(looked) => looked.seen.clone(),
        Err(InspectError::Ended | InspectError::Reused) => return None,
        Err(_) => look.seen.as_ref().clone(),
    };
    Some((look.number + 1, seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_failed_is_followed_by_the_next_while_the_process_runs() {
        let look = Look { number: 0, seen: Arc::new(Seen::nothing()) };
        let number =
            |found: Result<&Looked, &InspectError>| next_look(&look, found).map(|(number, _)| number);
        assert_eq!(number(Ok(&Looked::default())), Some(1));
        for (error, wanted) in [
            (InspectError::NotInTime, Some(1)),
            (InspectError::OtherCgroup, Some(1)),
            (InspectError::Ended, None),
            (InspectError::Reused, None),
        ] {
            assert_eq!(number(Err(&error)), wanted, "{error}");
        }
        // What was told before is not told again.
        let next = next_look(&look, Err(&InspectError::NotInTime));
        assert_eq!(next.map(|(_, seen)| seen), Some(Seen::nothing()));
    }
}
