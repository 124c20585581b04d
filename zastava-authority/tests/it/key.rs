//! Keys from files.

use std::path::Path;

use p256::SecretKey;
use p256::elliptic_curve::Generate as _;
use p256::pkcs8::LineEnding;
use zastava_authority::{DpopKey, Error};

fn read(text: &str) -> Result<DpopKey, Error> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, text).unwrap();
    DpopKey::from_file(&path)
}

/// The key of RFC 7517 appendix A.2, with its thumbprint.
const JWK: &str = r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE",
    "use":"enc","kid":"1"}"#;

#[test]
fn every_usual_form_is_read() {
    let pem = DpopKey::generate_pem();
    let thumbprint = read(pem.expose()).unwrap().thumbprint().to_owned();
    assert_eq!(read(&format!("Key:\r\n{}", pem.expose())).unwrap().thumbprint(), thumbprint);

    let sec1 = SecretKey::generate().to_sec1_pem(LineEnding::LF).unwrap();
    assert_eq!(read(&sec1).unwrap().thumbprint().len(), 43);

    let jwk = read(JWK).unwrap();
    assert_eq!(jwk.thumbprint(), "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s");
}

#[test]
fn what_is_no_private_p256_key_is_refused() {
    let contradiction = JWK.replace("MKBC", "NKBC");
    let public = JWK.replace("\"d\"", "\"e\"");
    let short = JWK.replace("870MB6gf", "");
    for text in ["", "{", "{}", "no key", &contradiction, &public, &short, "-----BEGIN PRIVATE KEY-----\n"] {
        assert!(matches!(read(text), Err(Error::Key { .. })), "{text}");
    }
    let missing = DpopKey::from_file(Path::new("/does/not/exist")).unwrap_err();
    assert!(matches!(missing, Error::File { .. }));
    assert!(missing.is_configuration());
}
