//! Views into a buffer that only the simulation needs.

use std::collections::BTreeMap;

use crate::lane::Lane;
use crate::producer::Producer;

impl Producer {
    pub(super) fn is_worker_idle(&self) -> bool {
        self.handle.shared.update(|queue| !queue.has_work)
    }

    pub(super) fn check_lanes(&self) {
        self.handle.shared.update(|queue| queue.lanes.iter().for_each(Lane::check));
    }

    pub(super) fn safe_through(&self) -> Vec<u64> {
        self.handle.shared.update(|queue| queue.lanes.iter().map(|lane| lane.on_disk).collect())
    }

    pub(super) fn last_numbers(&self) -> BTreeMap<u8, u64> {
        let last = |(class, lane): (usize, &Lane)| (class as u8, lane.next_seq - 1);
        self.handle.shared.update(|queue| queue.lanes.iter().enumerate().map(last).collect())
    }
}
