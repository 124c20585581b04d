//! What both servers know.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use tokio::sync::watch;
use zastava_authority::verify::{
    ProofError, ReceivedProof, TokenKey, VerifiedProof, Verifier, VerifierOptions,
};
use zastava_core::clock::Timestamp;

use crate::answer::{Answer, answer, problem, set_header};
use crate::fault::{FaultKind, FaultQueue, Route, STATUSES};
use crate::ledger::{Counts, Ledger};
use crate::options::SandboxOptions;
use crate::outage::Outages;

/// Tokens, proofs, policy and everything that changes.
pub(crate) struct Shared {
    pub(crate) options: SandboxOptions,
    /// Authority's own URL, as tokens and metadata spell it: without a slash at the end.
    pub(crate) issuer: String,
    /// Scanner's URL, likewise.
    pub(crate) scanner_url: String,
    pub(crate) token_key: TokenKey,
    /// Each server has its own replay store and nonces (RFC 9449 section 9). The verifier's
    /// defaults are the contract's rules: nonces are demanded and live 300 s.
    pub(crate) authority_proofs: Verifier,
    pub(crate) scanner_proofs: Verifier,
    pub(crate) outages: Outages,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) counts: Counts,
    pub(crate) ledger: Ledger,
    pub(crate) faults: FaultQueue,
}

impl Shared {
    pub(crate) fn new(
        options: SandboxOptions,
        issuer: String,
        scanner_url: String,
        outages: Outages,
    ) -> Arc<Self> {
        let ledger = Ledger::new(options.events_kept_max);
        Arc::new(Self {
            options,
            issuer,
            scanner_url,
            token_key: TokenKey::generate(),
            authority_proofs: Verifier::new(proof_options()),
            scanner_proofs: Verifier::new(proof_options()),
            outages,
            state: Mutex::new(State { counts: Counts::default(), ledger, faults: FaultQueue::default() }),
            changed: watch::Sender::new(()),
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.options.clock.now()
    }

    pub(crate) fn look<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the state and wakes whoever waits for it.
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = self.look(change);
        self.changed.send_replace(());
        result
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        self.update(|state| change(&mut state.counts));
    }

    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(crate) fn rotate_nonces(&self) {
        self.authority_proofs.rotate_nonces();
        self.scanner_proofs.rotate_nonces();
    }

    /// Verifies a proof and counts how that went.
    pub(crate) fn verify(
        &self,
        verifier: &Verifier,
        proof: &ReceivedProof<'_>,
        now: Timestamp,
    ) -> Result<VerifiedProof, ProofError> {
        verifier.verify(proof, now).inspect_err(|error| {
            tracing::debug!(uri = %proof.uri, %error, "proof refused");
            self.count(|counts| match error {
                ProofError::NonceMissingOrOld => counts.nonce_challenges += 1,
                _ => counts.proofs_refused += 1,
            });
        })
    }

    /// Shows the next fault of the route, if one waits. Breaks with the answer, or with `None` to
    /// drop the connection; goes on when the request is to be answered after all.
    pub(crate) async fn fault(&self, route: Route) -> ControlFlow<Option<Answer>> {
        let fault = self.look(|state| state.faults.take(route));
        let Some(fault) = fault else { return ControlFlow::Continue(()) };
        tracing::debug!(?route, ?fault, "showing a fault");
        self.count(|counts| counts.faults_shown += 1);
        match fault {
            FaultKind::Status { status, retry_after } => {
                ControlFlow::Break(Some(status_fault(status, retry_after)))
            }
            FaultKind::Delay(delay) => {
                tokio::time::sleep(delay).await;
                ControlFlow::Continue(())
            }
            FaultKind::Reset => ControlFlow::Break(None),
            FaultKind::WrongContent => {
                const PAGE: &str = "<!doctype html><title>Welcome</title><p>It works!</p>\n";
                ControlFlow::Break(Some(answer(StatusCode::OK, "text/html; charset=utf-8", PAGE)))
            }
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

fn status_fault(status: u16, retry_after: Option<u64>) -> Answer {
    let shown = STATUSES.contains(&status).then(|| StatusCode::from_u16(status).ok()).flatten();
    let status = shown.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = problem(status, "sandbox-fault", "the sandbox was told to answer so");
    if let Some(seconds) = retry_after {
        set_header(&mut answer, "retry-after", &seconds.to_string());
    }
    answer
}

/// The platform's servers refuse proofs from clocks that are further off.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(30);

fn proof_options() -> VerifierOptions {
    VerifierOptions {
        proof_age_max: CLOCK_SKEW_MAX,
        future_skew: CLOCK_SKEW_MAX,
        ..VerifierOptions::default()
    }
}
