//! Reads the fields of a certificate that decide whether API servers accept it and that rustls does not
//! show.

use zastava_core::clock::Timestamp;

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

/// Extensions (RFC 5280 section 4.2.1).
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
/// The last arc of the extensions below `id-ce` that every Go knows: key identifiers, usages, names, constraints, policies and
/// distribution points (`parseCertificate` of crypto/x509).
const KNOWN_EXTENSIONS: [u8; 9] = [14, 15, 17, 19, 30, 31, 32, 35, 37];
/// `keyCertSign`, bit 5 of the key usage (section 4.2.1.3).
const KEY_CERT_SIGN: u8 = 0x80 >> 5;
/// `anyExtendedKeyUsage` and `id-kp-serverAuth` (section 4.2.1.12).
pub(super) const SERVER_PURPOSES: [&[u8]; 2] =
    [&[0x55, 0x1d, 0x25, 0x00], &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01]];

/// What a certificate in DER says of itself (RFC 5280 section 4.1).
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    /// Whether it may sign other certificates.
    pub(super) may_sign: bool,
    /// How many intermediates may stand between it and a leaf, if that is limited.
    pub(super) intermediates_max: Option<usize>,
    /// Whether it may authenticate a server.
    pub(super) may_serve: bool,
    /// Whether it has a critical extension that Go's library does not know.
    pub(super) is_unknown: bool,
}

impl Fields {
    /// `None` when the bytes are not a certificate.
    pub(super) fn read(certificate: &[u8]) -> Option<Self> {
        let (certificate, _) = element(certificate, SEQUENCE)?;
        let (mut rest, _) = element(certificate, SEQUENCE)?;
        let has_version = rest.first() == Some(&VERSION);
        if has_version {
            (_, rest) = element(rest, VERSION)?;
        }
        // serialNumber, signature, issuer
        for tag in [INTEGER, SEQUENCE, SEQUENCE] {
            (_, rest) = element(rest, tag)?;
        }
        let (validity, mut rest) = element(rest, SEQUENCE)?;
        let (not_before, validity) = time(validity)?;
        let (not_after, _) = time(validity)?;
        // subject, subjectPublicKeyInfo
        for _ in 0..2 {
            (_, rest) = element(rest, SEQUENCE)?;
        }
        let mut fields = Self {
            not_before: not_before.parse().ok()?,
            not_after: not_after.parse().ok()?,
            // A certificate of version 1 has no extension that could say so.
            may_sign: !has_version,
            intermediates_max: None,
            may_serve: true,
            is_unknown: false,
        };
        fields.read_extensions(rest)?;
        Some(fields)
    }

    fn read_extensions(&mut self, mut rest: &[u8]) -> Option<()> {
        // The two unique identifiers may come before.
        while *rest.first().unwrap_or(&EXTENSIONS) != EXTENSIONS {
            (_, rest) = element(rest, *rest.first()?)?;
        }
        if rest.is_empty() {
            return Some(());
        }
        let (extensions, _) = element(rest, EXTENSIONS)?;
        let (mut extensions, _) = element(extensions, SEQUENCE)?;
        let mut signs_certificates = true;
        while !extensions.is_empty() {
            let (extension, others) = element(extensions, SEQUENCE)?;
            extensions = others;
            let (oid, mut value) = element(extension, OID)?;
            let mut is_critical = false;
            if value.first() == Some(&BOOLEAN) {
                let (flag, rest) = element(value, BOOLEAN)?;
                (is_critical, value) = (flag != [0], rest);
            }
            self.is_unknown |= is_critical && !KNOWN_EXTENSIONS.iter().any(|last| oid == [0x55, 0x1d, *last]);
            let (value, _) = element(value, OCTET_STRING)?;
            match oid {
                BASIC_CONSTRAINTS => (self.may_sign, self.intermediates_max) = basic_constraints(value)?,
                KEY_USAGE => {
                    let (bits, _) = element(value, BIT_STRING)?;
                    // The first byte counts the bits that are not used.
                    signs_certificates = bits.get(1).is_some_and(|bits| bits & KEY_CERT_SIGN != 0);
                }
                EXTENDED_KEY_USAGE => self.may_serve = names_a_server(value)?,
                _ => {}
            }
        }
        self.may_sign &= signs_certificates;
        Some(())
    }
}

