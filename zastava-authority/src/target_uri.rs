//! The target URI of a proof: written as the wire carries it, and compared in the normal form of RFC 3986
//! sections 6.2.2 and 6.2.3.
//!
//! The normal form goes no further: `//`, a trailing `/`, the path's case and `%2F` keep their meaning.

/// The text's normal form without query and fragment (RFC 9449 section 4.2, `htu`). `None` if it is
/// not an absolute `http` or `https` URI, or if it names a user.
pub(crate) fn normalise(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "https" => "443",
        "http" => "80",
        _ => return None,
    };
    let rest = rest.split(['?', '#']).next()?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = normalise_triplets(authority)?.to_ascii_lowercase();
    let authority = match authority.rsplit_once(':') {
        Some((host, port)) if port.is_empty() || port == default_port => host,
        // The last colon of `[::1]` separates no port.
        _ => &authority,
    };
    if authority.is_empty() || authority.contains('@') {
        return None;
    }
    let path = without_dot_segments(&normalise_triplets(path)?);
    Some(format!("{scheme}://{authority}{path}"))
}

/// The URI as a proof states it, its `htu`: scheme, host and port in normal form, and the path as the
/// wire carries it. Some verifiers compare the path byte for byte, so nothing in it is touched.
pub(crate) fn of(uri: &http::Uri) -> String {
    let mut text = String::new();
    push(&mut text, uri);
    text
}

/// Appends what [`of`] returns.
pub(crate) fn push(out: &mut String, uri: &http::Uri) {
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        // Not absolute: it is no target, and stays as it is.
        let text = uri.to_string();
        out.push_str(text.split(['?', '#']).next().unwrap_or_default());
        return;
    };
    out.push_str(scheme);
    out.push_str("://");
    let at = out.len();
    out.push_str(authority.as_str());
    out[at..].make_ascii_lowercase();
    let default_port = if scheme == "https" { ":443" } else { ":80" };
    let end = out.len();
    if out[at..].ends_with(default_port) {
        out.truncate(end - default_port.len());
    } else if out[at..].ends_with(':') {
        out.truncate(end - 1);
    }
    out.push_str(uri.path());
}

/// The URI for logs and errors: without its query, and without a password in it.
#[cfg(feature = "client")]
pub(crate) fn shown(uri: &http::Uri) -> String {
    let text = of(uri);
    match (text.find("://"), text.find('@')) {
        (Some(scheme), Some(at)) if !text[scheme + 3..at].contains('/') => {
            format!("{}…{}", &text[..scheme + 3], &text[at..])
        }
        _ => text,
    }
}

/// Whether the `htu` of a proof is this URI: as it stands, or in normal form, since other clients
/// normalise what they sign.
pub(crate) fn is_same(htu: &str, uri: &http::Uri) -> bool {
    htu == of(uri) || normalise(htu).is_some_and(|normal| Some(normal) == normalise(&uri.to_string()))
}

/// Whether the URI's scheme, host and port are those of the normal form `origin`.
pub(crate) fn is_within(uri: &http::Uri, normal: &str) -> bool {
    // The usual spelling needs no allocation.
    let same = uri.scheme_str().zip(uri.authority()).is_some_and(|(scheme, authority)| {
        let rest = normal.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://"));
        rest == Some(authority.as_str())
    });
    same || origin(uri).is_some_and(|origin| origin == normal)
}

/// Scheme, host and port in normal form. A token or a nonce belongs to one origin.
pub(crate) fn origin(uri: &http::Uri) -> Option<String> {
    let mut normal = normalise(&uri.to_string())?;
    let path = normal.find("://").and_then(|at| Some(at + 3 + normal[at + 3..].find('/')?))?;
    normal.truncate(path);
    Some(normal)
}

/// Decodes unreserved characters and writes all other triplets in upper case. `None` for a broken
/// triplet.
fn normalise_triplets(text: &str) -> Option<String> {
    let mut normal = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        normal.push_str(&rest[..at]);
        let digits =
            rest.get(at + 1..at + 3).filter(|digits| digits.bytes().all(|d| d.is_ascii_hexdigit()))?;
        let byte = u8::from_str_radix(digits, 16).ok()?;
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            normal.push(byte.into());
        } else {
            normal.push('%');
            normal.push_str(&digits.to_ascii_uppercase());
        }
        rest = &rest[at + 3..];
    }
    normal.push_str(rest);
    Some(normal)
}

