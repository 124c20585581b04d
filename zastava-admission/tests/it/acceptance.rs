//! Which serving certificates API servers refuse: the program's own check, beside Go's library.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, date_time_ymd,
};

/// The name by which API servers call the webhook.
pub(crate) const NAME: &str = "zastava-webhook.stellaops.svc";

/// A certificate with its key and what it was made from.
pub(crate) struct Made {
    pub(crate) pem: String,
    params: CertificateParams,
    key: KeyPair,
}

pub(crate) type Change = fn(&mut CertificateParams);

impl Made {
    pub(crate) fn key(&self) -> String {
        self.key.serialize_pem()
    }

    fn new(
        common_name: &str,
        names: &[&str],
        signer: Option<&Self>,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let made = match signer {
            None => params.self_signed(&key).unwrap(),
            Some(Self { params: signer, key: signing, .. }) => {
                params.signed_by(&key, &Issuer::from_params(signer, signing)).unwrap()
            }
        };
        Self { pem: made.pem(), params, key }
    }
}

fn is_authority(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
}

/// A CA that signs itself.
pub(crate) fn authority() -> Made {
    Made::new("authority", &[], None, is_authority)
}

/// A serving certificate by that CA.
pub(crate) fn issued(by: &Made, names: &[&str], change: Change) -> Made {
    Made::new("zastava-webhook", names, Some(by), change)
}

const AS_IT_IS: Change = |_| ();
const HAS_ENDED: Change = |params| params.not_after = date_time_ymd(2020, 1, 1);
const BEGINS_LATER: Change = |params| params.not_before = date_time_ymd(4000, 1, 1);
const FOR_CLIENTS: Change = |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
const FOR_ANYTHING: Change = |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any];

/// A row: what it shows, chain, key, CA bundle, and what the program says of it; nothing if it is accepted.
type Row = (&'static str, String, String, String, Option<&'static str>);

fn rows() -> Vec<Row> {
    let (ca, other) = (authority(), authority());
    let good = issued(&ca, &[NAME], AS_IT_IS);
    let by_ca = |names: &[&str], change: Change| issued(&ca, names, change);
    let row = |name, leaf: &Made, bundle: &str, words| {
        (name, leaf.pem.clone(), leaf.key(), bundle.to_owned(), words)
    };
    let mut rows = vec![
        row("as it should be", &good, &ca.pem, None),
        row("old and new CA during a change", &good, &format!("{}{}", other.pem, ca.pem), None),
        row("a name of several", &by_ca(&["a.example", NAME], AS_IT_IS), &ca.pem, None),
        row("a wildcard", &by_ca(&["*.stellaops.svc"], AS_IT_IS), &ca.pem, None),
        row("any purpose", &by_ca(&[NAME], FOR_ANYTHING), &ca.pem, None),
        row(
            "another namespace",
            &by_ca(&["zastava-webhook.other.svc"], AS_IT_IS),
            &ca.pem,
            Some("does not name"),
        ),
        row("a short name", &by_ca(&["zastava-webhook"], AS_IT_IS), &ca.pem, Some("does not name")),
        row("no name but the subject's", &by_ca(&[], AS_IT_IS), &ca.pem, Some("does not name")),
        row("ended", &by_ca(&[NAME], HAS_ENDED), &ca.pem, Some("it ended at 2020-01-01T00:00:00Z")),
        row("not begun", &by_ca(&[NAME], BEGINS_LATER), &ca.pem, Some("it begins at 4000-01-01T00:00:00Z")),
        row("for clients", &by_ca(&[NAME], FOR_CLIENTS), &ca.pem, Some("extended key usage")),
        row("another CA of the same name", &good, &other.pem, Some("no certificate of the CA bundle")),
        row(
            "the leaf of another as the bundle",
            &good,
            &issued(&other, &[NAME], AS_IT_IS).pem,
            Some("no certificate"),
        ),
    ];
    rows.extend(signers());
    rows.extend(chains(&ca));
    rows.extend(constraints(&ca));
    rows.extend(old_algorithms());
    rows.extend(exchanged(&ca, &good));
    rows
}

/// Who signed, and whether it may.
fn signers() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, change) in [("signed by itself", AS_IT_IS), ("signed by itself, a CA", is_authority as Change)]
    {
        let own = Made::new("zastava-webhook", &[NAME], None, change);
        rows.push((name, own.pem.clone(), own.key(), own.pem.clone(), None));
    }
    for (name, change, words) in [
        (
            "a CA that ended",
            (|params| {
                is_authority(params);
                HAS_ENDED(params)
            }) as Change,
            "the CA that signed it ended",
        ),
        (
            "a CA that has not begun",
            |params| {
                is_authority(params);
                BEGINS_LATER(params)
            },
            "the CA that signed it begins",
        ),
        ("a signer that is no CA", |params| params.is_ca = IsCa::ExplicitNoCa, "not that of a CA"),
        ("a signer that says nothing of itself", AS_IT_IS, "not that of a CA"),
        (
            "a CA that may not sign",
            |params| {
                is_authority(params);
                params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            },
            "not that of a CA",
        ),
    ] {
        let signer = Made::new("authority", &[], None, change);
        let leaf = issued(&signer, &[NAME], AS_IT_IS);
        rows.push((name, leaf.pem.clone(), leaf.key(), signer.pem.clone(), Some(words)));
    }
    rows
}

