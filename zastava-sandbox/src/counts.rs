//! What a sandbox counts.

use serde::Serialize;

/// What a sandbox has seen since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Counts {
    /// Requests to the token endpoint, including faults and refusals.
    pub token_requests: u64,
    /// Tokens issued.
    pub tokens_issued: u64,
    /// Proofs that either server refused for other reasons than a nonce.
    pub proofs_refused: u64,
    /// Proofs without a valid nonce, which were answered with `use_dpop_nonce`.
    pub nonce_challenges: u64,
    /// Tokens that Scanner refused.
    pub tokens_refused: u64,
    /// Batches of events accepted.
    pub batches: u64,
    /// Batches of events that were refused for their content or size.
    pub batches_refused: u64,
    /// Events accepted for the first time.
    pub events_accepted: u64,
    /// Events that had been accepted before.
    pub events_duplicate: u64,
    /// Policy questions answered.
    pub policy_requests: u64,
    /// Faults shown to clients.
    pub faults_shown: u64,
}
