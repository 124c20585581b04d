//! Makes the events of planned transitions: inspects what started, and looks again at what runs.

use std::sync::Arc;

use zastava_core::contract::RuntimeEvent;

use crate::event::{Node, add_posture, mark_reconciled};
use crate::inspect::{Inspector, Looked, ProcessFacts, Seen};
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
        let Ok(Looked { main, drifted, seen }) = found else { return Told::default() };
        let later = main.map(|main| self.node.later_event(&transition.workload, transition.at, &main));
        let drift = drifted.iter().filter_map(|facts| self.drift(transition, facts));
        let events = later.into_iter().chain(drift).map(Arc::new).collect();
        Told { events, next_look: Some((look.number + 1, seen)), posture: None }
    }

    fn drift(&self, transition: &Transition, facts: &ProcessFacts) -> Option<RuntimeEvent> {
        self.node.drift_event(&transition.workload, transition.at, facts)
    }
}
