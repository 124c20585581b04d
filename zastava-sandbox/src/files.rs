//! The directory with the certificates and keys that clients need. It is reused after a restart.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zastava_authority::DpopKey;
use zastava_core::http_service::BoxError;
use zastava_core::secret::Secret;

use crate::certificates::{CertificateAndKey, CertificateAuthority, Purpose, since_epoch};
use crate::error::Error;
use crate::options::CLIENT_ID;

/// The names of the webhook's serving certificate.
const WEBHOOK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "zastava-webhook.stellaops.svc"];

/// What a client needs, as absolute paths. Keys have mode 0600, the directory 0700.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Files {
    /// The certificate authority that issued both servers' certificates.
    pub ca_bundle: PathBuf,
    /// The certificate of the client `zastava-runtime`.
    pub client_certificate: PathBuf,
    /// Its key.
    pub client_key: PathBuf,
    /// A P-256 key to bind tokens to, PKCS#8 PEM.
    pub dpop_key: PathBuf,
    /// The webhook's serving certificate, for `localhost`, `127.0.0.1` and
    /// `zastava-webhook.stellaops.svc`.
    pub webhook_certificate: PathBuf,
    /// Its key.
    pub webhook_key: PathBuf,
    /// The authority's own key, for the next run.
    ca_key: PathBuf,
}

impl Files {
    fn below(directory: &Path) -> Self {
        Self {
            ca_bundle: directory.join("ca.pem"),
            ca_key: directory.join("ca.key.pem"),
            client_certificate: directory.join("client.pem"),
            client_key: directory.join("client.key.pem"),
            dpop_key: directory.join("dpop.key.pem"),
            webhook_certificate: directory.join("webhook.pem"),
            webhook_key: directory.join("webhook.key.pem"),
        }
    }

    /// The files of an earlier run if they are complete and valid for another day; otherwise new ones.
    /// So clients that were configured once continue to work after a restart.
    pub(crate) fn open(directory: &Path) -> Result<(Self, CertificateAuthority), Error> {
        make_directory(directory)?;
        let files = Self::below(directory);
        let authority = match files.restore() {
            Ok(authority) => authority,
            Err(reason) => {
                tracing::info!(directory = %directory.display(), %reason, "making new certificates and keys");
                files.generate()?
            }
        };
        Ok((files, authority))
    }

    fn restore(&self) -> Result<CertificateAuthority, BoxError> {
        let authority = CertificateAuthority::restore(&read(&self.ca_bundle, &self.ca_key)?)?;
        let client = read(&self.client_certificate, &self.client_key)?;
        let now = since_epoch();
        authority.check(&client, CLIENT_ID, Purpose::Client, now)?;
        let webhook = read(&self.webhook_certificate, &self.webhook_key)?;
        for name in WEBHOOK_NAMES {
            authority.check(&webhook, name, Purpose::Server, now)?;
        }
        DpopKey::from_file(&self.dpop_key)?;
        Ok(authority)
    }

    fn generate(&self) -> Result<CertificateAuthority, Error> {
        let made = || -> Result<_, BoxError> {
            let (authority, identity) = CertificateAuthority::generate()?;
            let client = authority.issue(&[CLIENT_ID], Purpose::Client)?;
            let webhook = authority.issue(&WEBHOOK_NAMES, Purpose::Server)?;
            Ok((authority, identity, client, webhook))
        };
        let (authority, identity, client, webhook) = made().map_err(Error::tls("certificates"))?;
        write(&self.ca_key, identity.key.expose())?;
        write(&self.ca_bundle, &identity.certificate)?;
        write(&self.client_key, client.key.expose())?;
        write(&self.client_certificate, &client.certificate)?;
        write(&self.webhook_key, webhook.key.expose())?;
        write(&self.webhook_certificate, &webhook.certificate)?;
        write(&self.dpop_key, DpopKey::generate_pem().expose())?;
        Ok(authority)
    }
}

/// Makes the directory, and closes it to other users. A directory that holds something and is open to
/// others, such as the current one, is refused: closing it would be a surprise.
fn make_directory(directory: &Path) -> Result<(), Error> {
    let mode = || -> std::io::Result<u32> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        if std::fs::read_dir(directory)?.next().is_none() {
            std::fs::set_permissions(directory, Permissions::from_mode(0o700))?;
        }
        Ok(directory.metadata()?.permissions().mode() & 0o777)
    };
    match mode().map_err(Error::file(directory))? {
        mode if mode & 0o077 == 0 => Ok(()),
        mode => Err(Error::DirectoryOpen { path: directory.to_owned(), mode }),
    }
}

pub(crate) fn read(certificate: &Path, key: &Path) -> std::io::Result<CertificateAndKey> {
    let key = Secret::new(std::fs::read_to_string(key)?);
    Ok(CertificateAndKey { certificate: std::fs::read_to_string(certificate)?, key })
}

/// Replaces the file as a whole, so that a reader sees the old text or the new one.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Error> {
    let unfinished = path.with_extension("unfinished");
    let written = || -> std::io::Result<()> {
        let _ = std::fs::remove_file(&unfinished);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&unfinished, path)
    };
    written().map_err(Error::file(path))
}
