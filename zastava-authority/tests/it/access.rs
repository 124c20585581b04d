//! Requests for a protected resource: RFC 9449 section 7, RFC 8705 section 3.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use zastava_authority::verify::{
    Confirmation, Denial, ProofError, ReceivedRequest, Verifier, VerifierOptions, certificate_thumbprint,
};
use zastava_authority::{DpopKey, ProofRequest};
use zastava_core::clock::Timestamp;

const TOKEN: &str = "an-access-token";
const CERTIFICATE: &[u8] = b"the certificate's DER";

fn now() -> Timestamp {
    Timestamp::from_unix_seconds(1_800_000_000)
}

fn uri() -> Uri {
    Uri::from_static("https://api.test/x")
}

/// What a request shows, and what the token in it is bound to.
struct Case {
    key: DpopKey,
    authorization: Vec<String>,
    proof: bool,
    certificate: Option<&'static [u8]>,
    bound: Option<Confirmation>,
}

impl Case {
    fn dpop() -> Self {
        let key = DpopKey::generate();
        let bound = Confirmation { key: Some(key.thumbprint().to_owned()), certificate: None };
        let authorization = vec![format!("DPoP {TOKEN}")];
        Self { key, authorization, proof: true, certificate: None, bound: Some(bound) }
    }

    fn certificate() -> Self {
        let bound = Confirmation { key: None, certificate: Some(certificate_thumbprint(CERTIFICATE)) };
        let authorization = vec![format!("Bearer {TOKEN}")];
        let (proof, certificate) = (false, Some(CERTIFICATE));
        Self { authorization, proof, certificate, bound: Some(bound), ..Self::dpop() }
    }

    fn outcome(&self) -> Result<&'static str, Denial> {
        let verifier = Verifier::new(VerifierOptions { require_nonce: false, ..VerifierOptions::default() });
        self.outcome_with(&verifier)
    }

    fn outcome_with(&self, verifier: &Verifier) -> Result<&'static str, Denial> {
        let (method, uri, headers) = (&Method::GET, &uri(), self.headers());
        let client_certificate = self.certificate;
        let request = ReceivedRequest { method, uri, headers: &headers, client_certificate };
        verifier.authorize(&request, now(), |token| {
            assert_eq!(token, TOKEN);
            self.bound.clone().map(|bound| (bound, "read")).ok_or(Denial::Token)
        })
    }

    fn headers(&self) -> HeaderMap {
        let (method, uri) = (&Method::GET, &uri());
        let mut headers = HeaderMap::new();
        for value in &self.authorization {
            headers.append("authorization", HeaderValue::from_str(value).unwrap());
        }
        if self.proof {
            let request =
                ProofRequest { method, uri, access_token: Some(TOKEN), nonce: None, issued_at: now() };
            headers.insert("dpop", self.key.proof(&request).unwrap().parse().unwrap());
        }
        headers
    }
}

