//! Keys from files.

use std::path::Path;

use p256::SecretKey;
use p256::elliptic_curve::Generate as _;
use p256::pkcs8::LineEnding;
use zastava_authority::{DpopKey, Error, ProofRequest, ProofSigner, SignerError};
use zastava_core::clock::Timestamp;

fn read(text: &str) -> Result<DpopKey, Error> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, text).unwrap();
    DpopKey::from_file(&path)
}

/// The key of RFC 7517 appendix A.2, with its thumbprint.
pub(crate) const JWK: &str = r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE",
    "use":"enc","kid":"1"}"#;

#[test]
fn every_usual_key_format_is_read() {
    let pem = DpopKey::generate_pem();
    let thumbprint = read(pem.expose()).unwrap().thumbprint().to_owned();
    assert_eq!(read(&format!("Key:\r\n{}", pem.expose())).unwrap().thumbprint(), thumbprint);

    let sec1 = SecretKey::generate().to_sec1_pem(LineEnding::LF).unwrap();
    assert_eq!(read(&sec1).unwrap().thumbprint().len(), 43);

    let jwk = read(JWK).unwrap();
    assert_eq!(jwk.thumbprint(), "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s");
}

#[test]
fn files_without_a_private_p256_key_are_refused() {
    let contradiction = JWK.replace("MKBC", "NKBC");
    let public = JWK.replace("\"d\"", "\"e\"");
    let short = JWK.replace("870MB6gf", "");
    for text in ["", "{", "{}", "no key", &contradiction, &public, &short, "-----BEGIN PRIVATE KEY-----\n"] {
        assert!(matches!(read(text), Err(Error::Key { .. })), "{text}");
    }
    for path in ["/dev/zero", "/"] {
        assert!(matches!(DpopKey::from_file(Path::new(path)), Err(Error::File { .. })), "{path}");
    }
    let missing = DpopKey::from_file(Path::new("/does/not/exist")).unwrap_err();
    assert!(matches!(missing, Error::File { .. }));
    assert!(missing.is_configuration());
}

/// The two signers make proofs that are the same but for the signature's randomness.
#[cfg(feature = "client")]
#[test]
fn keys_of_both_signers_are_interchangeable() {
    use zastava_authority::verify::{ReceivedProof, Verifier, VerifierOptions};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, DpopKey::generate_pem().expose()).unwrap();
    let keys = [DpopKey::from_file(&path).unwrap(), DpopKey::from_file_by_tls_provider(&path).unwrap()];
    assert_eq!(keys[0].thumbprint(), keys[1].thumbprint());
    let verifier = Verifier::new(VerifierOptions { require_nonce: false, ..VerifierOptions::default() });
    let (method, uri) = (&http::Method::GET, &http::Uri::from_static("https://api.test/x"));
    for key in &keys {
        let now = Timestamp::now();
        for _ in 0..100 {
            let request = ProofRequest { method, uri, access_token: None, nonce: None, issued_at: now };
            let proof = key.proof(&request).unwrap().parse().unwrap();
            let headers = http::HeaderMap::from_iter([(http::HeaderName::from_static("dpop"), proof)]);
            let thumbprint = Some(key.thumbprint());
            let received = ReceivedProof { method, uri, headers: &headers, access_token: None, thumbprint };
            verifier.verify(&received, now).unwrap();
        }
    }
}

/// A security module that is out of order.
#[derive(Debug)]
struct Broken;

impl ProofSigner for Broken {
    fn public_key(&self) -> [u8; 64] {
        [1; 64]
    }

    fn sign(&self, _: &[u8]) -> Result<[u8; 64], SignerError> {
        Err("out of order".into())
    }
}

#[test]
fn without_a_signature_there_is_no_proof() {
    let (method, uri) = (&http::Method::GET, &http::Uri::from_static("https://api.test/x"));
    let request = ProofRequest { method, uri, access_token: None, nonce: None, issued_at: Timestamp::now() };
    let error = DpopKey::new(Broken).proof(&request).unwrap_err();
    assert_eq!(error.to_string(), "no signature could be made");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "out of order");
}