/// `cA`, which is left out when it is false, and `pathLenConstraint` (section 4.2.1.9).
fn basic_constraints(value: &[u8]) -> Option<(bool, Option<usize>)> {
    let (mut constraints, _) = element(value, SEQUENCE)?;
    let mut is_authority = false;
    if let Some((flag, rest)) = element(constraints, BOOLEAN) {
        (is_authority, constraints) = (flag.first().is_some_and(|flag| *flag != 0), rest);
    }
    // More digits than these permit more intermediates than any chain has.
    let length = element(constraints, INTEGER)
        .filter(|(digits, _)| digits.len() <= 4)
        .map(|(digits, _)| digits.iter().fold(0_usize, |all, digit| (all << 8) | usize::from(*digit)));
    Some((is_authority, length))
}

fn names_a_server(value: &[u8]) -> Option<bool> {
    let (mut purposes, _) = element(value, SEQUENCE)?;
    while !purposes.is_empty() {
        let (purpose, others) = element(purposes, OID)?;
        if SERVER_PURPOSES.contains(&purpose) {
            return Some(true);
        }
        purposes = others;
    }
    Some(false)
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
    use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};

    use super::*;

    fn certificate(change: impl FnOnce(&mut rcgen::CertificateParams)) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["zastava-webhook".to_owned()]).unwrap();
        change(&mut params);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn times_are_read_in_both_forms() {
        for (year, expected) in [(2031, "2031-02-03T00:00:00Z"), (2071, "2071-02-03T00:00:00Z")] {
            let der = certificate(|params| {
                params.not_before = rcgen::date_time_ymd(2021, 4, 5);
                params.not_after = rcgen::date_time_ymd(year, 2, 3);
            });
            let fields = Fields::read(&der).unwrap();
            assert_eq!(fields.not_before.to_string(), "2021-04-05T00:00:00Z");
            assert_eq!(fields.not_after.to_string(), expected);
        }
    }

    #[test]
    fn what_it_may_do_is_read() {
        let authority = |params: &mut rcgen::CertificateParams| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        };
        let found = |change: &dyn Fn(&mut rcgen::CertificateParams)| {
            let fields = Fields::read(&certificate(change)).unwrap();
            (fields.may_sign, fields.may_serve)
        };
        assert_eq!(found(&|_| ()), (false, true));
        assert_eq!(found(&authority), (true, true));
        assert_eq!(found(&|params| params.is_ca = IsCa::ExplicitNoCa), (false, true));
        for (usage, may_sign) in
            [(KeyUsagePurpose::KeyCertSign, true), (KeyUsagePurpose::DigitalSignature, false)]
        {
            let with_usage = |params: &mut rcgen::CertificateParams| {
                authority(params);
                params.key_usages = vec![usage];
            };
            assert_eq!(found(&with_usage), (may_sign, true), "{usage:?}");
        }
        for (constraints, expected) in
            [(BasicConstraints::Unconstrained, None), (BasicConstraints::Constrained(200), Some(200))]
        {
            let der = certificate(|params| params.is_ca = IsCa::Ca(constraints));
            assert_eq!(Fields::read(&der).unwrap().intermediates_max, expected);
        }
        for (purposes, may_serve) in [
            (vec![ExtendedKeyUsagePurpose::ServerAuth], true),
            (vec![ExtendedKeyUsagePurpose::Any], true),
            (vec![ExtendedKeyUsagePurpose::ClientAuth], false),
            (vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth], true),
        ] {
            let with_purposes =
                |params: &mut rcgen::CertificateParams| params.extended_key_usages.clone_from(&purposes);
            assert_eq!(found(&with_purposes), (false, may_serve), "{purposes:?}");
        }
    }

    #[test]
    fn broken_certificate_says_nothing_and_does_no_harm() {
        let whole = certificate(|_| ());
        for length in 0..whole.len() {
            let _ = Fields::read(&whole[..length]);
            let mut broken = whole.clone();
            broken[length] ^= 0xff;
            let _ = Fields::read(&broken);
        }
        assert!(Fields::read(b"\x30\x84\xff\xff\xff\xff").is_none());
    }
}