fn check(case: &Case, expected: Denial, status: u16, challenge: &str) {
    let denial = case.outcome().unwrap_err();
    assert_eq!(denial, expected, "{:?}", case.authorization);
    assert_eq!(denial.status(), StatusCode::from_u16(status).unwrap());
    assert!(denial.challenge().starts_with(challenge), "{}", denial.challenge());
    assert!(denial.challenge().ends_with(r#"algs="ES256""#));
}

#[test]
fn good_credentials_pass() {
    assert_eq!(Case::dpop().outcome(), Ok("read"));
    assert_eq!(Case::certificate().outcome(), Ok("read"));
    let authorization = vec![format!("dpop  {TOKEN}")];
    assert_eq!(Case { authorization, ..Case::dpop() }.outcome(), Ok("read"), "schemes are in any case");
    let both = Case { certificate: Some(CERTIFICATE), ..Case::dpop() };
    let bound = both
        .bound
        .clone()
        .map(|bound| Confirmation { certificate: Some(certificate_thumbprint(CERTIFICATE)), ..bound });
    assert_eq!(Case { bound, ..both }.outcome(), Ok("read"));
    let bearer = Case { bound: Some(Confirmation::default()), certificate: None, ..Case::certificate() };
    assert_eq!(bearer.outcome(), Ok("read"));
}

#[test]
fn a_request_without_credentials_gets_a_challenge_without_an_error() {
    for authorization in [vec![], vec!["Basic dTpw".to_owned()]] {
        let case = Case { authorization, ..Case::dpop() };
        check(&case, Denial::NoCredentials, 401, r#"DPoP algs="#);
        assert!(!case.outcome().unwrap_err().challenge().contains("error"));
    }
}

#[test]
fn two_authorizations_are_a_bad_request() {
    let dpop = format!("DPoP {TOKEN}");
    for authorization in [
        vec![dpop.clone(), format!("Bearer {TOKEN}")],
        vec![dpop.clone(), dpop.clone()],
        vec![format!("{dpop}, Bearer {TOKEN}")],
        vec!["DPoP".to_owned()],
        vec!["DPoP ".to_owned()],
    ] {
        check(
            &Case { authorization, ..Case::dpop() },
            Denial::Malformed,
            400,
            r#"DPoP error="invalid_request""#,
        );
    }
}

#[test]
fn a_bound_token_does_not_pass_as_a_bearer_token() {
    let authorization = vec![format!("Bearer {TOKEN}")];
    for proof in [true, false] {
        let case = Case { authorization: authorization.clone(), proof, ..Case::dpop() };
        check(&case, Denial::Scheme, 401, r#"DPoP error="invalid_token""#);
    }
    let authorization = vec![format!("DPoP {TOKEN}")];
    // Some servers call a token DPoP that they bound to the certificate alone, or to nothing.
    for bound in [Case::certificate().bound, Some(Confirmation::default())] {
        let case = Case { authorization: authorization.clone(), bound, proof: true, ..Case::certificate() };
        check(&case, Denial::NotKeyBound, 401, r#"DPoP error="invalid_token""#);
    }
}

#[test]
fn the_challenge_fits_the_clients_binding() {
    let required = "orders.write";
    let headers = |authorization: &str| {
        HeaderMap::from_iter([(http::header::AUTHORIZATION, authorization.parse().unwrap())])
    };
    let rows = [
        (
            Denial::Token,
            "Bearer x",
            401,
            r#"Bearer error="invalid_token", error_description="the token is not valid here""#,
        ),
        (
            Denial::Token,
            "DPoP x",
            401,
            r#"DPoP error="invalid_token", error_description="the token is not valid here", algs="ES256""#,
        ),
        (
            Denial::Certificate,
            "Bearer x",
            401,
            r#"Bearer error="invalid_token", error_description="the token is bound to another certificate""#,
        ),
        (
            Denial::Scheme,
            "Bearer x",
            401,
            r#"DPoP error="invalid_token", error_description="the token's binding needs another scheme", algs="ES256""#,
        ),
        (
            Denial::InsufficientScope { required },
            "Bearer x",
            403,
            r#"Bearer error="insufficient_scope", error_description="the token lacks the scope orders.write", scope="orders.write""#,
        ),
        (
            Denial::InsufficientScope { required },
            "DPoP x",
            403,
            r#"DPoP error="insufficient_scope", error_description="the token lacks the scope orders.write", scope="orders.write", algs="ES256""#,
        ),
        (Denial::NoCredentials, "Basic x", 401, r#"DPoP algs="ES256""#),
    ];
    for (denial, authorization, status, expected) in rows {
        assert_eq!(denial.challenge_for(&headers(authorization)), expected);
        assert_eq!(denial.status(), StatusCode::from_u16(status).unwrap());
    }
}

#[test]
fn a_token_may_be_read_by_asking_another_server() {
    let verifier = Verifier::new(VerifierOptions { require_nonce: false, ..VerifierOptions::default() });
    let (method, uri, case) = (&Method::GET, &uri(), Case::dpop());
    for answer in [Ok(()), Err(Denial::InsufficientScope { required: "write" }), Err(Denial::Token)] {
        let headers = case.headers();
        let request = ReceivedRequest { method, uri, headers: &headers, client_certificate: None };
        let introspect = |token: &str| {
            assert_eq!(token, TOKEN);
            let bound = case.bound.clone().unwrap();
            // Answers at the second poll, as a server would.
            let mut asked = false;
            std::future::poll_fn(move |cx| {
                if !std::mem::replace(&mut asked, true) {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(answer.map(|()| (bound.clone(), "read")))
            })
        };
        let mut outcome = pin!(verifier.authorize_async(&request, now(), introspect));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(outcome.as_mut().poll(&mut cx).is_pending());
        assert_eq!(outcome.as_mut().poll(&mut cx), Poll::Ready(answer.map(|()| "read")));
    }
}

#[test]
fn the_certificate_must_be_the_one_that_the_token_is_bound_to() {
    for certificate in [None, Some(&b"another"[..])] {
        let case = Case { certificate, ..Case::certificate() };
        check(&case, Denial::Certificate, 401, r#"DPoP error="invalid_token""#);
    }
}

#[test]
fn a_token_that_is_not_valid_or_has_another_key_is_refused() {
    check(&Case { bound: None, ..Case::dpop() }, Denial::Token, 401, r#"DPoP error="invalid_token""#);
    let without = Case { proof: false, ..Case::dpop() };
    check(&without, Denial::Proof(ProofError::Missing), 401, r#"DPoP error="invalid_dpop_proof""#);
    let stranger = Case { key: DpopKey::generate(), ..Case::dpop() };
    check(&stranger, Denial::Proof(ProofError::Thumbprint), 401, r#"DPoP error="invalid_dpop_proof""#);
}

#[test]
fn a_proof_without_a_nonce_is_sent_back_with_one_that_must_not_be_stored() {
    let verifier = Verifier::new(VerifierOptions::default());
    let denial = Case::dpop().outcome_with(&verifier).unwrap_err();
    assert_eq!(denial, Denial::Proof(ProofError::NonceMissingOrOld));
    assert!(denial.challenge().starts_with(r#"DPoP error="use_dpop_nonce""#));
    let mut answer = HeaderMap::new();
    verifier.set_nonce(&mut answer, now());
    verifier.set_nonce(&mut answer, now().saturating_add(Duration::from_secs(100)));
    assert_eq!(answer.get_all(HeaderName::from_static("dpop-nonce")).iter().count(), 1);
    assert_eq!(answer["cache-control"], "no-store");
}