/// RFC 3986 section 5.2.4, for a path that is empty or starts with `/`.
fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &str, expected: &str) {
        assert_eq!(normalise(given).as_deref(), Some(expected), "{given}");
        assert_eq!(normalise(expected).as_deref(), Some(expected), "{expected} is stable");
        let uri: http::Uri = given.parse().unwrap();
        for htu in [given, expected, &of(&uri)] {
            assert!(is_same(htu, &uri) && is_same(htu, &expected.parse().unwrap()), "{htu} is {given}");
        }
        let origin = origin(&uri).unwrap();
        assert!(is_within(&uri, &origin) && is_within(&expected.parse().unwrap(), &origin));
    }

    #[test]
    fn equivalent_uris_have_one_form() {
        check("https://server.example.com/token", "https://server.example.com/token");
        check("HTTPS://Server.Example.COM:443/token", "https://server.example.com/token");
        check("http://a:80", "http://a/");
        check("http://a:443/", "http://a:443/");
        check("https://a:80/x", "https://a:80/x");
        check("https://a:/x", "https://a/x");
        check("https://a:8443", "https://a:8443/");
        check("https://a?x=1", "https://a/");
        check("https://a#f", "https://a/");
        check("https://a/x?y=/z#/w", "https://a/x");
        check("https://a/%7euser/%e4%2f", "https://a/~user/%E4%2F");
        check("https://a/b/./c/../d", "https://a/b/d");
        check("https://a/b/..", "https://a/");
        check("https://a/b/.", "https://a/b/");
        check("https://a/../../x", "https://a/x");
        check("https://a/%2e%2E/x", "https://a/x");
        check("https://a/...", "https://a/...");
        check("https://[2001:DB8::1]:443/x", "https://[2001:db8::1]/x");
        check("https://[::1]", "https://[::1]/");
        check("https://[::1]:8443/x", "https://[::1]:8443/x");
    }

    #[test]
    fn significant_differences_are_kept() {
        check("https://a//b", "https://a//b");
        check("https://a/b/", "https://a/b/");
        check("https://a/B", "https://a/B");
        check("https://a/b%2Fc", "https://a/b%2Fc");
        check("https://a/b;c=1", "https://a/b;c=1");
    }

    #[test]
    fn a_proof_states_the_path_as_the_wire_carries_it() {
        let rows = [
            ("HTTPS://API.test:443/v1/./x/../events?page=1", "https://api.test/v1/./x/../events"),
            ("https://a/%7euser/%e4%2f", "https://a/%7euser/%e4%2f"),
            ("https://a/%2e%2E/x", "https://a/%2e%2E/x"),
            ("https://a//b/", "https://a//b/"),
            ("https://a/100%", "https://a/100%"),
            ("https://a:/x", "https://a/x"),
            ("https://a:80?x", "https://a:80/"),
            ("http://A:80", "http://a/"),
            ("https://[2001:DB8::1]:443/X", "https://[2001:db8::1]/X"),
            ("/x?y", "/x"),
        ];
        for (given, expected) in rows {
            let uri = given.parse().unwrap();
            assert_eq!(of(&uri), expected);
            assert!(is_same(expected, &uri), "{given}");
        }
        assert!(!is_same("https://a/b%2fc", &"https://a/b/c".parse().unwrap()));
        assert!(!is_same("https://a/b/", &"https://a/b".parse().unwrap()));
    }

    #[cfg(feature = "client")]
    #[test]
    fn a_password_is_not_shown() {
        let shown = |text: &str| shown(&text.parse().unwrap());
        assert_eq!(shown("https://user:password@a/x?y"), "https://…@a/x");
        assert_eq!(shown("https://a/x@y"), "https://a/x@y");
    }

    #[test]
    fn uris_that_are_no_target_are_refused() {
        for text in [
            "",
            "/token",
            "ftp://a/",
            "https://",
            "https:///x",
            "https://u@a/",
            "https://a/%zz",
            "https://a/%4",
            "//a/x",
        ] {
            assert_eq!(normalise(text), None, "{text}");
        }
    }

    #[test]
    fn origins_have_no_path() {
        let of = |text: &str| origin(&text.parse().unwrap());
        assert_eq!(of("https://A:443/x/y").as_deref(), Some("https://a"));
        assert_eq!(of("https://a:8443").as_deref(), Some("https://a:8443"));
        assert_eq!(of("/x"), None);
    }
}
