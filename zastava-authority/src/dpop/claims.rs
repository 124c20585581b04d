//! The claims of a proof as JSON, written by hand: with a fast signature, a serialiser would take a
//! tenth of the time.

use std::fmt::Write as _;

use http::{Method, Uri};

use crate::encoding::{base64url_len, push_base64url, random, sha256};
use crate::target_uri;

/// The text around the values below, with a number of 20 digits.
const FRAME_BYTES: usize = 80;
/// 128 random bits: RFC 9449 section 4.2 asks for 96.
const JTI_BYTES: usize = 16;

/// `ath`: base64url of the SHA-256 of the token's ASCII.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct AccessTokenHash(String);

impl AccessTokenHash {
    pub(crate) fn of(token: &str) -> Self {
        let mut hash = String::with_capacity(base64url_len(32));
        push_base64url(&mut hash, &sha256(&[token.as_bytes()]));
        Self(hash)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The claims of RFC 9449 section 4.2, without `jti`, which is new each time.
pub(crate) struct Claims<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) issued_at: i64,
    pub(crate) access_token_hash: Option<&'a AccessTokenHash>,
    pub(crate) nonce: Option<&'a str>,
}

impl Claims<'_> {
    pub(crate) fn to_json(&self) -> String {
        let path =
            self.uri.path().len() + self.uri.authority().map_or(0, |authority| authority.as_str().len());
        let nonce = self.nonce.map_or(0, str::len);
        let mut json = String::with_capacity(FRAME_BYTES + 90 + path + nonce);
        json.push_str(r#"{"jti":""#);
        push_base64url(&mut json, &random::<JTI_BYTES>());
        // A method is a token (RFC 9110 section 5.6.2), which holds nothing to escape.
        json.push_str(r#"","htm":""#);
        json.push_str(self.method.as_str());
        json.push_str(r#"","htu":"#);
        push_string(&mut json, |json| target_uri::push(json, self.uri));
        // Writing to a string does not fail.
        let _ = write!(json, r#","iat":{}"#, self.issued_at);
        if let Some(hash) = self.access_token_hash {
            json.push_str(r#","ath":""#);
            json.push_str(hash.as_str());
            json.push('"');
        }
        if let Some(nonce) = self.nonce {
            json.push_str(r#","nonce":"#);
            push_string(&mut json, |json| json.push_str(nonce));
        }
        json.push('}');
        json
    }
}

/// Appends a JSON string of what `write` appends. If it needs an escape, which is rare, it is written
/// again.
fn push_string(json: &mut String, write: impl FnOnce(&mut String)) {
    json.push('"');
    let start = json.len();
    write(json);
    if json[start..].bytes().any(|byte| matches!(byte, 0..=0x1f | b'"' | b'\\')) {
        let escaped = serde_json::Value::from(&json[start..]).to_string();
        json.truncate(start - 1);
        json.push_str(&escaped);
    } else {
        json.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_escaped_and_plain_text_fits_at_once() {
        // The path is signed as the wire carries it.
        let uri = r#"https://A:443/./%7e/"q"?x"#.parse().unwrap();
        for nonce in [None, Some("plain"), Some("a\"b\\c\nd")] {
            let hash = AccessTokenHash::of("token");
            let claims = Claims {
                method: &Method::GET,
                uri: &uri,
                issued_at: i64::MIN,
                access_token_hash: Some(&hash),
                nonce,
            };
            let json = claims.to_json();
            let read: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(read["htu"], r#"https://a/./%7e/"q""#);
            assert_eq!(read["nonce"].as_str(), nonce);
            assert_eq!(read["iat"], i64::MIN);
            assert_eq!(read["ath"], hash.as_str());
        }
    }
}
