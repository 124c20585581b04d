//! What a token says about itself, compared with what was asked for.
//!
//! An Authority that is set up for another binding or another audience issues tokens that the resource
//! server refuses, and no answer of that server leads back to Authority. So the claims are read here. The
//! signature is not checked: this finds wrong settings and no forgeries.

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde_json::{Map, Value};

use crate::encoding::base64url_decode;
use crate::error::Error;

/// An error shows this much of a claim.
const FOUND_CHARS_MAX: usize = 100;
/// `expires_in` and the claims may be rounded differently.
const ROUNDING: Duration = Duration::from_secs(1);

const X5T: &str = "cnf.x5t#S256";
const JKT: &str = "cnf.jkt";

/// The claims of a JWT.
#[derive(Debug)]
pub(super) struct Claims(Map<String, Value>);

/// What the token of one request must say.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) audience: &'a str,
    pub(super) scopes: &'a [String],
    /// The key's thumbprint, if DPoP is required.
    pub(super) jkt: Option<&'a str>,
    /// The thumbprint of the client certificate, if it is known which one is presented.
    pub(super) x5t: Option<&'a str>,
    /// Whether a token that is not bound to a key must be bound to the certificate.
    pub(super) certificate_required: bool,
    /// The lifetime in the answer.
    pub(super) lifetime: Duration,
}

/// What is believed of a token that was not refused.
#[derive(Debug)]
pub(super) struct Reading {
    /// Whether the token itself names our certificate.
    pub(super) is_certificate_bound: bool,
    pub(super) lifetime: Duration,
    /// Differences that a resource server may mind, each as [`Error::Claim`].
    pub(super) doubts: Vec<Error>,
}

