//! Which connections are kept when there are too many.
//!
//! A new connection always finds a place while another only waits for its peer. The one that gives way belongs to the peer
//! that has the most, so that a peer that hoards connections takes them from itself.
//!
//! docs/design/admission.md#who-gives-way-when-the-webhook-is-full

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::peer::Peer;

/// How long a connection may be in a phase. API servers close idle connections after 90 s; with a longer time here, no
/// request meets a connection that is just being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(100);
/// For a handshake, and again for the head of a request.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// The webhook's own work: such a connection never gives way.
    Answering,
    /// The rest of a body.
    Body,
    /// The rest of a handshake, or of the head of a request.
    Head,
    /// The next request.
    Idle,
}

/// The places for connections.
#[derive(Debug)]
pub(super) struct Slots {
    connections_max: usize,
    /// No peer has more, so that others find a place even when none gives way.
    peer_max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    slots: HashMap<u64, Arc<State>>,
}

/// The place of one connection. Dropping it gives the place back.
#[derive(Debug)]
pub(super) struct Slot {
    id: u64,
    slots: Arc<Slots>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    peer: Peer,
    now: Mutex<(Phase, Instant)>,
    gives_way: Notify,
}

impl Slots {
    pub(super) fn new(connections_max: usize) -> Arc<Self> {
        let peer_max = (connections_max - connections_max / 4).max(1);
        Arc::new(Self { connections_max, peer_max, open: Mutex::default() })
    }

    /// A place for a connection of `peer`. `None` when all are taken by connections that do not give way.
    pub(super) fn take(self: &Arc<Self>, peer: Peer, now: Instant) -> Option<Slot> {
        let mut open = self.lock();
        self.make_room(&mut open, peer)?;
        let state = Arc::new(State { peer, now: Mutex::new((Phase::Head, now)), gives_way: Notify::new() });
        let id = open.next;
        open.next += 1;
        open.slots.insert(id, Arc::clone(&state));
        Some(Slot { id, slots: Arc::clone(self), state })
    }