/// An intermediate CA between the leaf and the CA.
fn chains(ca: &Made) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, change, words) in [
        ("with an intermediate", is_authority as Change, None),
        (
            "with an intermediate that ended",
            |params| {
                is_authority(params);
                HAS_ENDED(params)
            },
            Some("between it and the CA"),
        ),
        ("with an intermediate that is no CA", AS_IT_IS, Some("no certificate of the CA bundle")),
    ] {
        let between = Made::new("intermediate", &[], Some(ca), change);
        let leaf = issued(&between, &[NAME], AS_IT_IS);
        rows.push((name, format!("{}{}", leaf.pem, between.pem), leaf.key(), ca.pem.clone(), words));
        if words.is_none() {
            let words = Some("no certificate of the CA bundle");
            rows.push(("without its intermediate", leaf.pem.clone(), leaf.key(), ca.pem.clone(), words));
        }
    }
    rows
}

/// What it shows, how it is made, and what the program says of it.
type Constraint<'c> = (&'static str, &'c dyn Fn(&mut CertificateParams), Option<&'static str>);

/// What CAs say of the certificates below them, as an intermediate and as the CA of the bundle.
fn constraints(ca: &Made) -> Vec<Row> {
    let subtrees = |name: &str| vec![GeneralSubtree::DnsName(name.to_owned())];
    let mut rows = Vec::new();
    let cases: [Constraint<'_>; 8] = [
        ("names that are permitted", &|params| params.name_constraints = permitted(subtrees("svc")), None),
        (
            "names that are permitted elsewhere",
            &|params| params.name_constraints = permitted(subtrees("example")),
            Some("constrained to other names"),
        ),
        (
            "names that are excluded",
            &|params| {
                let excluded_subtrees = subtrees("stellaops.svc");
                params.name_constraints =
                    Some(NameConstraints { permitted_subtrees: Vec::new(), excluded_subtrees });
            },
            Some("constrained to other names"),
        ),
        (
            "for servers",
            &|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
            None,
        ),
        ("for any purpose", &|params| FOR_ANYTHING(params), None),
        ("for clients", &|params| FOR_CLIENTS(params), Some("leaves out server authentication")),
        (
            "a critical extension that nobody knows",
            &|params| {
                let mut unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 9, 9, 9], vec![5, 0]);
                unknown.set_criticality(true);
                params.custom_extensions = vec![unknown];
            },
            Some("a critical extension that is unknown"),
        ),
        ("a leaf alone below it", &|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)), None),
    ];
    for (name, change, words) in cases {
        let change = |params: &mut CertificateParams| {
            is_authority(params);
            change(params);
        };
        let between = Made::new("intermediate", &[], Some(ca), change);
        let leaf = issued(&between, &[NAME], AS_IT_IS);
        rows.push((name, format!("{}{}", leaf.pem, between.pem), leaf.key(), ca.pem.clone(), words));
        let root = Made::new("authority", &[], None, change);
        let leaf = issued(&root, &[NAME], AS_IT_IS);
        rows.push((name, leaf.pem.clone(), leaf.key(), root.pem.clone(), words));
        // The same constraint, with one more intermediate below it.
        let below = Made::new("below", &[], Some(&root), is_authority);
        let leaf = issued(&below, &[NAME], AS_IT_IS);
        let words = if name.contains("alone") { Some("more intermediates") } else { words };
        let chain = format!("{}{}", leaf.pem, below.pem);
        rows.push((name, chain.clone(), leaf.key(), root.pem.clone(), words));
        let below = Made::new("below", &[], Some(&between), is_authority);
        let leaf = issued(&below, &[NAME], AS_IT_IS);
        let chain = format!("{}{}{}", leaf.pem, below.pem, between.pem);
        rows.push((name, chain, leaf.key(), ca.pem.clone(), words));
    }
    rows
}

fn permitted(permitted_subtrees: Vec<GeneralSubtree>) -> Option<NameConstraints> {
    Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() })
}

