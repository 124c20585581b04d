//! Reads when a certificate ends: the only field of X.509 that is needed here.

use zastava_core::clock::Timestamp;

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// `notAfter` of a certificate in DER (RFC 5280 section 4.1).
pub(super) fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        (_, rest) = element(rest, VERSION)?;
    }
    // serialNumber, signature, issuer
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, rest) = element(rest, tag)?;
    }
    let (validity, _) = element(rest, SEQUENCE)?;
    let (_, rest) = time(validity)?;
    time(rest)?.0.parse().ok()
}

/// A time as RFC 3339 text, and the bytes after it. Seconds and `Z` are required (section 4.1.2.5).
fn time(der: &[u8]) -> Option<(String, &[u8])> {
    let (tag, year_digits) = match der.first()? {
        tag @ &UTC_TIME => (*tag, 2),
        tag @ &GENERALIZED_TIME => (*tag, 4),
        _ => return None,
    };
    let (content, rest) = element(der, tag)?;
    let text = std::str::from_utf8(content).ok().filter(|text| text.is_ascii())?;
    let (year, text) = text.split_at_checked(year_digits)?;
    let century = match year {
        year if year.len() == 4 => "",
        year if year < "50" => "20",
        _ => "19",
    };
    let pair = |index: usize| text.get(2 * index..2 * index + 2);
    let (month, day, hour, minute, second) = (pair(0)?, pair(1)?, pair(2)?, pair(3)?, pair(4)?);
    let rfc3339 = format!("{century}{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    (text.get(10..)? == "Z").then_some((rfc3339, rest))
}

/// The content of the element with that tag, and the bytes after it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&length, mut rest) = rest.split_first()?;
    let mut size = usize::from(length);
    if length & 0x80 != 0 {
        let (digits, after) = rest.split_at_checked(usize::from(length & 0x7f))?;
        // Four bytes of length mean up to 4 GB, more than any certificate.
        if digits.is_empty() || digits.len() > 4 {
            return None;
        }
        size = digits.iter().fold(0, |size, digit| (size << 8) | usize::from(*digit));
        rest = after;
    }
    if found == tag { rest.split_at_checked(size) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(year: i32) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["zastava-webhook".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 2, 3);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn end_is_read_in_both_forms_of_time() {
        for (year, expected) in [(2031, "2031-02-03T00:00:00Z"), (2071, "2071-02-03T00:00:00Z")] {
            assert_eq!(not_after(&certificate(year)).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn broken_certificate_has_no_end_and_does_no_harm() {
        let whole = certificate(2031);
        for length in 0..whole.len() {
            let _ = not_after(&whole[..length]);
            let mut broken = whole.clone();
            broken[length] ^= 0xff;
            let _ = not_after(&broken);
        }
        assert_eq!(not_after(b"\x30\x84\xff\xff\xff\xff"), None);
    }
}
