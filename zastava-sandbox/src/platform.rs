//! What both servers of the sandbox share.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use zastava_authority::verify::{ProofError, Verifier, VerifierOptions};
use zastava_core::clock::Timestamp;

use crate::access_token::AccessTokens;
use crate::activity::Activity;
use crate::answer::{Answer, answer, problem, set_header};
use crate::fault::{FaultKind, Route, STATUSES};
use crate::options::SandboxOptions;
use crate::outage::Outages;

/// How far a client's clock may be off: the bound of the platform's servers.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(30);

/// What Authority and Scanner share: options, addresses, tokens, verifiers and the record of what
/// happened.
pub(crate) struct Platform {
    pub(crate) options: SandboxOptions,
    /// Authority's own URL, without a slash at the end, as tokens and metadata spell it.
    pub(crate) issuer: String,
    /// Scanner's URL, without a slash at the end.
    pub(crate) scanner_url: String,
    pub(crate) tokens: AccessTokens,
    /// Each server has its own replay memory and nonces (RFC 9449 section 9).
    pub(crate) authority_verifier: Verifier,
    pub(crate) scanner_verifier: Verifier,
    pub(crate) outages: Outages,
    pub(crate) activity: Activity,
}

impl Platform {
    pub(crate) fn new(
        options: SandboxOptions,
        issuer: String,
        scanner_url: String,
        outages: Outages,
    ) -> Arc<Self> {
        Arc::new(Self {
            tokens: AccessTokens::new(issuer.clone()),
            activity: Activity::new(options.events_kept_max),
            options,
            issuer,
            scanner_url,
            authority_verifier: verifier(),
            scanner_verifier: verifier(),
            outages,
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.options.clock.now()
    }

    pub(crate) fn rotate_nonces(&self) {
        self.authority_verifier.rotate_nonces();
        self.scanner_verifier.rotate_nonces();
    }

    /// Counts a proof that one of the servers refused.
    pub(crate) fn count_refused_proof(&self, error: ProofError) {
        tracing::debug!(%error, "proof refused");
        self.activity.count(|counts| match error {
            ProofError::NonceMissingOrOld => counts.nonce_challenges += 1,
            _ => counts.proofs_refused += 1,
        });
    }

    /// Shows the next fault of the route, if one waits. Breaks with the answer, or with `None` to
    /// drop the connection. Continues if the request is to be answered after all.
    pub(crate) async fn fault(&self, route: Route) -> ControlFlow<Option<Answer>> {
        let fault = self.activity.look(|record| record.faults.take(route));
        let Some(fault) = fault else { return ControlFlow::Continue(()) };
        tracing::debug!(?route, ?fault, "showing a fault");
        self.activity.count(|counts| counts.faults_shown += 1);
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

impl std::fmt::Debug for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Platform").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// The verifier's defaults are the contract's rules: a nonce is required and lives 300 s.
fn verifier() -> Verifier {
    Verifier::new(VerifierOptions {
        proof_age_max: CLOCK_SKEW_MAX,
        future_skew: CLOCK_SKEW_MAX,
        ..VerifierOptions::default()
    })
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
