//! The events that the sandbox's Scanner accepted, their ids, and build-ids by image.

use std::collections::{HashMap, HashSet, VecDeque};

use zastava_core::contract::RuntimeEventEnvelope;
use zastava_core::image::{Digest, ImageReference};

/// Ids remembered for each event that is kept.
const IDS_PER_EVENT_KEPT: usize = 10;
/// The kept events as JSON, in bytes.
const EVENT_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Images whose build-ids are remembered.
const IMAGES_MAX: usize = 10_000;
/// Build-ids remembered for one image.
const BUILD_IDS_MAX: usize = 16;

#[derive(Debug)]
pub(crate) struct ReceivedEvents {
    kept_max: usize,
    events: VecDeque<RuntimeEventEnvelope>,
    sizes: VecDeque<usize>,
    bytes: usize,
    /// Hashes of ids, since an id may be as long as a batch.
    ids: HashSet<Digest>,
    ids_in_order: VecDeque<Digest>,
    build_ids: HashMap<Digest, VecDeque<String>>,
    images_in_order: VecDeque<Digest>,
}

impl ReceivedEvents {
    pub(crate) fn new(kept_max: usize) -> Self {
        Self {
            kept_max,
            events: VecDeque::new(),
            sizes: VecDeque::new(),
            bytes: 0,
            ids: HashSet::new(),
            ids_in_order: VecDeque::new(),
            build_ids: HashMap::new(),
            images_in_order: VecDeque::new(),
        }
    }

    /// Takes an event of `size` bytes, and returns whether it is new.
    pub(crate) fn accept(&mut self, envelope: RuntimeEventEnvelope, size: usize) -> bool {
        let id = Digest::of(envelope.event.event_id.as_bytes());
        if !self.ids.insert(id) {
            return false;
        }
        self.ids_in_order.push_back(id);
        if self.ids_in_order.len() > self.kept_max.saturating_mul(IDS_PER_EVENT_KEPT)
            && let Some(oldest) = self.ids_in_order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        self.remember_build_id(&envelope);
        self.events.push_back(envelope);
        self.sizes.push_back(size);
        self.bytes += size;
        while self.events.len() > self.kept_max || self.bytes > EVENT_BYTES_MAX {
            self.events.pop_front();
            self.bytes -= self.sizes.pop_front().unwrap_or(self.bytes);
        }
        true
    }

    /// The events kept, oldest first.
    pub(crate) fn events(&mut self) -> &[RuntimeEventEnvelope] {
        self.events.make_contiguous()
    }

    /// Build-ids seen for an image, most recent first.
    pub(crate) fn build_ids(&self, image: Digest) -> Vec<String> {
        self.build_ids.get(&image).map(|ids| ids.iter().cloned().collect()).unwrap_or_default()
    }

    fn remember_build_id(&mut self, envelope: &RuntimeEventEnvelope) {
        let event = &envelope.event;
        let image = event.workload.image_ref.as_deref().and_then(|text| text.parse::<ImageReference>().ok());
        let build_id = event.process.as_ref().and_then(|process| process.build_id.clone());
        let (Some(digest), Some(build_id)) = (image.and_then(|image| image.digest()), build_id) else {
            return;
        };
        if !self.build_ids.contains_key(&digest) {
            self.images_in_order.push_back(digest);
            if self.images_in_order.len() > IMAGES_MAX
                && let Some(oldest) = self.images_in_order.pop_front()
            {
                self.build_ids.remove(&oldest);
            }
        }
        let seen = self.build_ids.entry(digest).or_default();
        seen.retain(|known| *known != build_id);
        seen.push_front(build_id);
        seen.truncate(BUILD_IDS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: usize, build_id: &str) -> RuntimeEventEnvelope {
        let text = format!(
            r#"{{"schemaVersion": "zastava.runtime.event@v1.0", "event": {{"eventId": "{id}",
                "when": "2026-11-23T12:34:56Z", "kind": "ContainerStart", "tenant": "t", "node": "n",
                "runtime": {{"engine": "host"}}, "process": {{"pid": 1, "buildId": "{build_id}"}},
                "workload": {{"platform": "vm", "imageRef": "r.example/a@sha256:{}"}}}}}}"#,
            "1".repeat(64)
        );
        serde_json::from_str(&text).expect("is an event")
    }

    #[test]
    fn the_oldest_event_is_forgotten_and_its_id_is_not() {
        let mut received = ReceivedEvents::new(2);
        assert!((0..5).all(|id| received.accept(event(id, "aa"), 10)));
        let kept: Vec<_> = received.events().iter().map(|kept| kept.event.event_id.as_str()).collect();
        assert_eq!(kept, ["3", "4"]);
        assert!(!received.accept(event(0, "aa"), 10), "still a duplicate");
        assert!((5..21).all(|id| received.accept(event(id, "aa"), 10)));
        assert!(received.accept(event(0, "aa"), 10), "twenty ids later the first is forgotten");
        assert_eq!(received.ids.len(), 20);
    }

    #[test]
    fn events_are_bounded_by_bytes_too() {
        let mut received = ReceivedEvents::new(100);
        assert!((0..3).all(|id| received.accept(event(id, "aa"), EVENT_BYTES_MAX / 2)));
        assert_eq!(received.events().len(), 2);
    }

    #[test]
    fn build_ids_are_most_recent_first_and_bounded() {
        let mut received = ReceivedEvents::new(100);
        for (id, build_id) in ["aa", "bb", "aa"].into_iter().enumerate() {
            received.accept(event(id, build_id), 1);
        }
        let image = Digest::from_bytes([0x11; 32]);
        assert_eq!(received.build_ids(image), ["aa", "bb"]);
        for id in 0..2 * BUILD_IDS_MAX {
            received.accept(event(100 + id, &format!("{id:02x}")), 1);
        }
        assert_eq!(received.build_ids(image).len(), BUILD_IDS_MAX);
        assert_eq!(received.build_ids(Digest::from_bytes([0x22; 32])), Vec::<String>::new());
    }
}
