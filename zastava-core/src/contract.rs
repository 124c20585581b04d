//! The wire contracts: runtime events, admission decisions, and the messages of Scanner's API.
//!
//! Reading is tolerant: it ignores unknown members and accepts alternative spellings. Writing is
//! strict: members come in declared order, nulls and empty collections are left out.

mod canonical;
mod decision;
mod event;
mod policy;
mod version;

pub use canonical::{CanonicalError, canonical_digest, canonical_json_digest, declared_hash};
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
