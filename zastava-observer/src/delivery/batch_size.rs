//! How many events go into a batch.

/// After a batch that was too large, so many good ones let batches grow by one event.
const GOOD_BATCHES_TO_GROW: u32 = 4;

/// The configured number of events, and fewer after Scanner found a batch too large.
#[derive(Debug)]
pub(super) struct BatchSize {
    now: usize,
    max: usize,
    good: u32,
}

impl BatchSize {
    pub(super) fn new(max: usize) -> Self {
        Self { now: max, max, good: 0 }
    }

    pub(super) fn now(&self) -> usize {
        self.now
    }

    /// A batch of `count` events was too large.
    pub(super) fn refused(&mut self, count: usize) {
        self.now = self.now.min(count / 2).max(1);
        self.good = 0;
    }

    /// Scanner took a batch.
    pub(super) fn taken(&mut self) {
        self.good += 1;
        if self.good >= GOOD_BATCHES_TO_GROW {
            self.good = 0;
            self.now = self.max.min(self.now + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_shrink_at_once_and_grow_slowly() {
        let mut size = BatchSize::new(32);
        size.refused(32);
        assert_eq!(size.now(), 16);
        size.refused(1);
        assert_eq!(size.now(), 1);
        (0..GOOD_BATCHES_TO_GROW).for_each(|_| size.taken());
        assert_eq!(size.now(), 2);
        (0..1000).for_each(|_| size.taken());
        assert_eq!(size.now(), 32);
    }
}
