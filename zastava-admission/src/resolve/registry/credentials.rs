//! Credentials for registries, from a `config.json` of Docker or a Secret of the type `kubernetes.io/dockerconfigjson`.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use zastava_core::json;
use zastava_core::secret::Secret;
use zeroize::Zeroizing;

/// A Secret of Kubernetes has 1 MiB at most.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a registry is shown.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Login {
    /// `user:password` in base64, as HTTP's basic scheme has it (RFC 7617).
    pub(super) basic: Secret,
}

/// Logins by the host of the registry that they are for.
#[derive(Debug, Default)]
pub(super) struct Credentials(BTreeMap<String, Login>);

impl Credentials {
    pub(super) fn read(path: &Path) -> Result<Self, CredentialsError> {
        let error = |source| CredentialsError { path: path.to_owned(), source };
        Self::parse(&read_file(path).map_err(error)?).map_err(error)
    }

    /// The login for this registry, and for no other.
    pub(super) fn of(&self, host: &str) -> Option<&Login> {
        self.0.get(host)
    }

    fn parse(text: &[u8]) -> io::Result<Self> {
        // serde's message would repeat what it has read.
        let unreadable = |reason: &str| io::Error::new(io::ErrorKind::InvalidData, reason);
        let config: DockerConfig = json::from_slice(text)
            .map_err(|_| unreadable("it is no config.json of Docker: {\"auths\": {host: {…}}}"))?;
        let mut logins = BTreeMap::new();
        for (key, auth) in config.auths {
            let login = auth.login();
            let login = login.ok_or_else(|| {
                unreadable(&format!("the entry {key:?} has neither auth nor username and password"))
            })?;
            logins.insert(host(&key).to_owned(), login);
        }
        Ok(Self(logins))
    }
}

/// The registry that an entry is for. Docker writes the address of an old interface for Docker Hub.
fn host(key: &str) -> &str {
    let authority = key.trim_start_matches("https://").trim_start_matches("http://");
    match authority.split('/').next().unwrap_or_default() {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    }
}

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
}

#[derive(Deserialize)]
struct Auth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

impl Auth {
    fn login(self) -> Option<Login> {
        let [auth, user, password] =
            [self.auth, self.username, self.password].map(|text| text.map(Zeroizing::new));
        let pair = match (auth, user, password) {
            (Some(auth), ..) if !auth.is_empty() => Zeroizing::new(STANDARD.decode(auth.trim()).ok()?),
            (_, Some(user), Some(password)) => {
                Zeroizing::new(format!("{}:{}", *user, *password).into_bytes())
            }
            _ => return None,
        };
        pair.contains(&b':').then(|| Login { basic: Secret::new(STANDARD.encode(&*pair)) })
    }
}

fn read_file(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    // Opening a pipe would wait for its other end.
    if !path.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut text = Zeroizing::new(Vec::new());
    File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
    Ok(text)
}

/// Why a file of credentials cannot be used. It shows nothing of what is in the file but the names of registries.
#[derive(Debug)]
pub(super) struct CredentialsError {
    path: PathBuf,
    source: io::Error,
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use the credentials in {}", self.path.display())
    }
}

impl std::error::Error for CredentialsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_belong_to_the_host_that_the_key_names() {
        let text = br#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "dXNlcjpwYXNz"},
            "registry.example:5000": {"username": "anna", "password": "a:b"},
            "http://old.example/v2/": {"auth": "dXNlcjpwYXNz", "email": "a@example"}
        }, "credsStore": "desktop"}"#;
        let credentials = Credentials::parse(text).unwrap();
        let basic = |host| credentials.of(host).map(|login| login.basic.expose().to_owned());
        assert_eq!(basic("docker.io").as_deref(), Some("dXNlcjpwYXNz"));
        assert_eq!(basic("registry.example:5000"), Some(STANDARD.encode("anna:a:b")));
        assert_eq!(basic("old.example").as_deref(), Some("dXNlcjpwYXNz"));
        for other in
            ["registry.example", "registry.example:5001", "x.registry.example:5000", "index.docker.io"]
        {
            assert_eq!(basic(other), None, "{other}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_used_says_why_and_shows_no_secret() {
        for (text, reason) in [
            ("", "it is no config.json"),
            ("[]", "it is no config.json"),
            (r#"{"auths": {"a.example": {"auth": "c2VjcmV0"}}}"#, "a.example"),
            (r#"{"auths": {"a.example": {"auth": "s e c r e t"}}}"#, "neither auth nor username"),
            (r#"{"auths": {"a.example": {"password": "secret"}}}"#, "a.example"),
            (r#"{"auths": {"a.example": {"auth": ["secret"]}}}"#, "it is no config.json"),
        ] {
            let error = Credentials::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason) && !error.contains("secret"), "{error}");
        }
    }
}
