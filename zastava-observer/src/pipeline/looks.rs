//! When workloads are looked at again. Pure.
//!
//! A program loads plug-ins and is replaced on disk after its start. So each workload is looked at twice more; what happens
//! after that is not seen.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::inspect::Seen;
use crate::workload::{Change, Look, Note, Noted};

/// How many looks there are after the first inspection.
pub(super) const LOOKS: usize = 2;

/// The looks that are due. A workload that runs has one at a time.
#[derive(Debug)]
pub(super) struct Looks {
    /// How long after the start, or after the look before; zero means that there are no more.
    after: [Duration; LOOKS],
    due: BTreeSet<(Instant, Noted)>,
    of: HashMap<Noted, (Instant, Look)>,
}

impl Looks {
    pub(super) fn new(after: [Duration; LOOKS]) -> Self {
        Self { after, due: BTreeSet::new(), of: HashMap::new() }
    }

    /// `seen` was told of the workload, at its start or after so many looks.
    pub(super) fn told(&mut self, run: Noted, looks: usize, seen: Seen, now: Instant) {
        let after = self.after.get(looks).copied().unwrap_or_default();
        if !after.is_zero() {
            let look = Look { number: looks, seen: Arc::new(seen) };
            self.due.insert((now + after, run.clone()));
            self.of.insert(run, (now + after, look));
        }
    }

    /// It stopped.
    pub(super) fn stopped(&mut self, run: &Noted) {
        if let Some((at, _)) = self.of.remove(run) {
            self.due.remove(&(at, run.clone()));
        }
    }

    /// When the next look is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The look that is due. It is not due again: a workload that is not followed any longer is forgotten so.
    pub(super) fn next(&mut self) -> Option<Change> {
        let (_, run) = self.due.pop_first()?;
        let (_, look) = self.of.remove(&run)?;
        Some(Change::Noted(run, Note::Look(look)))
    }
}

#[cfg(test)]
mod tests {
    use zastava_core::vocabulary::Engine;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn run(key: &str) -> Noted {
        Noted { engine: Engine::Containerd, key: key.to_owned(), pid: Some(7) }
    }

    fn next(looks: &mut Looks) -> Option<Noted> {
        match looks.next()? {
            Change::Noted(run, Note::Look(_)) => Some(run),
            other => panic!("{other:?} is no look"),
        }
    }

    #[test]
    fn each_workload_is_looked_at_twice_in_the_order_of_time() {
        let (mut looks, start) = (Looks::new([2 * SECOND, 5 * SECOND]), Instant::now());
        looks.told(run("a"), 0, Seen::default(), start);
        looks.told(run("b"), 0, Seen::default(), start + SECOND);
        assert_eq!((looks.due(), next(&mut looks)), (Some(start + 2 * SECOND), Some(run("a"))));
        looks.told(run("a"), 1, Seen::default(), start + 2 * SECOND);
        assert_eq!(next(&mut looks), Some(run("b")));
        looks.told(run("b"), 1, Seen::default(), start + 3 * SECOND);
        assert_eq!((looks.due(), next(&mut looks)), (Some(start + 7 * SECOND), Some(run("a"))));
        looks.told(run("a"), 2, Seen::default(), start + 7 * SECOND);
        assert_eq!(next(&mut looks), Some(run("b")));
        looks.told(run("b"), 2, Seen::default(), start + 8 * SECOND);
        assert_eq!((looks.due(), looks.of.len()), (None, 0));
    }

    #[test]
    fn what_has_stopped_is_not_looked_at_again() {
        let (mut looks, start) = (Looks::new([SECOND, SECOND]), Instant::now());
        looks.told(run("a"), 0, Seen::default(), start);
        looks.stopped(&run("a"));
        assert_eq!((looks.due(), looks.of.len()), (None, 0));
        looks.told(run("b"), 0, Seen::default(), start);
        assert_eq!(next(&mut looks), Some(run("b")));
        assert_eq!((looks.due(), looks.of.len()), (None, 0));
    }

    #[test]
    fn zero_means_no_look() {
        let mut looks = Looks::new([SECOND, Duration::ZERO]);
        looks.told(run("a"), 0, Seen::default(), Instant::now());
        assert_eq!(next(&mut looks), Some(run("a")));
        looks.told(run("a"), 1, Seen::default(), Instant::now());
        assert_eq!(looks.due(), None);
        let mut none = Looks::new([Duration::ZERO; LOOKS]);
        none.told(run("a"), 0, Seen::default(), Instant::now());
        assert_eq!(none.due(), None);
    }
}
