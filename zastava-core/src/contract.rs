//! What crosses the wire, to the letter.
//!
//! Reading is tolerant: unknown fields are ignored, alternative spellings accepted. Writing is
//! strict: fields in the declared order, nulls and empty collections left out.

mod canonical;
mod decision;
mod event;
mod policy;
mod version;

pub use canonical::{CanonicalError, canonical_digest, declared_hash};
pub use decision::{
    AdmissionDecision, AdmissionDecisionEnvelope, Decision, ImageDecision, PolicyVerdict, Rekor,
};
pub use event::{
    Attestation, Delta, EngineIdentity, EntryTrace, EventKind, EventKindError, Evidence, KindStyle,
    LoadedLibrary, NewBinary, Owner, Posture, Process, RuntimeEvent, RuntimeEventEnvelope, Workload,
    event_id,
};
pub use policy::{EventsAccepted, ImageResult, PolicyRequest, PolicyResponse, ProblemDetails, encode_batch};
pub use version::{SchemaVersion, SchemaVersionError};
