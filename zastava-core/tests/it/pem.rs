//! PEM files that are right, and what is said about those that are not.

use zastava_core::pem::{self, PemFault};

const BODY: &str =
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v\nMDEyMzQ1Njc4OTo7PD0+Pw==\n";

fn block(label: &str) -> String {
    format!("-----BEGIN {label}-----\n{BODY}-----END {label}-----\n")
}

fn der() -> Vec<u8> {
    (0..64).collect()
}

#[test]
fn text_around_a_block_does_not_count() {
    let key = block("PRIVATE KEY");
    let one_line = key.replace('\n', "");
    let mark = format!("\u{feff}{key}");
    let comment = format!("Bag Attributes\n    friendlyName: caf\u{e9}\n{key}rest\n");
    let latin1: Vec<u8> =
        comment.chars().map(|character| u8::try_from(u32::from(character)).unwrap()).collect();
    let rows = [
        key.clone().into_bytes(),
        key.replace('\n', "\r\n").into_bytes(),
        one_line.into_bytes(),
        mark.into_bytes(),
        comment.into_bytes(),
        latin1,
        format!("{}{key}", block("EC PARAMETERS")).into_bytes(),
        format!("{}{key}", block("CERTIFICATE")).into_bytes(),
    ];
    for file in rows {
        let found = pem::private_key(&file).unwrap_or_else(|fault| panic!("{fault}"));
        assert_eq!(found.der(), der());
    }
}

#[test]
fn each_encoding_of_a_key_has_its_label() {
    for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
        let key = pem::private_key(block(label).as_bytes()).unwrap();
        assert_eq!((key.der(), format!("{key:?}").as_str()), (&*der(), "PrivateKey"));
    }
}

#[test]
fn certificates_come_in_their_order_and_all_must_be_whole() {
    let chain = [block("CERTIFICATE"), block("PRIVATE KEY"), block("X509 CERTIFICATE")].concat();
    assert_eq!(pem::certificates(chain.as_bytes()).unwrap(), [der(), der()]);
    let cut = &chain[..chain.len() - 10];
    let fault = pem::certificates(cut.as_bytes()).unwrap_err();
    assert_eq!(fault, PemFault::Unfinished { label: "CERTIFICATE", line: 9 });
}

#[test]
fn a_fault_says_what_the_file_is_and_quotes_nothing() {
    let (key, certificate) = (block("PRIVATE KEY"), block("CERTIFICATE"));
    let old = key.replacen('\n', "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n", 1);
    let utf16: Vec<u8> =
        std::iter::once(0xfeff).chain(key.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let check = |file: &[u8], expected: &str| {
        let fault = pem::private_key(file).unwrap_err();
        assert_eq!(fault.to_string(), expected, "{}", String::from_utf8_lossy(file));
    };

    check(b"", "it is empty");
    check(b"\xef\xbb\xbf \n", "it is empty");
    check(&utf16, "it is UTF-16 text; PEM is required");
    check(&[0x30, 0x82, 1, 2, 3], "it is binary (DER or PKCS #12); PEM is required");
    check(b"abc\0def", "it is binary; PEM is required");
    check(br#"{"kty":"EC"}"#, "it is a JWK; PEM is required");
    check(br#"{"a":1}"#, "it is JSON; PEM is required");
    check(b"apiVersion: v1\nkind: Secret\n", "it is a manifest of Kubernetes; PEM is required");
    check(BODY.as_bytes(), "it is base64 without BEGIN and END lines; PEM is required");
    check(b"nothing", "it is text without a BEGIN line; PEM is required");
    check(certificate.as_bytes(), "it holds a certificate and no private key; are the files exchanged?");
    check(
        block("ENCRYPTED PRIVATE KEY").as_bytes(),
        "its private key is encrypted; store it without a passphrase",
    );
    check(old.as_bytes(), "its private key is encrypted; store it without a passphrase");
    check(block("OPENSSH PRIVATE KEY").as_bytes(), "it holds a private key of OpenSSH and no private key");
    check(block("PUBLIC KEY").as_bytes(), "it holds a public key and no private key");
    check(block("SOMETHING ELSE").as_bytes(), "it holds another kind of PEM block and no private key");
    check(&key.as_bytes()[..60], "its PRIVATE KEY of line 1 has no END line; the file was cut");
    check(key.replace("MDEy", "MDE*").as_bytes(), "line 3 within its PRIVATE KEY is not base64");
    check(key.replace('\n', "\\n").as_bytes(), "line 1 within its PRIVATE KEY is not base64");
    check(key.replace("Pw==", "Pw=").as_bytes(), "line 3 within its PRIVATE KEY is not base64");
    check(b"-----BEGIN ", "it holds another kind of PEM block and no private key");
    let rows = [
        (key, "it holds a private key and no certificate; are the files exchanged?"),
        (
            block("ENCRYPTED PRIVATE KEY"),
            "it holds an encrypted private key and no certificate; are the files exchanged?",
        ),
        (block("CERTIFICATE REQUEST"), "it holds a certificate request and no certificate"),
        (block("X509 CRL"), "it holds a revocation list and no certificate"),
        // After the certificate its DER has what OpenSSL trusts it for, which no TLS library reads.
        (block("TRUSTED CERTIFICATE"), "it holds a TRUSTED CERTIFICATE of OpenSSL and no certificate"),
    ];
    for (file, expected) in rows {
        assert_eq!(pem::certificates(file.as_bytes()).unwrap_err().to_string(), expected);
    }
}

#[test]
fn no_input_makes_it_panic() {
    let whole = [block("CERTIFICATE"), block("EC PRIVATE KEY")].concat().into_bytes();
    for length in 0..whole.len() {
        let mut broken = whole.clone();
        broken[length] = b'-';
        for file in [&whole[..length], &whole[length..], &broken] {
            let _ = (pem::certificates(file), pem::private_key(file));
        }
    }
}
