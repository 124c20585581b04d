//! Which part of a value is a secret, given what its name announces.

use std::ops::Range;

use super::name::Class;

/// Adds the secret in the value of a name of this class; the value stands at `at`.
pub(super) fn scan(class: Class, value: &str, at: usize, secrets: &mut Vec<Range<usize>>) {
    let (value, at) = unquoted(value, at);
    // openssl's form of a password in place (openssl-passphrase-options(1)).
    let (value, at) = value.strip_prefix("pass:").map_or((value, at), |rest| (rest, at + "pass:".len()));
    if is_harmless(value) {
        return;
    }
    let whole = at..at + value.len();
    let is_secret = match class {
        Class::User => {
            secrets.extend(of_user(value).map(|start| at + start..whole.end));
            is_random(value)
        }
        Class::Owner => {
            let secret = of_user(value).filter(|start| is_chosen(&value[*start..]));
            secrets.extend(secret.map(|start| at + start..whole.end));
            false
        }
        Class::Credentials => {
            secrets.push(at + of_user(value).unwrap_or(0)..whole.end);
            false
        }
        Class::Secret => true,
        Class::Method => !is_method(value),
        Class::Count => !is_method(value) && !value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'),
        Class::Key => !is_path(value),
        Class::Chosen => !is_path(value) && is_chosen(value),
        Class::Random => is_random(value),
        Class::Short => is_no_port(value) && (value.len() > 3 || is_chosen(value)),
    };
    if is_secret {
        secrets.push(whole);
    }
}

/// Where the secret of `user:secret` starts; Samba's tools write `user%secret`. `1000:1000` and `app:app` are a user and a group.
fn of_user(value: &str) -> Option<usize> {
    let (user, secret) = value.split_once(':').or_else(|| value.split_once('%'))?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_group = user == secret || is_number(secret) || (!user.is_empty() && is_number(user));
    (!is_group && !secret.starts_with("//") && !is_harmless(secret)).then_some(user.len() + 1)
}

/// Says where a secret is, or that there is none.
fn is_harmless(value: &str) -> bool {
    const WORDS: &str = "- true false yes no on off none null nil stdin prompt undefined file env enabled disabled required \
    optional always never auto default latest missing invalid expired incorrect redacted hidden ask \
    keyring";
    let lower = value.to_ascii_lowercase();
    lower.is_empty()
        || WORDS.split_whitespace().any(|word| lower == word)
        || is_reference(value)
        || value.ends_with('(')
        || value.bytes().all(|byte| byte.is_ascii_punctuation())
        || is_small_number(value)
        || is_file(value)
}

