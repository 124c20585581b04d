//! `application/x-www-form-urlencoded`, strictly.

/// The parameters of a form body.
#[derive(Debug)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a body; `None` when it is not UTF-8 or has a broken escape.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        });
        pairs.collect::<Option<_>>().map(Self)
    }

    /// Every value of a parameter. One without a value counts as not sent (RFC 6749 section 3.2).
    pub(super) fn values<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f str> {
        let named = self.0.iter().filter(move |(found, value)| found == name && !value.is_empty());
        named.map(|(_, value)| value.as_str())
    }

    /// A parameter that must not be sent twice; the error is its name.
    pub(super) fn single<'f>(&'f self, name: &'static str) -> Result<Option<&'f str>, &'static str> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            (_, Some(_)) => Err(name),
        }
    }
}

/// One name or value: `+` is a space, `%XX` a byte.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_to_the_letter() {
        let form = Form::parse(b"a=1&b=x+y%26%C3%A4&c=&&a=2&d").expect("reads");
        assert_eq!(form.single("b"), Ok(Some("x y&\u{e4}")));
        assert_eq!(form.single("a"), Err("a"));
        for unset in ["c", "d", "e"] {
            assert_eq!(form.single(unset), Ok(None), "{unset}");
        }
        for broken in [b"a=%".as_slice(), b"a=%4", b"a=%zz", b"a=%ff", b"\xff=1"] {
            assert!(Form::parse(broken).is_none(), "{broken:?}");
        }
    }
}
