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
    match class {
        Class::Secret => secrets.push(whole),
        Class::Method if is_method(value) => {}
        Class::Key if is_path(value) || value.contains("://") => {}
        Class::Method | Class::Key => secrets.push(whole),
        Class::User => secrets.extend(of_user(value).map(|start| at + start..whole.end)),
        Class::Credentials => secrets.push(at + of_user(value).unwrap_or(0)..whole.end),
    }
}

/// Where the secret of `user:secret` starts; Samba's tools write `user%secret`. `1000:1000` and `app:app` are a user and a group.
fn of_user(value: &str) -> Option<usize> {
    let (user, secret) = value.split_once(':').or_else(|| value.split_once('%'))?;
    let is_group = user == secret || secret.bytes().all(|byte| byte.is_ascii_digit());
    (!is_group && !secret.starts_with("//")).then_some(user.len() + 1)
}

/// Says where a secret is, or that there is none.
fn is_harmless(value: &str) -> bool {
    const WORDS: [&str; 11] =
        ["", "-", "true", "false", "yes", "no", "none", "null", "stdin", "prompt", "undefined"];
    /// A variable, a substitution, a file or another reference.
    const STARTS: [&str; 10] = ["`", "{{", "<", "@", "file:", "env:", "fd:", "id=", "type=", "%("];
    let lower = value.to_ascii_lowercase();
    WORDS.contains(&lower.as_str())
        || STARTS.iter().any(|start| value.starts_with(start))
        || is_variable(value)
        || value.bytes().all(|byte| byte == b'*')
        || is_small_number(value)
        || is_system_path(value)
        || value.starts_with("…")
}

/// `$NAME`, `${NAME}`, `$(command)`; `$2y$…` is a hash.
fn is_variable(value: &str) -> bool {
    value.strip_prefix('$').and_then(|name| name.chars().next()).is_some_and(|first| !first.is_ascii_digit())
}

/// `--tokens 4096`, `-pass 2`: too small to be a secret that somebody relies on.
fn is_small_number(value: &str) -> bool {
    value.len() < 4 && value.bytes().all(|byte| byte.is_ascii_digit())
}

/// A file in one of the places where files with secrets are kept. Other text that starts with a slash may be base64.
fn is_system_path(value: &str) -> bool {
    const ROOTS: [&str; 13] = [
        "/etc/",
        "/home/",
        "/mnt/",
        "/opt/",
        "/root/",
        "/run/",
        "/secrets/",
        "/srv/",
        "/tmp/",
        "/usr/",
        "/var/",
        "./",
        "~/",
    ];
    ROOTS.iter().any(|root| value.starts_with(root))
}

fn is_path(value: &str) -> bool {
    const ENDS: [&str; 8] = [".pem", ".key", ".crt", ".json", ".jwk", ".p12", ".pub", ".txt"];
    value.starts_with('/') || value.starts_with('.') || ENDS.iter().any(|end| value.ends_with(end))
}

fn is_method(value: &str) -> bool {
    const METHODS: [&str; 26] = [
        "anonymous",
        "aws",
        "basic",
        "bearer",
        "cert",
        "certificate",
        "digest",
        "gcp",
        "gssapi",
        "iam",
        "jwt",
        "kerberos",
        "kubernetes",
        "ldap",
        "login",
        "mtls",
        "ntlm",
        "oauth",
        "oauth2",
        "oidc",
        "password",
        "plain",
        "saml",
        "scram",
        "tls",
        "token",
    ];
    let lower = value.to_ascii_lowercase();
    METHODS.iter().any(|method| lower == *method || lower.starts_with(&format!("{method}-")))
}

/// The value inside its quotes.
pub(super) fn unquoted(value: &str, at: usize) -> (&str, usize) {
    for quote in ["\\\"", "\"", "'"] {
        if let Some(inner) = value.strip_prefix(quote) {
            return (inner.strip_suffix(quote).unwrap_or(inner), at + quote.len());
        }
    }
    (value, at)
}
