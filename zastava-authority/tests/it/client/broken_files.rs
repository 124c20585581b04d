//! No error and no log line quotes a certificate or key file, whichever setting names it and however it is
//! broken: at the start, at a request, and when it changes under way.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zastava_authority::{Authority, DpopKey, TokenSource as _};
use zastava_core::pem;
use zastava_core::telemetry::Telemetry;

use super::log::Log;
use super::pki::{Pki, TlsServer};
use super::support::{Server, debug_of, options, status, token};

/// Parts of a secret this long must not be printed.
const WINDOW: usize = 12;

const SETTINGS: [&str; 7] = [
    "caBundlePath",
    "clientCertificatePath",
    "clientKeyPath",
    "dpopKeyPath",
    "clientAssertionKeyPath",
    "clientSecretPath",
    "staticTokenPath",
];

/// Files that operators have put there, by name.
fn broken(chain: &str, key: &str) -> Vec<(&'static str, Vec<u8>)> {
    let one_line = |text: &str| text.replace('\n', "");
    let der = pem::private_key(key.as_bytes()).unwrap().der().to_vec();
    let body =
        one_line(key).replace("-----BEGIN PRIVATE KEY-----", "").replace("-----END PRIVATE KEY-----", "");
    let manifest = format!("apiVersion: v1\nkind: Secret\ndata:\n  tls.key: {}\n", STANDARD.encode(key));
    let utf16 = std::iter::once(0xfeff).chain(key.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let other = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let old = key.replacen('\n', "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n", 1);
    let scalar = body.replace(['+', '/', '='], "A");
    let texts = [
        ("key", key.to_owned()),
        ("chain", chain.to_owned()),
        ("chain and key", format!("{chain}{key}")),
        ("key in one line", one_line(key)),
        ("chain and key in one line", one_line(&format!("{chain}{key}"))),
        ("escaped line ends", key.replace('\n', "\\n")),
        ("no armour", body.clone()),
        ("a word in the key", key.replace("\nM", "\nM no base64 ")),
        ("half of a key", key[..key.len() / 2].to_owned()),
        ("no END", key.replace("-----END PRIVATE KEY-----", "")),
        ("another label", key.replace("PRIVATE KEY", "SECRET")),
        ("encrypted", other),
        ("encrypted as of old", old),
        ("manifest", manifest),
        ("JWK", format!(r#"{{"kty":"EC","crv":"P-256","d":"{}"}}"#, &scalar[..43])),
        ("JWK of another shape", format!(r#"{{"kty":["{scalar}"],"crv":"P-256","d":7}}"#)),
        ("half of a JWK", format!(r#"{{"kty":"EC","crv":"P-256","d":"{scalar}"#)),
        ("words", "correct horse battery staple".to_owned()),
        ("nothing", String::new()),
    ];
    let mut files: Vec<_> = texts.map(|(name, text)| (name, text.into_bytes())).into();
    files.extend([("DER", der), ("UTF-16", utf16), ("mark", format!("\u{feff}{key}").into_bytes())]);
    files
}

/// An Authority with good files, and what was printed about them.
struct Place {
    pki: Pki,
    tls: TlsServer,
    authority: Server,
}

impl Place {
    async fn new() -> Self {
        let (pki, authority) = (Pki::new(), Server::issuing(120).with_latency(std::time::Duration::ZERO));
        let tls = pki.serve(authority.service()).await;
        pki.client("client.test");
        Self { pki, tls, authority }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.pki.dir.path().join(name)
    }

    /// Good files for all settings, and the path of the one that the setting names.
    fn restore(&self, setting: &str) -> (Vec<(&'static str, PathBuf)>, PathBuf) {
        let key = self.path("dpop.pem");
        std::fs::write(&key, DpopKey::generate_pem().expose()).unwrap();
        let (ca, chain, client_key) = ("ca-copy.pem", "chain-copy.pem", "key-copy.pem");
        for (from, to) in [("ca.pem", ca), ("client-chain.pem", chain), ("client-key.pem", client_key)] {
            std::fs::copy(self.path(from), self.path(to)).unwrap();
        }
        let mut settings = vec![
            ("caBundlePath", self.path(ca)),
            ("clientCertificatePath", self.path(chain)),
            ("clientKeyPath", self.path(client_key)),
            ("dpopKeyPath", key.clone()),
        ];
        let known = settings.iter().find(|(name, _)| *name == setting).map(|(_, path)| path.clone());
        let path = known.unwrap_or_else(|| {
            let path = self.path("further");
            std::fs::copy(&key, &path).unwrap();
            settings.push((SETTINGS.into_iter().find(|name| *name == setting).unwrap(), path.clone()));
            path
        });
        (settings, path)
    }

    fn connect(&self, files: &[(&'static str, PathBuf)]) -> Result<Authority, zastava_authority::Error> {
        let (url, cache) = (self.tls.url(""), self.path("optok"));
        let mut settings = vec![("issuer", url.as_str()), ("cacheDir", cache.to_str().unwrap())];
        settings.extend(files.iter().map(|(name, path)| (*name, path.to_str().unwrap())));
        if files.iter().any(|(name, _)| *name == "staticTokenPath") {
            settings.push(("allowStaticTokenFallback", "true"));
        }
        Authority::connect(&options(&settings), &Telemetry::detached())
    }

    /// What is printed about a client whose one file is broken: its errors and its log, and everything.
    async fn print(&self, setting: &str, bytes: &[u8], at_start: bool) -> (String, String) {
        let log = Log::default();
        let _guard = log.start();
        let (files, path) = self.restore(setting);
        let is_away = setting == "staticTokenPath";
        self.authority.handle(move |_| if is_away { status(503) } else { token("abc", 120) });
        if at_start {
            std::fs::write(&path, bytes).unwrap();
        }
        let (mut printed, mut values) = (Vec::new(), String::new());
        match self.connect(&files) {
            Err(error) => printed.push(chain_of(&error)),
            Ok(authority) => {
                let _ = authority.token("scanner").await;
                std::fs::write(&path, bytes).unwrap();
                authority.reload();
                authority.invalidate("scanner");
                match authority.token("scanner").await {
                    Ok(token) => printed.push(debug_of(&token)),
                    Err(error) => printed.push(chain_of(&error)),
                }
                values = format!("{} {}", debug_of(&authority), authority.status());
            }
        }
        printed.push(log.text());
        let told = printed.join("\n");
        let all = format!("{told}\n{values}");
        (told, all)
    }
}

/// `Display` and both forms of `Debug` of an error and its causes.
fn chain_of(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(|error| format!("{error} {error:?} {error:#?}\n")).collect()
}

/// The file without its armour and the words that every such file has.
fn secrets_of(bytes: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(bytes);
    let mut rest = text.into_owned();
    for word in [
        "-----BEGIN ",
        "-----END ",
        "ENCRYPTED ",
        "PRIVATE KEY",
        "SECRET",
        "CERTIFICATE",
        "-----",
        "Proc-Type: 4,",
        "DEK-Info: AES-128-CBC,00",
        "apiVersion: v1",
        "kind: Secret",
        "data:",
        "  tls.key: ",
        "\\n",
        "{\"kty\":",
        "\"EC\",\"crv\":\"P-256\",\"d\":",
        "\"crv\":\"P-256\"",
        " no base64 ",
    ] {
        rest = rest.replace(word, "\n");
    }
    let parts = rest.lines().map(|line| line.as_bytes().to_vec());
    parts.chain((bytes.first() == Some(&0x30)).then(|| bytes.to_vec())).collect()
}

/// Whether a part of the secret is in the text: as it is, as a list of numbers, or in hexadecimal.
fn shows(text: &str, printed: &HashSet<&[u8]>, secret: &[u8]) -> bool {
    let as_it_is = secret.windows(WINDOW).any(|part| printed.contains(part));
    // Half of a window, at each half: no list of a whole window is without one of them.
    as_it_is
        || secret.chunks_exact(WINDOW / 2).any(|part| {
            let numbers: Vec<_> = part.iter().map(u8::to_string).collect();
            let hex: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
            [", ", ",\n    ", " "].iter().any(|between| text.contains(&numbers.join(between)))
                || text.contains(&hex)
        })
}

#[tokio::test]
async fn no_file_is_quoted_in_any_setting() {
    let place = Place::new().await;
    let read = |name: &str| std::fs::read_to_string(place.path(name)).unwrap();
    let (chain, key) = (read("client-chain.pem"), read("client-key.pem"));
    let (mut tried, mut named) = (0, 0);
    for setting in SETTINGS {
        for (kind, bytes) in broken(&chain, &key) {
            for at_start in [true, false] {
                let (told, printed) = place.print(setting, &bytes, at_start).await;
                let windows: HashSet<&[u8]> = printed.as_bytes().windows(WINDOW).collect();
                for secret in secrets_of(&bytes) {
                    let shown = String::from_utf8_lossy(&secret);
                    assert!(!shows(&printed, &windows, &secret), "{setting}, {kind}: {shown} in\n{printed}");
                }
                tried += 1;
                named += usize::from(told.contains(file_of(&place, setting).to_str().unwrap()));
            }
        }
    }
    println!("{tried} broken files, {named} of them named in an error or a log line");
    assert!(named > tried / 2, "{named} of {tried}");
}

fn file_of(place: &Place, setting: &str) -> PathBuf {
    place.path(match setting {
        "caBundlePath" => "ca-copy.pem",
        "clientCertificatePath" => "chain-copy.pem",
        "clientKeyPath" => "key-copy.pem",
        "dpopKeyPath" => "dpop.pem",
        _ => "further",
    })
}

/// The error names the file that is wrong, and says what it is.
#[test]
fn what_is_wrong_with_a_file_is_said_at_its_place() {
    let pki = Pki::new();
    let (chain, key) = pki.client("client.test");
    let write = |name: &str, text: &str| {
        let path = pki.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let text = |path: &Path| std::fs::read_to_string(path).unwrap();
    let locked = write("locked.pem", &text(&key).replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"));
    let stranger = Pki::new();
    let (_, other_key) = stranger.client("client.test");
    let rows = [
        (
            key.clone(),
            key.clone(),
            &key,
            "it holds a private key and no certificate; are the files exchanged?",
        ),
        (
            chain.clone(),
            chain.clone(),
            &chain,
            "it holds a certificate and no private key; are the files exchanged?",
        ),
        (
            chain.clone(),
            locked.clone(),
            &locked,
            "its private key is encrypted; store it without a passphrase",
        ),
        (
            chain.clone(),
            other_key.clone(),
            &other_key,
            &format!("it does not belong to the certificate in {}", chain.display()),
        ),
    ];
    for (chain, key, wrong, expected) in rows {
        let options = zastava_authority::TransportOptions {
            ca_bundle_path: Some(pki.bundle()),
            client_identity: Some((chain, key)),
            ..Default::default()
        };
        let error = zastava_authority::https(&options).map(drop).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot use the certificates or the key in {}", wrong.display())
        );
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), expected);
    }
    // Text in any encoding around the PEM does no harm, and neither does a byte order mark.
    let marked = write("marked.pem", &format!("\u{feff}{}", text(&key)));
    let latin1 = pki.dir.path().join("latin1.pem");
    std::fs::write(&latin1, [b"friendlyName: caf\xe9\n", text(&chain).as_bytes()].concat()).unwrap();
    let options = zastava_authority::TransportOptions {
        ca_bundle_path: Some(pki.bundle()),
        client_identity: Some((latin1, marked)),
        ..Default::default()
    };
    zastava_authority::https(&options).map(drop).unwrap();
}