/// Signatures that Go does not check, by openssl: rcgen makes none of them.
fn old_algorithms() -> Vec<Row> {
    let words = Some("has an algorithm that is too old or unknown");
    [
        ("ECDSA with SHA-256", "ec -pkeyopt ec_paramgen_curve:P-256", "-sha256", None),
        ("ECDSA with SHA-1", "ec -pkeyopt ec_paramgen_curve:P-256", "-sha1", words),
        ("RSA with SHA-256", "rsa -pkeyopt rsa_keygen_bits:2048", "-sha256", None),
        ("RSA with SHA-1", "rsa -pkeyopt rsa_keygen_bits:2048", "-sha1", words),
        ("RSA with MD5", "rsa -pkeyopt rsa_keygen_bits:2048", "-md5", words),
        ("a curve of others", "ec -pkeyopt ec_paramgen_curve:secp256k1", "-sha256", words),
    ]
    .into_iter()
    .filter_map(|(name, key, digest, words)| {
        let folder = tempfile::tempdir().unwrap();
        let script = format!(
            "set -e; cd {}
            openssl genpkey -quiet -algorithm {key} -out ca.key
            openssl req -x509 -new -key ca.key -subj /CN=authority -days 30 -out ca.crt \
              -addext basicConstraints=critical,CA:TRUE
            openssl genpkey -quiet -algorithm ec -pkeyopt ec_paramgen_curve:P-256 -out tls.key
            openssl req -new -key tls.key -subj /CN=zastava-webhook -out tls.csr
            echo subjectAltName=DNS:{NAME} > names
            openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial {digest} -days 30 \
              -extfile names -out tls.crt",
            folder.path().display()
        );
        let Ok(output) = Command::new("sh").arg("-c").arg(script).output() else { return None };
        if output.status.code() == Some(127) {
            let _ = writeln!(std::io::stderr(), "SKIP: openssl is missing; {name} is not tried");
            return None;
        }
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let read = |file| std::fs::read_to_string(folder.path().join(file)).unwrap();
        Some((name, read("tls.crt"), read("tls.key"), read("ca.crt"), words))
    })
    .collect()
}

/// Files in each other's place.
fn exchanged(ca: &Made, good: &Made) -> Vec<Row> {
    let words = Some("cannot serve with");
    let reversed = format!("{}{}", ca.pem, good.pem);
    vec![
        ("the key of another", good.pem.clone(), issued(ca, &[NAME], AS_IT_IS).key(), ca.pem.clone(), words),
        ("the CA in place of the certificate", ca.pem.clone(), good.key(), good.pem.clone(), words),
        ("the chain in reverse", reversed, good.key(), ca.pem.clone(), words),
        ("certificate and key exchanged", good.key(), good.pem.clone(), ca.pem.clone(), words),
        (
            "the key in place of the bundle",
            good.pem.clone(),
            good.key(),
            good.key(),
            Some("ca.crt holds no certificate: it holds a private key"),
        ),
    ]
}

pub(crate) fn write(directory: &Path, chain: &str, key: &str, bundle: &str) {
    std::fs::create_dir_all(directory).unwrap();
    for (file, text) in [("tls.crt", chain), ("tls.key", key), ("ca.crt", bundle)] {
        std::fs::write(directory.join(file), text).unwrap();
    }
}

/// Runs `zastava-webhook check-certificate`: whether it accepts, and what it says.
pub(crate) fn check(directory: &Path) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zastava-webhook"));
    command.args(["check-certificate", "--name", NAME]);
    for (flag, file) in [("--certificate", "tls.crt"), ("--key", "tls.key"), ("--ca", "ca.crt")] {
        command.arg(flag).arg(directory.join(file));
    }
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    (output.status.success(), said)
}

/// What Go's library says of each directory, if Go is installed.
fn go_accepts(directories: &[PathBuf]) -> Option<Vec<bool>> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api-server/verify.go");
    let Ok(output) = Command::new("go").arg("run").arg(program).arg(NAME).args(directories).output() else {
        let _ = writeln!(
            std::io::stderr(),
            "SKIP: go is missing; certificates are not compared with its library"
        );
        return None;
    };
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(said.lines().map(|line| line.starts_with("accepted ")).collect())
}

#[test]
fn a_certificate_that_api_servers_refuse_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let rows = rows();
    let directories: Vec<_> = (0..rows.len()).map(|index| folder.path().join(index.to_string())).collect();
    for (directory, (name, chain, key, bundle, words)) in directories.iter().zip(&rows) {
        write(directory, chain, key, bundle);
        let (accepted, said) = check(directory);
        assert_eq!(accepted, words.is_none(), "{name}: {said}");
        assert!(said.contains(words.unwrap_or("API servers accept")), "{name}: {said}");
        assert!(!said.contains("BEGIN"), "{name}: {said}");
    }
    let Some(go) = go_accepts(&directories) else { return };
    let ours: Vec<bool> = rows.iter().map(|(.., words)| words.is_none()).collect();
    let names: Vec<_> = rows.iter().map(|(name, ..)| *name).collect();
    assert_eq!(go.len(), ours.len());
    let differ: Vec<_> =
        names.iter().zip(go.iter().zip(&ours)).filter(|(_, (go, ours))| go != ours).collect();
    assert!(differ.is_empty(), "Go decides otherwise: {differ:?}");
}

#[test]
fn every_reason_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let ca = authority();
    let bad = issued(&authority(), &["a.example"], AS_IT_IS);
    write(folder.path(), &bad.pem, &bad.key(), &ca.pem);
    let (_, said) = check(folder.path());
    for reason in ["it does not name zastava-webhook.stellaops.svc", "no certificate of the CA bundle"] {
        assert!(said.contains(reason), "{reason}: {said}");
    }
    std::fs::remove_file(folder.path().join("ca.crt")).unwrap();
    let (accepted, said) = check(folder.path());
    assert!(!accepted && said.contains("ca.crt"), "the bundle must be there: {said}");
}
