//! One row for each way in which a token differs from what was asked for.

use serde_json::{Value, json};

use super::*;
use crate::encoding::base64url;

const KEY: &str = "our-key";
const CERTIFICATE: &str = "our-certificate";

fn expected(scopes: &[String]) -> Expected<'_> {
    Expected {
        issuer: "https://a.test/",
        audience: "scanner",
        scopes,
        jkt: Some(KEY),
        x5t: Some(CERTIFICATE),
        certificate_required: true,
        lifetime: Duration::from_secs(120),
    }
}

/// A good token, with these members changed. `null` removes one.
fn token(changes: &Value) -> String {
    let mut claims = json!({
        "iss": "https://a.test", "aud": "scanner", "scope": "read write", "iat": 1_800_000_000,
        "exp": 1_800_000_120, "cnf": {"jkt": KEY},
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    format!("e30.{}.c2ln", base64url(claims.to_string()))
}

/// The claims that are doubted, or the one that is refused.
fn outcome(expected: &Expected<'_>, token: &str) -> Result<Vec<&'static str>, &'static str> {
    let name = |error: &Error| match error {
        Error::Claim { claim, .. } => *claim,
        other => panic!("{other}"),
    };
    match expected.check(token) {
        Ok(reading) => Ok(reading.doubts.iter().map(name).collect()),
        Err(error) => Err(name(&error)),
    }
}

#[test]
fn with_dpop_the_token_names_our_key_and_no_foreign_certificate() {
    let scopes = ["read".to_owned()];
    let rows = [
        (json!({}), Ok(vec![])),
        (json!({"cnf": {"jkt": KEY, "x5t#S256": CERTIFICATE}}), Ok(vec![])),
        // Keycloak with certificate-bound tokens and DPoP: the type says DPoP, the binding is the certificate.
        (json!({"cnf": {"x5t#S256": CERTIFICATE}}), Err("cnf.jkt")),
        (json!({"cnf": null}), Err("cnf.jkt")),
        (json!({"cnf": "jkt"}), Err("cnf.jkt")),
        (json!({"cnf": {"jkt": "another"}}), Err("cnf.jkt")),
        (json!({"cnf": {"jkt": 1}}), Err("cnf.jkt")),
        (json!({"cnf": {"jkt": KEY, "x5t#S256": "another"}}), Err("cnf.x5t#S256")),
        (json!({"aud": ["account", "scanner"]}), Ok(vec![])),
        (json!({"aud": "account"}), Err("aud")),
        (json!({"aud": "scanner attestor"}), Err("aud")),
        (json!({"aud": ["attestor"]}), Err("aud")),
        (json!({"aud": null}), Ok(vec!["aud"])),
        (json!({"iss": "https://b.test"}), Ok(vec!["iss"])),
        (json!({"iss": null}), Ok(vec![])),
        (json!({"scope": "write"}), Ok(vec!["scope"])),
        (json!({"scope": ["read"]}), Ok(vec![])),
        (json!({"scope": null, "scp": ["read"]}), Ok(vec![])),
        (json!({"scope": null}), Ok(vec![])),
        (json!({"exp": 1_800_000_060}), Ok(vec!["exp"])),
        (json!({"exp": 1_800_000_119}), Ok(vec![])),
        (json!({"exp": 1_800_003_600}), Ok(vec![])),
        (json!({"exp": 1_800_000_000}), Err("exp")),
        (json!({"exp": 1_700_000_000}), Err("exp")),
        (json!({"iat": null}), Ok(vec![])),
    ];
    for (changes, wanted) in rows {
        assert_eq!(outcome(&expected(&scopes), &token(&changes)), wanted, "{changes}");
    }
}

/// Some servers turn such a scope into an audience.
#[test]
fn a_scope_that_became_an_audience_is_granted() {
    let scopes = ["aud:scanner".to_owned(), "read".to_owned()];
    assert_eq!(outcome(&expected(&scopes), &token(&json!({}))), Ok(vec![]));
    let scopes = ["aud:attestor".to_owned(), "read".to_owned()];
    assert_eq!(outcome(&expected(&scopes), &token(&json!({}))), Ok(vec!["scope"]));
}

#[test]
fn without_dpop_the_certificate_binds_or_nothing_does() {
    let bound = json!({"cnf": {"x5t#S256": CERTIFICATE}});
    let rows = [
        (bound.clone(), true, Ok(vec![]), true),
        (json!({"cnf": null}), true, Err("cnf.x5t#S256"), false),
        (json!({"cnf": null}), false, Ok(vec!["cnf.x5t#S256"]), false),
        (json!({"cnf": {"x5t#S256": "another"}}), false, Err("cnf.x5t#S256"), false),
        (json!({"cnf": {"jkt": KEY}}), false, Err("cnf.jkt"), false),
    ];
    for (changes, certificate_required, wanted, binds) in rows {
        let expected = Expected { jkt: None, certificate_required, ..expected(&[]) };
        assert_eq!(outcome(&expected, &token(&changes)), wanted, "{changes}");
        let reading = expected.check(&token(&changes));
        assert_eq!(reading.is_ok_and(|reading| reading.is_certificate_bound), binds, "{changes}");
    }
    // Without a certificate of our own there is nothing to compare with.
    let expected = Expected { jkt: None, x5t: None, certificate_required: false, ..expected(&[]) };
    for changes in [bound, json!({"cnf": null})] {
        assert_eq!(outcome(&expected, &token(&changes)), Ok(vec![]), "{changes}");
        assert!(!expected.check(&token(&changes)).unwrap().is_certificate_bound);
    }
}

#[test]
fn an_opaque_token_is_bound_by_its_type_alone() {
    let encrypted = format!("{}.a.b", token(&json!({"aud": "account"})));
    for token in ["abc", "a.b.c", "e30.W10.x", "e30.e30", "", &encrypted] {
        let reading = expected(&[]).check(token).unwrap();
        assert!(!reading.is_certificate_bound && reading.doubts.is_empty(), "{token}");
    }
}

#[test]
fn the_shorter_life_counts() {
    let life = |changes| expected(&[]).check(&token(&changes)).unwrap().lifetime.as_secs();
    assert_eq!(life(json!({"exp": 1_800_000_060})), 60);
    assert_eq!(life(json!({"exp": 1_800_000_060.5, "iat": 1_800_000_000.5})), 60);
    assert_eq!(life(json!({"exp": 1_800_009_999})), 120);
    assert_eq!(life(json!({"exp": null})), 120);
}

#[test]
fn a_refusal_names_the_claim_and_what_to_change() {
    let error = expected(&[]).check(&token(&json!({"cnf": {"x5t#S256": CERTIFICATE}}))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "authority issued a token whose cnf.jkt is missing, where \"our-key\" is required; Authority binds the token \
         to the certificate alone: let it bind tokens of this client to the DPoP key, or set requireDpop to false"
    );
    let long = expected(&[]).check(&token(&json!({"aud": "x\n".repeat(1000)}))).unwrap_err();
    assert!(long.to_string().len() < 600 && !long.to_string().contains('\n'), "{long}");
}
