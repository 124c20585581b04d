//! Events that the disk refuses for the time being.

use std::collections::VecDeque;

use zastava_core::contract::EventKind;

use super::{Batch, Receipt, Waiting};

/// A bounded queue; the oldest event goes first.
#[derive(Debug)]
pub(super) struct Memory {
    events: VecDeque<(u64, EventKind, Vec<u8>)>,
    next: u64,
    max: usize,
    /// A batch of these events is on its way: they must not also go to disk.
    in_flight: bool,
}

impl Memory {
    pub(super) fn new(max: usize) -> Self {
        Self { events: VecDeque::new(), next: 1, max, in_flight: false }
    }

    pub(super) fn len(&self) -> u64 {
        self.events.len() as u64
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Takes an event; the kind of the oldest one, when that had to go.
    pub(super) fn push(&mut self, kind: EventKind, json: Vec<u8>) -> Option<EventKind> {
        let dropped = if self.events.len() >= self.max { self.events.pop_front() } else { None };
        self.events.push_back((self.next, kind, json));
        self.next += 1;
        dropped.map(|(_, kind, _)| kind)
    }

    /// The oldest event, unless it is on its way.
    pub(super) fn first_at_rest(&self) -> Option<(EventKind, &[u8])> {
        let first = self.events.front().filter(|_| !self.in_flight);
        first.map(|(_, kind, json)| (*kind, &json[..]))
    }

    pub(super) fn forget_first(&mut self) {
        self.events.pop_front();
    }

    /// The oldest events, which are on their way from now on.
    pub(super) fn batch(&mut self, events_max: usize, bytes_max: usize) -> Batch {
        let mut batch = Batch::default();
        let mut bytes = 0;
        for (number, kind, json) in self.events.iter().take(events_max) {
            bytes += json.len();
            if bytes > bytes_max && !batch.events.is_empty() {
                break;
            }
            let receipt = Receipt::Memory(*number);
            batch.events.push(Waiting { kind: Some(*kind), json: json.clone(), receipt });
            batch.last = Some(receipt);
        }
        self.in_flight = !batch.is_empty();
        batch
    }

    /// The batch is done with.
    pub(super) fn release(&mut self) {
        self.in_flight = false;
    }

    /// Forgets the events up to this one; how many of them were still there.
    pub(super) fn forget_through(&mut self, number: u64) -> u64 {
        let before = self.events.len();
        self.events.retain(|(waiting, ..)| *waiting > number);
        (before - self.events.len()) as u64
    }
}