/// A variable, a substitution, a file, an address or another reference to what is not here.
pub(super) fn is_reference(value: &str) -> bool {
    const STARTS: &str = "SHA256: sha256: MD5: \\\\ ` {{ {% < @ %( %s { … file: env: fd: cmd: exec: prompt: vault: ssm: arn: \
    id= type= src= source= target= name= secretref: valueFrom ref+ projects/ secret/ os.environ \
    process.env";
    STARTS.split_whitespace().any(|start| value.starts_with(start))
        || value.ends_with(":latest")
        || is_variable(value)
        || is_placeholder(value)
        || value
            .split_once("://")
            .is_some_and(|(scheme, _)| scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+'))
}

/// `$NAME`, `${NAME}`, `$(command)`; `$2y$…` and `$argon2id$…` are hashes.
fn is_variable(value: &str) -> bool {
    let name = value.strip_prefix("\\$").or_else(|| value.strip_prefix('$'));
    let is_scheme = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_hash = |name: &str| name.split_once('$').is_some_and(|(scheme, _)| scheme.bytes().all(is_scheme));
    name.filter(|name| !is_hash(name))
        .is_some_and(|name| !name.starts_with(|first: char| first.is_ascii_digit()))
}

/// `%PASSWORD%`, `__PASSWORD__`, `[PASSWORD]`.
fn is_placeholder(value: &str) -> bool {
    [("%", "%"), ("__", "__"), ("[", "]")].iter().any(|(start, end)| {
        let name = value.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
        name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
    })
}

/// `--tokens 4096`, `-pass 2`: too small to be a secret that somebody relies on.
fn is_small_number(value: &str) -> bool {
    value.len() < 4 && value.bytes().all(|byte| byte.is_ascii_digit())
}

/// How the names of files end that hold secrets, keys and settings.
const FILE_ENDS: &str = ".pem .key .crt .cer .der .json .jwk .jwks .p12 .pfx .p8 .jks .ks .pub .txt .sig .asc .gpg .age .yaml \
    .yml .toml .ini .cfg .conf .properties .env .cred .creds .secret .token .pass .netrc .keytab \
    .keystore .csv .xml .sock";

/// A file by its directory, by its ending or by its form; other text that starts with a slash may be base64.
pub(super) fn is_file(value: &str) -> bool {
    const ROOTS: &str = "/etc/ /home/ /mnt/ /opt/ /root/ /run/ /secrets/ /srv/ /tmp/ /usr/ /var/ /app/ /dev/ /proc/ /vault/ \
    /keys/ /certs/ /config/ /data/ ./ ../ ~/";
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-~{}$".contains(&byte);
    let is_low = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"/._-".contains(&byte);
    ROOTS.split_whitespace().any(|root| value.starts_with(root))
        || (FILE_ENDS.split_whitespace().any(|end| value.ends_with(end)) && value.bytes().all(is_word))
        || (value.len() > 2 && value.starts_with('/') && value.bytes().all(is_low))
        || is_drive(value)
}

/// `C:\secrets\db.txt`.
fn is_drive(value: &str) -> bool {
    value.len() > 3 && value.as_bytes()[0].is_ascii_alphabetic() && value[1..].starts_with(":\\")
}

fn is_path(value: &str) -> bool {
    value.starts_with(['/', '.']) || value.contains("://") || is_file(value)
}

/// More than a plain word, a number or a name of several words: what people and generators choose as a secret.
pub(super) fn is_chosen(value: &str) -> bool {
    let has = |is: fn(char) -> bool| value.chars().any(is);
    let lower = has(char::is_lowercase);
    let upper = has(char::is_uppercase);
    let digit = has(|letter| letter.is_ascii_digit());
    let sign = has(|letter| "!#$%^&*+?~@".contains(letter));
    let hump = value.chars().zip(value.chars().skip(1)).any(|(a, b)| a.is_lowercase() && b.is_uppercase());
    value.chars().count() > 4
        && (((digit || sign) && (lower || upper)) || hump)
        && !value.contains(['=', '/', '(', ','])
        && is_no_port(value)
}

/// No port, mapping of ports, address, duration or size.
fn is_no_port(value: &str) -> bool {
    let is_of_number = |byte: u8| byte.is_ascii_digit() || b":.-/,%".contains(&byte);
    let numbers = value.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let is_number = numbers.bytes().all(is_of_number) && value.len() - numbers.len() < 4;
    let names_a_port = value
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
    !(is_number || names_a_port || value.contains('=') || is_path(value))
}

/// Adds what stands nowhere in particular and is too disorderly to be anything but a secret or a number that
/// somebody drew; a public key, a digest and a name of many humps are not.
pub(super) fn scan_random(text: &str, secrets: &mut Vec<Range<usize>>) {
    let is_of_run = |letter: char| letter.is_ascii_alphanumeric() || "+_-=".contains(letter);
    let mut end = 0;
    while let Some(start) = text[end..].find(is_of_run).map(|start| end + start) {
        let rest = &text[start..];
        end = start + rest.find(|letter| !is_of_run(letter)).unwrap_or(rest.len());
        // A name in front of the value.
        let run = &text[start..end];
        let start = run.trim_end_matches('=').rfind('=').map_or(start, |at| start + at + 1);
        let run = &text[start..end];
        let is_public = ["AAAA", "MII", "sha"].iter().any(|sign| run.starts_with(sign));
        if !is_public && run.len() >= 20 && is_mixed(run) {
            secrets.push(start..end);
        }
    }
}

/// A word alone, or what follows a user's name, that looks as generators of passwords write them.
pub(super) fn scan_generated(word: &str, secrets: &mut Vec<Range<usize>>) {
    let start = match word.split_once(':') {
        Some((user, _)) if user.bytes().all(|b| b.is_ascii_lowercase() || b"-_.".contains(&b)) => {
            user.len() + 1
        }
        _ => 0,
    };
    let secret = &word[start..];
    let is_of_word = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%^&*+?~@".contains(&byte);
    let kinds = Kinds::of(secret);
    let has_all = kinds.upper > 0 && kinds.lower > 0 && kinds.digits > 0;
    if has_all
        && (8..40).contains(&secret.len())
        && secret.bytes().all(is_of_word)
        && !is_harmless(secret)
        && kinds.changes * 2 >= secret.len()
    {
        secrets.push(start..word.len());
    }
}

fn is_mixed(value: &str) -> bool {
    let kinds = Kinds::of(value);
    let has_all = kinds.upper > 2 && kinds.lower > 2 && kinds.digits > 1;
    has_all && kinds.signs * 10 <= value.len() && kinds.changes * 20 >= value.len() * 9
}

/// Letters and digits in such disorder that nobody has written them: base64, or a long hexadecimal number.
fn is_random(value: &str) -> bool {
    let value = value.trim_end_matches('=');
    let value = value.strip_prefix("0x").unwrap_or(value);
    let kinds = Kinds::of(value);
    if value.len() < 16 || kinds.signs > value.len() / 8 || kinds.digits < 2 {
        return false;
    }
    let is_hex = value.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_mixed = kinds.upper > 1 && kinds.lower > 1 && kinds.changes * 5 >= value.len() * 2;
    (is_hex && value.len() >= 20) || is_mixed || kinds.changes * 2 >= value.len()
}

/// How many characters of each kind a value has, and how often the next one is of another kind.
#[derive(Default)]
struct Kinds {
    lower: usize,
    upper: usize,
    digits: usize,
    signs: usize,
    changes: usize,
}

impl Kinds {
    fn of(value: &str) -> Self {
        let mut kinds = Self::default();
        let mut before = None;
        for byte in value.bytes() {
            let (count, kind) = match byte {
                b'0'..=b'9' => (&mut kinds.digits, 'd'),
                b'a'..=b'z' => (&mut kinds.lower, 'l'),
                b'A'..=b'Z' => (&mut kinds.upper, 'u'),
                _ => (&mut kinds.signs, 's'),
            };
            *count += 1;
            kinds.changes += usize::from(before.replace(kind).is_some_and(|before| before != kind));
        }
        kinds
    }
}

fn is_method(value: &str) -> bool {
    const METHODS: &str = "anonymous any api-key apikey approle argon2 argon2id aws aws-iam azure basic bcrypt bearer cert \
    certificate certs client crypt custom digest external gcp github gitlab google gssapi htpasswd iam \
    internal jwt kerberos keycloak kubernetes ldap local login md5 mtls negotiate ntlm oauth oauth2 oidc \
    okta openid pam password passwd pbkdf2 peer plain radius saml sasl scram scrypt server simple spnego \
    sso tls token userpass webauthn webhook x509";
    let lower = value.to_ascii_lowercase();
    METHODS.split_whitespace().any(|method| {
        lower.strip_prefix(method).is_some_and(|rest| {
            let is_further = rest.starts_with('-') && !rest.bytes().any(|byte| byte.is_ascii_digit());
            rest.is_empty() || rest.starts_with(',') || is_further || rest.starts_with("-sha")
        })
    }) || lower
        .strip_prefix("sha")
        .is_some_and(|rest| rest.len() < 5 && rest.bytes().all(|b| b.is_ascii_digit() || b == b'-'))
}

/// The value inside its quotes.
pub(super) fn unquoted(value: &str, at: usize) -> (&str, usize) {
    for quote in ["\\\"", "\"", "\\'", "'"] {
        if let Some(inner) = value.strip_prefix(quote) {
            return (inner.strip_suffix(quote).unwrap_or(inner), at + quote.len());
        }
    }
    (value, at)
}
