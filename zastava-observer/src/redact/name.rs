//! What a name says about the value beside it.

/// What kind of value a name announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A secret.
    Secret,
    /// A secret, or the name of an authentication method.
    Method,
    /// Key material, or the file that holds it.
    Key,
    /// `user:secret`, or a user alone.
    User,
    /// `user:secret`, or a secret alone.
    Credentials,
}

/// A name that ends in one of these announces a secret: `dbpassword`, `storepass`, `authToken`.
const SECRET_ENDS: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pass",
    "pwd",
    "pw",
    "secret",
    "token",
    "apikey",
    "requirepass",
    "psk",
];
/// The whole last part of a name.
const SECRET_WORDS: [&str; 16] = [
    "authorization",
    "bearer",
    "cookie",
    "jwt",
    "masterauth",
    "passin",
    "passout",
    "sig",
    "signature",
    "secrets",
    "passwords",
    "passwds",
    "apikeys",
    "sas",
    "auths",
    "assertion",
];
/// Words that end like a secret's name and are none.
const OTHER_WORDS: [&str; 6] = ["bypass", "compass", "trespass", "multipass", "singlepass", "lifetoken"];
/// A key of one of these kinds is a secret.
const KEY_KINDS: [&str; 21] = [
    "access",
    "account",
    "api",
    "app",
    "auth",
    "client",
    "encryption",
    "enc",
    "license",
    "master",
    "private",
    "secret",
    "service",
    "shared",
    "signing",
    "ssh",
    "storage",
    "session",
    "subscription",
    "unseal",
    "hmac",
];
const KEY_ENDS: [&str; 6] = ["accesskey", "accountkey", "authkey", "privatekey", "secretkey", "signingkey"];
/// Behind a secret's name these still leave it a secret: `SECRET_KEY_BASE`, `PASSWORD_2`.
const NEUTRAL_ENDS: [&str; 13] = [
    "value", "string", "text", "plain", "b64", "base64", "raw", "base", "hex", "hash", "current", "new",
    "old",
];
/// In front of a secret's name these make a switch or a number of it: `--no-password`, `--max-tokens`.
const SWITCHES: [&str; 24] = [
    "no", "skip", "without", "disable", "enable", "use", "with", "require", "requires", "allow", "ask",
    "prompt", "print", "show", "has", "is", "max", "min", "num", "n", "generate", "rotate", "force", "list",
];
/// A token of a language model and a Secret that is named are no secrets.
const OTHER_KINDS: [&str; 14] = [
    "bos",
    "cls",
    "end",
    "eos",
    "mask",
    "pad",
    "pull",
    "sep",
    "special",
    "start",
    "stop",
    "tls",
    "unk",
    "cancellation",
];

/// What a name such as `--db-password`, `X-Api-Key` or `spring.datasource.password` announces.
pub(super) fn class(name: &str) -> Option<Class> {
    let mut parts = parts(name);
    while parts.len() > 1 && parts.last().is_some_and(|part| is_neutral(part)) {
        parts.pop();
    }
    let last = parts.pop()?;
    if parts.first().is_some_and(|first| SWITCHES.contains(&first.as_str())) {
        return None;
    }
    let kind = parts.last().map_or("", String::as_str);
    if OTHER_KINDS.contains(&kind) || OTHER_WORDS.contains(&last.as_str()) {
        return None;
    }
    let last_ends_in = |ends: &[&str]| ends.iter().any(|end| last.ends_with(end));
    match last.as_str() {
        "auth" | "authentication" => Some(Class::Method),
        "user" | "userpwd" | "login" => Some(Class::User),
        "credential" | "credentials" | "creds" => Some(Class::Credentials),
        "key" | "keys" if KEY_KINDS.contains(&kind) => Some(Class::Key),
        _ if last_ends_in(&KEY_ENDS) => Some(Class::Key),
        "tokens" if !parts.is_empty() => Some(Class::Secret),
        word if SECRET_WORDS.contains(&word) || last_ends_in(&SECRET_ENDS) => Some(Class::Secret),
        _ => None,
    }
}

fn is_neutral(part: &str) -> bool {
    NEUTRAL_ENDS.contains(&part) || part.bytes().all(|byte| byte.is_ascii_digit())
}

/// `dbPassword`, `DB_PASSWORD` and `db.password` are all `db`, `password`.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before = ' ';
    for letter in name.chars() {
        let starts = letter.is_uppercase() && before.is_lowercase();
        if (starts || !letter.is_alphanumeric()) && parts.last().is_some_and(|part| !part.is_empty()) {
            parts.push(String::new());
        }
        if letter.is_alphanumeric()
            && let Some(part) = parts.last_mut()
        {
            part.extend(letter.to_lowercase());
        }
        before = letter;
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// A setting whose value is the next word although no hyphen stands in front: `requirepass X`. Other plain words,
/// such as `secret` and `token`, are mostly commands.
pub(super) fn is_setting(word: &str) -> bool {
    ["authtoken", "masterauth", "private-key", "requirepass"].contains(&word)
}

/// A name of several parts, which announces the next word as an option does: `consul_token X`, `dbPassword X`.
pub(super) fn is_compound(word: &str) -> bool {
    let is_name = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_./:".contains(&byte));
    let has_hump =
        || word.as_bytes().windows(2).any(|two| two[0].is_ascii_lowercase() && two[1].is_ascii_uppercase());
    is_name && (word.trim_start_matches('_').contains(['_', '.']) || has_hump())
}
