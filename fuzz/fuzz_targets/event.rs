//! Runtime events and policy answers from foreign bytes: no panic, and what reads also writes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zastava_core::contract::{KindStyle, PolicyResponse, RuntimeEventEnvelope, declared_hash};

fuzz_target!(|data: &[u8]| {
    if let Ok(envelope) = serde_json::from_slice::<RuntimeEventEnvelope>(data) {
        let written = envelope.encode(KindStyle::Pascal).expect("what was read can be written");
        let again: RuntimeEventEnvelope =
            serde_json::from_slice(&written).expect("what was written can be read");
        assert_eq!(again, envelope);
        declared_hash(&envelope).expect("an event holds no floating-point number");
    }
    if let Ok(answer) = serde_json::from_slice::<PolicyResponse>(data) {
        for name in answer.results.keys() {
            assert!(answer.result(name, None).is_some());
        }
    }
});
