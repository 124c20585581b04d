//! Arbitrary bytes as an AdmissionReview: no panic, and what can be answered has a uid.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_admission::{Review, ReviewObject};

fuzz_target!(|body: &[u8]| {
    let Ok(review) = Review::parse(body) else { return };
    assert!(!review.uid().is_empty());
    if let ReviewObject::Pod(pod) | ReviewObject::Unchanged(pod) = review.object() {
        let _ = pod.digest();
        for image in pod.images() {
            assert!(image.reference.len() <= body.len());
        }
    }
});