impl Expected<'_> {
    /// Reads the token. An opaque token says nothing, so only its type is known: it counts as bound to the
    /// key if that type is `DPoP`, and never as bound to the certificate.
    pub(super) fn check(&self, token: &str) -> Result<Reading, Error> {
        let mut reading =
            Reading { is_certificate_bound: false, lifetime: self.lifetime, doubts: Vec::new() };
        let Some(claims) = Claims::read(token) else { return Ok(reading) };
        self.check_key(&claims)?;
        self.check_certificate(&claims, &mut reading)?;
        self.check_audience(&claims, &mut reading)?;
        self.check_lifetime(&claims, &mut reading)?;
        self.doubt_issuer(&claims, &mut reading);
        self.doubt_scopes(&claims, &mut reading);
        Ok(reading)
    }

    fn check_key(&self, claims: &Claims) -> Result<(), Error> {
        let found = claims.confirmation("jkt");
        let advice = match (self.jkt, found) {
            (Some(own), Some(found)) if own == found => return Ok(()),
            (None, None) => return Ok(()),
            (None, Some(_)) => "set requireDpop to true, or let Authority issue tokens without DPoP",
            (Some(_), None) if claims.confirmation("x5t#S256").is_some() => {
                "Authority binds the token to the certificate alone: let it bind tokens of this client to the DPoP \
                 key, or set requireDpop to false"
            }
            (Some(_), None) => {
                "let Authority bind tokens of this client to the DPoP key, or set requireDpop to false"
            }
            (Some(_), Some(_)) => "Authority bound the token to another key than that of the proof",
        };
        Err(claim(JKT, self.jkt.map_or_else(|| "no key".to_owned(), quoted), shown(found), advice))
    }

    fn check_certificate(&self, claims: &Claims, reading: &mut Reading) -> Result<(), Error> {
        let found = claims.confirmation("x5t#S256");
        let expected = || self.x5t.map_or_else(|| "the client certificate".to_owned(), quoted);
        match (self.x5t, found) {
            (Some(own), Some(found)) if own == found => reading.is_certificate_bound = true,
            (Some(_), Some(_)) => {
                let advice = "Authority saw another certificate: does a proxy before it present its own?";
                return Err(claim(X5T, expected(), shown(found), advice));
            }
            // A client of the caller's own may present one.
            (None, Some(_)) => {}
            (_, None) if self.jkt.is_some() => {}
            (_, None) => {
                let advice = "nothing binds the token: let Authority bind tokens of this client to the certificate, \
                              or set requireDpop to true; requireMutualTls: false takes bearer tokens";
                let unbound = claim(X5T, expected(), shown(None), advice);
                if self.certificate_required {
                    return Err(unbound);
                }
                reading.doubts.extend(self.x5t.map(|_| unbound));
            }
        }
        Ok(())
    }

    fn check_audience(&self, claims: &Claims, reading: &mut Reading) -> Result<(), Error> {
        let found = claims.words("aud");
        if found.contains(&self.audience) {
            return Ok(());
        }
        let advice = "set audience to what the resource server is called in tokens, or let Authority add it: for \
                      Keycloak by an audience mapper";
        let list = (!found.is_empty()).then(|| found.join(" "));
        let other = claim("aud", quoted(self.audience), shown(list.as_deref()), advice);
        if !found.is_empty() {
            return Err(other);
        }
        reading.doubts.push(other);
        Ok(())
    }

    /// The life of the token is counted by its own times, which one clock gave.
    fn check_lifetime(&self, claims: &Claims, reading: &mut Reading) -> Result<(), Error> {
        let Some((from, until)) = claims.number("iat").zip(claims.number("exp")) else { return Ok(()) };
        let advice = "the token is used until exp; let expires_in be the same";
        let short = |found| claim("exp", format!("iat + {}s", self.lifetime.as_secs()), found, advice);
        let Ok(life) = Duration::try_from_secs_f64(until - from) else {
            return Err(short("not after iat".to_owned()));
        };
        if life.is_zero() {
            return Err(short("not after iat".to_owned()));
        }
        if life + ROUNDING < self.lifetime {
            reading.doubts.push(short(format!("iat + {}s", life.as_secs())));
        }
        reading.lifetime = life.min(self.lifetime);
        Ok(())
    }

    fn doubt_issuer(&self, claims: &Claims, reading: &mut Reading) {
        let found = claims.0.get("iss").and_then(Value::as_str);
        // The setting ends with a slash where the issuer does not.
        let same = |found: &str| found.trim_end_matches('/') == self.issuer.trim_end_matches('/');
        if let Some(found) = found.filter(|found| !same(found)) {
            let advice = "resource servers that know the issuer by its setting will refuse the token";
            reading.doubts.push(claim("iss", quoted(self.issuer), shown(Some(found)), advice));
        }
    }

    fn doubt_scopes(&self, claims: &Claims, reading: &mut Reading) {
        let (granted, audiences) =
            ([claims.words("scope"), claims.words("scp")].concat(), claims.words("aud"));
        let is_granted = |scope: &str| {
            granted.contains(&scope)
                // Some servers turn such a scope into an audience.
                || scope.strip_prefix("aud:").is_some_and(|audience| audiences.contains(&audience))
        };
        let missing: Vec<_> =
            self.scopes.iter().map(String::as_str).filter(|scope| !is_granted(scope)).collect();
        if !granted.is_empty() && !missing.is_empty() {
            let advice =
                "let Authority grant the scopes to this client, or ask for less in scopes or audienceScopes";
            let found = shown(Some(&granted.join(" ")));
            reading.doubts.push(claim("scope", quoted(&missing.join(" ")), found, advice));
        }
    }
}

impl Claims {
    /// `None` for a token that is opaque or encrypted.
    pub(super) fn read(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (_header, claims, _signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        serde_json::from_slice(&base64url_decode(claims)?).ok().map(Self)
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.0.get("jti")?.as_str()
    }

    fn confirmation(&self, member: &str) -> Option<&str> {
        self.0.get("cnf")?.get(member)?.as_str()
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.0.get(name)?.as_f64()
    }

    /// A list, or a string of words: `aud` and `scope` come in both forms.
    fn words(&self, name: &str) -> Vec<&str> {
        match self.0.get(name) {
            Some(Value::String(text)) if name == "aud" => vec![text],
            Some(Value::String(text)) => text.split_ascii_whitespace().collect(),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

fn claim(claim: &'static str, expected: String, found: String, advice: &'static str) -> Error {
    Error::Claim { claim, expected, found, advice }
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn shown(found: Option<&str>) -> String {
    let Some(found) = found else { return "missing".to_owned() };
    quoted(&found.chars().take(FOUND_CHARS_MAX).collect::<String>())
}
