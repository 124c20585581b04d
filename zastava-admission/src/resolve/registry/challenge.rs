//! What a registry asks for with `WWW-Authenticate` (RFC 9110 sections 11.3 and 11.6.1). Pure.

use http::{HeaderMap, header};

/// One challenge. Names are in lower case; a value is unquoted.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Challenge {
    pub(super) scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// All challenges of an answer, in their order. A header is read up to the first thing that is none.
    pub(super) fn all(headers: &HeaderMap) -> Vec<Self> {
        let headers = headers.get_all(header::WWW_AUTHENTICATE).iter();
        headers.filter_map(|value| value.to_str().ok()).flat_map(|text| Reader(text).challenges()).collect()
    }

    /// The value of a parameter that is there once. Of two nobody knows which is meant.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let mut values = self.parameters.iter().filter(|(known, _)| known == name);
        values.next().filter(|_| values.next().is_none()).map(|(_, value)| value.as_str())
    }
}

/// What is left of a header's text.
struct Reader<'t>(&'t str);

impl<'t> Reader<'t> {
    /// `[ challenge *( OWS "," OWS challenge ) ]`. A parameter belongs to the challenge before it: only a scheme is followed
    /// by something else than `=`.
    fn challenges(mut self) -> Vec<Challenge> {
        let mut challenges: Vec<Challenge> = Vec::new();
        loop {
            self.skip(|character| is_space(character) || character == ',');
            let Some(word) = self.token() else { return challenges };
            match (self.parameter_value(), challenges.last_mut()) {
                (Some(value), Some(challenge)) => {
                    challenge.parameters.push((word.to_ascii_lowercase(), value));
                    self.skip(is_space);
                    if !(self.0.is_empty() || self.0.starts_with(',')) {
                        return challenges;
                    }
                }
                // A parameter without a scheme, or a value that does not end.
                (Some(_), None) => return challenges,
                (None, _) if self.0.starts_with('=') => return challenges,
                (None, _) => {
                    challenges.push(Challenge { scheme: word.to_ascii_lowercase(), ..Challenge::default() });
                    self.skip(is_space);
                    self.token68();
                }
            }
        }
    }

    /// `BWS "=" BWS ( token / quoted-string )`. Nothing is taken when it is none.
    fn parameter_value(&mut self) -> Option<String> {
        let rest = self.0.trim_start_matches(is_space).strip_prefix('=')?;
        let mut value = Self(rest.trim_start_matches(is_space));
        let read = if value.0.starts_with('"') { value.quoted() } else { value.token().map(str::to_owned) };
        *self = if read.is_some() { value } else { Self("=") };
        read
    }

    /// A scheme's credentials in one piece, such as Negotiate has them. They are passed over.
    fn token68(&mut self) {
        let body = self.0.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c));
        let rest = body.trim_start_matches('=');
        let end = rest.trim_start_matches(is_space);
        if rest.len() < self.0.len() && (end.is_empty() || end.starts_with(',')) {
            self.0 = end;
        }
    }

    fn token(&mut self) -> Option<&'t str> {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let end = self.0.find(|character| !is_token(character)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        Some(token).filter(|token| !token.is_empty())
    }

    fn quoted(&mut self) -> Option<String> {
        let mut value = String::new();
        let mut characters = self.0.char_indices().skip(1);
        loop {
            match characters.next()? {
                (_, '\\') => value.push(characters.next()?.1),
                (at, '"') => {
                    self.0 = &self.0[at + 1..];
                    return Some(value);
                }
                (_, character) => value.push(character),
            }
        }
    }

    fn skip(&mut self, what: impl FnMut(char) -> bool) {
        self.0 = self.0.trim_start_matches(what);
    }
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header, and its challenges: each a scheme with its parameters.
    type Row<'t> = (&'t str, &'t [(&'t str, &'t [(&'t str, &'t str)])]);

    #[test]
    fn challenges_are_read_as_the_standard_writes_them() {
        let rows: &[Row<'_>] = &[
            (r#"Basic realm="a""#, &[("basic", &[("realm", "a")])]),
            (
                r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#,
                &[(
                    "bearer",
                    &[
                        ("realm", "https://auth.example/token"),
                        ("service", "registry.example"),
                        ("scope", "repository:a/b:pull,push"),
                    ],
                )],
            ),
            // Two challenges, commas in a value, spaces around `=`, empty items of the list.
            (
                r#", Basic realm="a, b", ,Bearer Realm = "c\"d\\" , service=e"#,
                &[("basic", &[("realm", "a, b")]), ("bearer", &[("realm", "c\"d\\"), ("service", "e")])],
            ),
            ("Negotiate", &[("negotiate", &[])]),
            ("Negotiate dG9rZW4=, Basic realm=x", &[("negotiate", &[]), ("basic", &[("realm", "x")])]),
            ("Negotiate, Basic realm=x", &[("negotiate", &[]), ("basic", &[("realm", "x")])]),
            // The scheme's name within a value starts no challenge.
            (r#"Basic realm="Bearer realm=evil""#, &[("basic", &[("realm", "Bearer realm=evil")])]),
            // What is broken ends the list.
            (r#"Basic realm="a, Bearer realm="b""#, &[("basic", &[("realm", "a, Bearer realm=")])]),
            (r#"Bearer realm="a"#, &[("bearer", &[])]),
            (r"Bearer realm=", &[("bearer", &[])]),
            (r#"realm="a""#, &[]),
            ("", &[]),
            ("=", &[]),
            ("\"", &[]),
        ];
        for (header, expected) in rows {
            let headers = HeaderMap::from_iter([(header::WWW_AUTHENTICATE, header.parse().unwrap())]);
            let expected: Vec<_> = expected
                .iter()
                .map(|(scheme, parameters)| Challenge {
                    scheme: (*scheme).to_owned(),
                    parameters: parameters
                        .iter()
                        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                        .collect(),
                })
                .collect();
            assert_eq!(Challenge::all(&headers), expected, "{header}");
        }
    }

    #[test]
    fn a_parameter_that_is_there_twice_has_no_value() {
        let twice = r#"Bearer realm="https://a.example", realm="https://b.example", service=c"#;
        let headers = HeaderMap::from_iter([(header::WWW_AUTHENTICATE, twice.parse().unwrap())]);
        let challenge = &Challenge::all(&headers)[0];
        assert_eq!((challenge.parameter("realm"), challenge.parameter("service")), (None, Some("c")));
    }
}
