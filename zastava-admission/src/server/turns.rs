//! Whose review is read next, when many long ones wait.
//!
//! Reading takes a processor, for a hostile body longer than for others. So the turn goes to the peer that had none for the
//! longest time, and of that peer's bodies to the shortest. Of the bodies that are read at once one at most is very long, so that
//! whoever sends such bodies, from however many hosts, leaves a thread to the others.
//!
//! docs/design/admission.md#who-gives-way-when-the-webhook-is-full

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::peer::Peer;

/// Bodies that are read at once. Reading may take three times the memory of a hostile body.
const READS_MAX: usize = 2;
/// Real reviews are shorter, but for those of objects near the limits of etcd.
const LONG_BYTES: usize = 4 << 20;
/// Peers of which is known when they had a turn.
const PEERS_MAX: usize = 256;

/// The turns of reading.
#[derive(Debug, Default)]
pub(super) struct Turns {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    reading: HashMap<u64, Body>,
    waiting: HashMap<u64, (Body, oneshot::Sender<()>)>,
    /// When each peer had its last turn, by the number of the turn.
    served: HashMap<Peer, u64>,
}

#[derive(Clone, Copy, Debug)]
struct Body {
    peer: Peer,
    bytes: usize,
}

/// A place in the queue, or a turn. Dropping it lets the next one in.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    id: u64,
}

impl Turns {
    /// Waits for the turn of a body. Nothing is kept when the caller stops waiting.
    pub(super) async fn take(self: &Arc<Self>, peer: Peer, bytes: usize) -> Turn {
        let (comes, come) = oneshot::channel();
        let turn = {
            let mut state = self.lock();
            let id = state.next;
            state.next += 1;
            state.waiting.insert(id, (Body { peer, bytes }, comes));
            state.let_in();
            Turn { turns: Arc::clone(self), id }
        };
        // The sender is gone only when its message has been sent.
        let _ = come.await;
        turn
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn let_in(&mut self) {
        while let Some(id) = self.choose() {
            let Some((body, comes)) = self.waiting.remove(&id) else { return };
            self.reading.insert(id, body);
            self.next += 1;
            self.served.insert(body.peer, self.next);
            if self.served.len() > PEERS_MAX
                && let Some(peer) = self.served.iter().min_by_key(|(_, turn)| **turn).map(|(peer, _)| *peer)
            {
                self.served.remove(&peer);
            }
            // Who waits no longer drops the turn at once.
            let _ = comes.send(());
        }
    }

    /// The body whose turn it is, if there is a place for it.
    fn choose(&self) -> Option<u64> {
        if self.reading.len() >= READS_MAX {
            return None;
        }
        let is_long = |body: &Body| body.bytes > LONG_BYTES;
        let reads_long = self.reading.values().any(is_long);
        let readable = self.waiting.iter().filter(|(_, (body, _))| !(reads_long && is_long(body)));
        let reading = |peer| self.reading.values().filter(|body| body.peer == peer).count();
        let key = |id: u64, body: &Body| {
            (reading(body.peer), self.served.get(&body.peer).copied().unwrap_or_default(), body.bytes, id)
        };
        readable.min_by_key(|(id, (body, _))| key(**id, body)).map(|(id, _)| *id)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.turns.lock();
        state.waiting.remove(&self.id);
        if state.reading.remove(&self.id).is_some() {
            state.let_in();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: usize = 100 << 10;
    const LONG: usize = 30 << 20;

    fn peer(number: u8) -> Peer {
        Peer::of(([10, 0, 0, number], 443).into())
    }

    /// Lets the bodies wait in that order, and gives their turns back one by one. Returns the order of the turns.
    async fn order(bodies: &[(u8, usize)]) -> Vec<usize> {
        let turns = Arc::<Turns>::default();
        let (sender, mut order) = tokio::sync::mpsc::unbounded_channel();
        for (index, (number, bytes)) in bodies.iter().enumerate() {
            let (turns, sender) = (Arc::clone(&turns), sender.clone());
            let (number, bytes) = (*number, *bytes);
            tokio::spawn(async move {
                let turn = turns.take(peer(number), bytes).await;
                sender.send((index, turn)).unwrap();
            });
            // Its place in the queue is taken before the next one comes.
            tokio::task::yield_now().await;
        }
        drop(sender);
        let (mut found, mut held) = (Vec::new(), std::collections::VecDeque::new());
        while found.len() < bodies.len() {
            while let Ok((index, turn)) = order.try_recv() {
                found.push(index);
                held.push_back(turn);
            }
            assert!(held.len() <= READS_MAX);
            held.pop_front();
            tokio::task::yield_now().await;
        }
        found
    }

    #[tokio::test]
    async fn the_peer_that_waited_longest_is_next_with_its_shortest_body() {
        for (bodies, expected) in [
            (&[(1, SHORT), (1, SHORT), (1, SHORT)][..], &[0, 1, 2][..]),
            // Whoever comes after the many bodies of another does not wait for them.
            (&[(1, SHORT), (1, SHORT), (1, SHORT), (1, SHORT), (2, SHORT)], &[0, 1, 4, 2, 3]),
            (&[(1, SHORT), (1, SHORT), (1, SHORT + 1), (1, SHORT), (2, LONG)], &[0, 1, 4, 3, 2]),
            // Long ones, of however many peers, leave a place to others.
            (&[(1, LONG), (2, LONG), (3, LONG), (4, SHORT)], &[0, 3, 1, 2]),
            (&[(1, LONG), (2, LONG), (2, SHORT), (1, SHORT)], &[0, 2, 3, 1]),
        ] {
            assert_eq!(order(bodies).await, expected, "{bodies:?}");
        }
    }

    #[tokio::test]
    async fn who_waits_no_longer_takes_no_turn() {
        let turns = Arc::<Turns>::default();
        let held = [turns.take(peer(1), SHORT).await, turns.take(peer(1), SHORT).await];
        let waiting = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move { turns.take(peer(2), SHORT).await }
        });
        while turns.lock().waiting.is_empty() {
            tokio::task::yield_now().await;
        }
        waiting.abort();
        assert!(waiting.await.is_err());
        assert!(turns.lock().waiting.is_empty());
        drop(held);
        drop(turns.take(peer(3), SHORT).await);
        assert!(turns.lock().reading.is_empty());
    }

    #[test]
    fn what_is_remembered_of_peers_is_bounded() {
        let mut state = State::default();
        for number in 0..=255 {
            for net in 0..2 {
                let peer = Peer::of(([10, 0, net, number], 443).into());
                state.waiting.insert(state.next, (Body { peer, bytes: 1 }, oneshot::channel().0));
                state.let_in();
                state.reading.clear();
            }
        }
        assert_eq!(state.served.len(), PEERS_MAX);
    }
}
