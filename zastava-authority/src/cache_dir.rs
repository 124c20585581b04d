//! The cache directory: tokens on disk, and the control sockets beside them.
//!
//! Only its owner may look into it. A file that anybody else could have written or read is not
//! believed: it is ignored and written anew.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use zastava_core::clock::Timestamp;
use zastava_core::options::AuthorityOptions;
use zastava_core::secret::Secret;
use zeroize::Zeroizing;

use crate::encoding::{base64url, sha256};
use crate::error::Error;
use crate::token::OpTok;

const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Makes the directory, or checks that it is ours and closes it to others.
pub(crate) fn prepare(dir: &Path) -> Result<(), Error> {
    let prepared = || -> io::Result<()> {
        if let Some(parent) = dir.parent() {
            fs::create_dir_all(parent)?;
        }
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let metadata = fs::symlink_metadata(dir)?;
        if !metadata.is_dir() || metadata.uid() != own_uid() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "not a directory of our own"));
        }
        if metadata.mode() & 0o077 != 0 {
            fs::set_permissions(dir, Permissions::from_mode(0o700))?;
        }
        Ok(())
    };
    prepared().map_err(|error| Error::file(dir, error))
}

/// Deletes the cached token of the audience; true when there was one.
pub(crate) fn remove_token(dir: &Path, audience: &str) -> bool {
    fs::remove_file(token_path(dir, audience)).is_ok()
}

/// The name is a hash, so no audience can name another place.
fn token_path(dir: &Path, audience: &str) -> PathBuf {
    dir.join(format!("optok-{}.json", base64url(sha256(&[audience.as_bytes()]))))
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Bound tokens on disk, so that a restart needs no request.
#[derive(Debug)]
pub(crate) struct TokenCache {
    dir: PathBuf,
    /// What a token was requested with, hashed: one of another issuer, client, scope or key is not
    /// ours.
    request: String,
    thumbprint: String,
}

/// A token that was read back.
pub(crate) struct StoredToken {
    pub(crate) token: Secret,
    pub(crate) thumbprint: String,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawFile<'a> {
    request: &'a str,
    thumbprint: &'a str,
    issued_at: Timestamp,
    expires_at: Timestamp,
    token: &'a str,
}

impl TokenCache {
    /// A cache in a directory that is prepared.
    pub(crate) fn new(options: &AuthorityOptions, thumbprint: &str) -> Self {
        let issuer = options.issuer.to_string();
        let scopes = options.scopes.join(" ");
        // None of the parts can hold a line feed that would shift the others.
        let request =
            [&issuer, &options.client_id, &scopes, thumbprint].map(|part| part.escape_debug().to_string());
        let request = base64url(sha256(&[request.join("\n").as_bytes()]));
        Self { dir: options.cache_dir.clone(), request, thumbprint: thumbprint.to_owned() }
    }

    /// A token that is bound to our key, was requested as we would, and has not ended.
    pub(crate) fn load(&self, audience: &str, now: Timestamp) -> Option<StoredToken> {
        let path = token_path(&self.dir, audience);
        let text = match read_private(&path) {
            Ok(text) => text,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(path = %path.display(), %error, "cached OpTok is ignored");
                }
                return None;
            }
        };
        let raw: RawFile<'_> = serde_json::from_str(&text).ok()?;
        let ours = raw.request == self.request && raw.thumbprint == self.thumbprint;
        (ours && raw.issued_at <= now && now < raw.expires_at).then(|| StoredToken {
            token: Secret::new(raw.token.to_owned()),
            thumbprint: raw.thumbprint.to_owned(),
            issued_at: raw.issued_at,
            expires_at: raw.expires_at,
        })
    }

    /// Keeps the token. A failure costs a request after the next restart and no more.
    pub(crate) fn store(&self, token: &OpTok, issued_at: Timestamp) {
        let Some(thumbprint) = token.thumbprint() else { return };
        let raw = RawFile {
            request: &self.request,
            thumbprint,
            issued_at,
            expires_at: token.expires_at(),
            token: token.expose(),
        };
        let path = token_path(&self.dir, token.audience());
        let Ok(text) = serde_json::to_vec(&raw).map(Zeroizing::new) else { return };
        if let Err(error) = write_private(&path, &text) {
            tracing::warn!(path = %path.display(), %error, "OpTok cannot be cached");
        }
    }

    pub(crate) fn remove(&self, audience: &str) -> bool {
        remove_token(&self.dir, audience)
    }
}

/// The text of a regular file that only we can read or write. Never follows a link, never waits
/// for the other end of a pipe.
fn read_private(path: &Path) -> io::Result<Zeroizing<String>> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    let private = metadata.is_file() && metadata.uid() == own_uid() && metadata.mode() & 0o077 == 0;
    if !private || metadata.len() > FILE_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "not a small file of our own, mode 0600",
        ));
    }
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(metadata.len()).unwrap_or_default()));
    file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// The old file or the new one, never half of it.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension(format!("{}.tmp", std::process::id()));
    // One that a crash left behind.
    let _ = fs::remove_file(&draft);
    let written = create_private(&draft).and_then(|mut file| file.write_all(bytes));
    let renamed = written.and_then(|()| fs::rename(&draft, path));
    if renamed.is_err() {
        let _ = fs::remove_file(&draft);
    }
    renamed
}

fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}
