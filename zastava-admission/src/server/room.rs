//! The memory for bodies that are longer than most.
//!
//! The first 64 KiB of a body need no room: the number of connections bounds them, and nearly all reviews are shorter. The
//! rest is taken as bytes arrive. When it is all taken, a body that is still arriving gives way: the one that has waited
//! longest for its peer's bytes, of the peer with the most such bodies.
//!
//! docs/design/admission.md#who-gives-way-when-the-webhook-is-full

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use super::peer::Peer;

/// The part of each body that needs no room.
pub(super) const FREE_BYTES: usize = 64 << 10;

/// Memory for bodies.
#[derive(Debug)]
pub(super) struct Room {
    bytes_max: usize,
    bodies: Mutex<Bodies>,
    /// Room was given back.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Bodies {
    next: u64,
    held: HashMap<u64, Held>,
}

#[derive(Debug)]
struct Held {
    peer: Peer,
    bytes: usize,
    /// When the last bytes came; `None` when the body is complete, and soon gone.
    arriving: Option<Instant>,
    gives_way: Arc<Notify>,
    has_given_way: bool,
}

/// The room of one body. Dropping it gives the room back.
#[derive(Debug)]
pub(super) struct Share {
    room: Arc<Room>,
    id: u64,
    gives_way: Arc<Notify>,
}

/// What to do about a body that finds no room.
enum Outcome {
    Taken,
    /// Others are about to give room back.
    Wait,
    /// It gives way itself.
    Refused,
}

impl Room {
    pub(super) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, bodies: Mutex::default(), freed: Notify::new() })
    }

    /// A share without room yet.
    pub(super) fn share(self: &Arc<Self>, peer: Peer) -> Share {
        let mut bodies = self.lock();
        let (id, gives_way) = (bodies.next, Arc::<Notify>::default());
        bodies.next += 1;
        let held = Held {
            peer,
            bytes: 0,
            arriving: Some(Instant::now()),
            gives_way: Arc::clone(&gives_way),
            has_given_way: false,
        };
        bodies.held.insert(id, held);
        Share { room: Arc::clone(self), id, gives_way }
    }

    fn try_take(&self, id: u64, bytes: usize) -> Outcome {
        let mut bodies = self.lock();
        let taken: usize = bodies.held.values().map(|held| held.bytes).sum();
        let Some(own) = bodies.held.get_mut(&id) else { return Outcome::Refused };
        own.arriving = Some(Instant::now());
        if taken + bytes <= self.bytes_max {
            own.bytes += bytes;
            return Outcome::Taken;
        }
        if own.has_given_way {
            return Outcome::Refused;
        }
        let is_leaving = |held: &Held| held.bytes > 0 && (held.arriving.is_none() || held.has_given_way);
        if bodies.held.values().any(is_leaving) {
            return Outcome::Wait;
        }
        let arriving = || bodies.held.iter().filter(|(_, held)| held.bytes > 0);
        let mut by_peer: HashMap<Peer, usize> = HashMap::new();
        for (_, held) in arriving() {
            *by_peer.entry(held.peer).or_default() += 1;
        }
        let victim = arriving()
            .max_by_key(|(_, held)| (by_peer[&held.peer], std::cmp::Reverse(held.arriving)))
            .map(|(id, _)| *id);
        match victim.and_then(|victim| bodies.held.get_mut(&victim).map(|held| (victim, held))) {
            Some((victim, held)) if victim != id => {
                held.has_given_way = true;
                held.gives_way.notify_one();
                Outcome::Wait
            }
            // The body does not fit into all the room there is, or it is the one to give way.
            _ => Outcome::Refused,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Bodies> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Takes room for that many bytes more. Returns whether there is any.
    pub(super) async fn take(&self, bytes: usize) -> bool {
        loop {
            let freed = self.room.freed.notified();
            tokio::pin!(freed);
            // From here on no room is given back unnoticed.
            freed.as_mut().enable();
            match self.room.try_take(self.id, bytes) {
                Outcome::Taken => return true,
                Outcome::Refused => return false,
                Outcome::Wait => tokio::select! {
                    () = freed => {}
                    // The body may have to give way itself meanwhile.
                    () = self.gives_way.notified() => return false,
                },
            }
        }
    }

    /// Waits until the body must give way.
    pub(super) async fn gives_way(&self) {
        self.gives_way.notified().await;
    }

    /// Bytes came.
    pub(super) fn has_progressed(&self) {
        if let Some(held) = self.room.lock().held.get_mut(&self.id) {
            held.arriving = Some(Instant::now());
        }
    }

    /// The body is complete, and does not give way any more.
    pub(super) fn is_complete(&self) {
        if let Some(held) = self.room.lock().held.get_mut(&self.id) {
            held.arriving = None;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.lock().held.remove(&self.id);
        self.room.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u8) -> Peer {
        Peer::of(([10, 0, 0, number], 443).into())
    }

    #[tokio::test]
    async fn bodies_of_the_peer_with_the_most_give_way_and_others_find_room() {
        let room = Room::new(100);
        let hoard: Vec<_> = (0..4).map(|_| room.share(peer(1))).collect();
        for share in &hoard {
            assert!(share.take(25).await);
        }
        let other = room.share(peer(2));
        let (taken, ()) = tokio::join!(other.take(30), async {
            // The oldest goes first, and one is not enough.
            for share in hoard {
                share.gives_way().await;
                drop(share);
                if room.lock().held.values().map(|held| held.bytes).sum::<usize>() <= 80 {
                    break;
                }
            }
        });
        assert!(taken);
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused_and_complete_bodies_are_waited_for() {
        let room = Room::new(100);
        let first = room.share(peer(1));
        assert!(first.take(60).await && !first.take(41).await);
        first.is_complete();
        let second = room.share(peer(1));
        let (taken, ()) = tokio::join!(second.take(50), async {
            tokio::task::yield_now().await;
            drop(first);
        });
        assert!(taken);
        // Of two bodies of one peer the one that waits longer for its bytes gives way.
        let third = room.share(peer(1));
        let (taken, ()) = tokio::join!(third.take(60), async {
            second.gives_way().await;
            drop(second);
        });
        assert!(taken);
    }
}
