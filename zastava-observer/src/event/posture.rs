//! How an image is signed, in the events of its workloads.

use zastava_core::clock::Timestamp;
use zastava_core::contract::{EventKind, Evidence, Posture, RuntimeEvent};
use zastava_core::vocabulary::Signal;

use super::Node;
use crate::posture::Known;
use crate::text::bounded;
use crate::workload::Workload;

impl Node {
    /// The event of a posture that was not known when the start was told; `None` if Scanner knows nothing of the image.
    pub(crate) fn posture_event(
        &self,
        workload: &Workload,
        at: Timestamp,
        known: &Known,
    ) -> Option<RuntimeEvent> {
        let mut event = self.event(EventKind::AttestationStatus, workload, at);
        add_posture(&mut event, known);
        let said = serde_json::to_string(event.posture.as_ref()?).unwrap_or_default();
        let discriminator = format!("{}\0{said}", self.run(workload));
        event.event_id = self.id(workload, EventKind::AttestationStatus, &discriminator);
        Some(event)
    }
}

/// Adds what is known, or the reason why it is not.
pub(crate) fn add_posture(event: &mut RuntimeEvent, known: &Known) {
    let (posture, reason) = match known {
        Known::Now(posture) => (Some(posture), None),
        Known::Earlier(posture, reason) => (Some(posture), Some(format!("an earlier answer: {reason}"))),
        Known::Nothing(reason) => (None, Some(reason.clone())),
    };
    event.posture = posture.filter(|posture| **posture != Posture::default()).cloned();
    event.evidence.extend(reason.map(|reason| Evidence::new(Signal::ScannerPolicy, bounded(&reason))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::node;
    use crate::workload::tests::workload;

    #[test]
    fn a_posture_is_told_once_for_a_run_and_what_is_said() {
        let (node, known) = (node("b"), workload("a", 7));
        let posture = |signed| Posture { image_signed: Some(signed), ..Posture::default() };
        let tell = |of: &Workload, known: &Known| node.posture_event(of, Timestamp::now(), known);
        let event = tell(&known, &Known::Now(posture(true))).expect("is told");
        assert_eq!((event.kind, &event.posture), (EventKind::AttestationStatus, &Some(posture(true))));
        let earlier = tell(&known, &Known::Earlier(posture(true), "gone".to_owned())).expect("is told");
        assert_eq!(earlier.event_id, event.event_id);
        assert_eq!(earlier.evidence, [Evidence::new(Signal::ScannerPolicy, "an earlier answer: gone")]);
        for (of, said) in [(&known, false), (&workload("a", 8), true)] {
            assert_ne!(tell(of, &Known::Now(posture(said))).expect("is told").event_id, event.event_id);
        }
        assert_eq!(tell(&known, &Known::Now(Posture::default())), None);
        assert_eq!(tell(&known, &Known::Nothing("gone".to_owned())), None);
    }
}