    /// Takes a place from a connection, if the new one needs that.
    fn make_room(&self, open: &mut Open, peer: Peer) -> Option<()> {
        if open.slots.len() < self.peer_max {
            return Some(());
        }
        let mut counts: HashMap<Peer, usize> = HashMap::new();
        for state in open.slots.values() {
            *counts.entry(state.peer).or_default() += 1;
        }
        let own = counts.get(&peer).copied().unwrap_or_default();
        let peer_is_full = own >= self.peer_max;
        if !peer_is_full && open.slots.len() < self.connections_max {
            return Some(());
        }
        let candidates = open.slots.iter().filter_map(|(id, state)| {
            let (phase, since) = state.now();
            let count = counts[&state.peer];
            let may_be_asked = match phase {
                Phase::Answering => false,
                _ if peer_is_full => state.peer == peer,
                Phase::Idle => true,
                Phase::Body | Phase::Head => count > own || state.peer == peer,
            };
            may_be_asked.then_some(((count, phase, std::cmp::Reverse(since)), *id))
        });
        let (_, id) = candidates.max()?;
        // Its place is free at once. The connection ends a moment later.
        open.slots.remove(&id)?.gives_way.notify_one();
        Some(())
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn now(&self) -> (Phase, Instant) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    pub(super) fn peer(&self) -> Peer {
        self.state.peer
    }

    /// The phase, and since when.
    pub(super) fn phase(&self) -> (Phase, Instant) {
        self.state.now()
    }

    /// A phase begins, or the peer has just done its part in it.
    pub(super) fn enter(&self, phase: Phase) {
        *self.state.now.lock().unwrap_or_else(PoisonError::into_inner) = (phase, Instant::now());
    }

    /// Bytes arrived: on an idle connection they begin a request.
    pub(super) fn has_read(&self) {
        let mut now = self.state.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.0 == Phase::Idle {
            *now = (Phase::Head, Instant::now());
        }
    }

    /// Whether the peer has taken longer than it may. Bodies have a deadline of their own.
    pub(super) fn is_overdue(&self, at: Instant) -> bool {
        let (phase, since) = self.state.now();
        let limit = match phase {
            Phase::Head => HEAD_TIMEOUT,
            Phase::Idle => IDLE_TIMEOUT,
            Phase::Body | Phase::Answering => return false,
        };
        at.saturating_duration_since(since) > limit
    }

    /// Waits until the connection must give way.
    pub(super) async fn gives_way(&self) {
        self.state.gives_way.notified().await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.lock().slots.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u8) -> Peer {
        Peer::of(([10, 0, 0, number], 443).into())
    }

    /// Full of connections, one a line: peer, phase, and age. Returns the index of the one that gives way to peer 9, 0 for
    /// none.
    fn gives_way(max: usize, connections: &[(u8, Phase, u64)], to: u8) -> Option<usize> {
        let slots = Slots::new(max);
        let now = Instant::now();
        let held: Vec<_> = connections
            .iter()
            .map(|(number, phase, age)| {
                let slot = slots.take(peer(*number), now).expect("not full yet");
                *slot.state.now.lock().unwrap() = (*phase, now - Duration::from_secs(*age));
                slot
            })
            .collect();
        let taken = slots.take(peer(to), now)?;
        let left: Vec<_> = slots.lock().slots.keys().copied().collect();
        drop(taken);
        held.iter().position(|slot| !left.contains(&slot.id)).or(Some(usize::MAX))
    }

    #[test]
    fn the_oldest_idle_connection_of_the_largest_peer_gives_way() {
        use Phase::{Answering, Body, Head, Idle};
        const NOBODY: usize = usize::MAX;
        for (connections, to, expected) in [
            (&[(1, Idle, 1), (1, Idle, 2), (2, Idle, 9)][..], 9, Some(NOBODY)),
            (&[(1, Idle, 1), (1, Idle, 2), (1, Idle, 3), (2, Idle, 9)], 9, Some(2)),
            (&[(1, Body, 9), (1, Idle, 2), (1, Head, 9), (2, Idle, 9)], 9, Some(1)),
            (&[(1, Body, 9), (1, Body, 3), (1, Head, 1), (2, Idle, 9)], 9, Some(2)),
            (&[(1, Body, 9), (1, Body, 3), (1, Answering, 1), (2, Idle, 9)], 9, Some(0)),
            (&[(1, Answering, 9), (1, Answering, 3), (1, Answering, 1), (2, Idle, 9)], 9, Some(3)),
            (&[(1, Answering, 9), (1, Answering, 3), (1, Answering, 1), (2, Answering, 9)], 9, None),
            // Who has no more than the newcomer keeps what is in use.
            (&[(1, Body, 9), (2, Body, 9), (3, Body, 9), (4, Idle, 1)], 9, Some(3)),
            (&[(1, Body, 9), (2, Body, 9), (3, Body, 9), (9, Body, 1)], 9, Some(3)),
            // Three quarters of the places are the most that one peer has: it takes from itself.
            (&[(1, Body, 1), (1, Body, 3), (1, Head, 1), (2, Idle, 9)], 1, Some(2)),
            (&[(1, Body, 1), (1, Body, 3), (1, Body, 2)], 1, Some(1)),
            (&[(1, Answering, 1), (1, Answering, 3), (1, Answering, 2)], 1, None),
        ] {
            assert_eq!(gives_way(4, connections, to), expected, "{connections:?} to {to}");
        }
    }

    #[test]
    fn a_place_is_given_back_once() {
        let slots = Slots::new(1);
        let first = slots.take(peer(1), Instant::now()).unwrap();
        let second = slots.take(peer(2), Instant::now()).expect("the first gives way");
        drop(first);
        assert_eq!(slots.lock().slots.len(), 1);
        drop(second);
        assert_eq!(slots.lock().slots.len(), 0);
    }
}
