//! The cache directory: tokens on disk, and the control sockets beside them.
//!
//! Only its owner may look into it. A file that another user could have written or read is ignored
//! and replaced.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags};
use serde::{Deserialize, Serialize};
use zastava_core::clock::Timestamp;
use zastava_core::options::AuthorityOptions;
use zastava_core::secret::Secret;
use zeroize::Zeroizing;

use crate::encoding::{base64url, random, sha256};
use crate::error::Error;
use crate::token::OpTok;

const FILE_BYTES_MAX: u64 = 64 * 1024;
/// How the names of all files begin that are written there.
const OUR_NAMES: [&str; 2] = ["optok-", "control-"];
const DRAFT_AGE_MAX: Duration = Duration::from_secs(60);

/// Makes the directory, or checks that it is ours and closes it to other users.
pub(crate) fn prepare(dir: &Path) -> Result<(), Error> {
    // With a slash at the end, a link would be followed.
    let dir: &Path = &dir.components().collect::<PathBuf>();
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
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it is no directory of our own user",
            ));
        }
        let mode = metadata.mode() & 0o777;
        if mode & 0o077 != 0 {
            close(dir, mode)?;
        }
        remove_drafts(dir)
    };
    prepared().map_err(|error| Error::file(dir, error))
}

/// Closes a directory that others may enter, unless somebody else uses it, as a home directory is used.
fn close(dir: &Path, mode: u32) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        if !OUR_NAMES.iter().any(|start| name.as_encoded_bytes().starts_with(start.as_bytes())) {
            let reason = format!(
                "other users may enter it (mode {mode:o}), and it holds {name:?}; cacheDir must be a directory for \
                 tokens alone"
            );
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
        }
    }
    fs::set_permissions(dir, Permissions::from_mode(0o700))?;
    tracing::warn!(path = %dir.display(), former_mode = format!("{mode:o}"), "cache directory was closed to other users");
    Ok(())
}

/// Deletes the cached token of the audience, and returns whether there was one.
pub(crate) fn remove_token(dir: &Path, audience: &str) -> bool {
    fs::remove_file(path_of(dir, audience, "json")).is_ok()
}

/// The name is a hash, so that no audience can name another place.
fn path_of(dir: &Path, audience: &str, extension: &str) -> PathBuf {
    dir.join(format!("optok-{}.{extension}", base64url(sha256(&[audience.as_bytes()]))))
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Bound tokens on disk, so that neither a restart nor a second process needs a token request.
#[derive(Debug)]
pub(crate) struct TokenCache {
    options: AuthorityOptions,
    /// The log says already that the file is ignored, and no good file was read since.
    is_ignored: AtomicBool,
}

/// A token that was read back.
pub(crate) struct StoredToken {
    pub(crate) token: Secret,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// The key that a token is bound to and the certificate that it was requested with, by thumbprint.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bindings<'a> {
    pub(crate) jkt: Option<&'a str>,
    /// `x5t#S256`
    pub(crate) x5t: Option<&'a str>,
}

/// While this is held, no other process requests a token for the audience.
#[derive(Debug)]
pub(crate) struct AudienceLock(File);

impl Drop for AudienceLock {
    /// Unlocks explicitly: closing is not enough while a child between fork and exec has the file too.
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawFile<'a> {
    request: &'a str,
    #[serde(borrow)]
    bindings: Bindings<'a>,
    issued_at: Timestamp,
    expires_at: Timestamp,
    token: &'a str,
}

impl TokenCache {
    /// A cache in a prepared directory.
    pub(crate) fn new(options: &AuthorityOptions) -> Self {
        Self { options: options.clone(), is_ignored: AtomicBool::new(false) }
    }

    fn path_of(&self, audience: &str, extension: &str) -> PathBuf {
        path_of(&self.options.cache_dir, audience, extension)
    }

    /// A hash of issuer, client and scopes. A token that was requested with others is not ours.
    fn request(&self, audience: &str) -> String {
        let (issuer, scopes) = (self.options.issuer.to_string(), self.options.scopes_for(audience).join(" "));
        // Escaped, so that no part holds a line feed that would shift the others.
        let parts = [&issuer, &self.options.client_id, &scopes].map(|part| part.escape_debug().to_string());
        base64url(sha256(&[parts.join("\n").as_bytes()]))
    }

    /// A token that has not ended, with the bindings and the request that ours would have.
    pub(crate) fn load(&self, audience: &str, bindings: Bindings<'_>, now: Timestamp) -> Option<StoredToken> {
        let path = self.path_of(audience, "json");
        let text = match read_private(&path) {
            Ok(text) => text,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound && !self.is_ignored.swap(true, Ordering::Relaxed) {
                    tracing::warn!(path = %path.display(), %error, "cached OpTok is ignored");
                }
                return None;
            }
        };
        self.is_ignored.store(false, Ordering::Relaxed);
        let raw: RawFile<'_> = serde_json::from_str(&text).ok()?;
        let ours = raw.request == self.request(audience) && raw.bindings == bindings;
        (ours && raw.issued_at <= now && now < raw.expires_at).then(|| StoredToken {
            token: Secret::new(raw.token.to_owned()),
            issued_at: raw.issued_at,
            expires_at: raw.expires_at,
        })
    }

    /// Keeps a bound token. Whoever copied one that is bound to nothing could use it. A failure costs no more
    /// than a request after the next restart.
    pub(crate) fn store(&self, token: &OpTok, issued_at: Timestamp) {
        if !token.is_bound() {
            return;
        }
        let bindings = Bindings { jkt: token.thumbprint(), x5t: token.requested_with() };
        let raw = RawFile {
            request: &self.request(token.audience()),
            bindings,
            issued_at,
            expires_at: token.expires_at(),
            token: token.expose(),
        };
        let path = self.path_of(token.audience(), "json");
        // Large enough for all: a buffer that grows leaves copies behind.
        let mut text = Zeroizing::new(Vec::with_capacity(1024 + 2 * token.expose().len()));
        let written = serde_json::to_writer(&mut *text, &raw).map_err(io::Error::from);
        if let Err(error) = written.and_then(|()| write_private(&path, &text)) {
            tracing::warn!(path = %path.display(), %error, "OpTok cannot be cached");
        }
    }

    /// Deletes the audience's token if it was requested until `until`, and returns whether there was
    /// one.
    pub(crate) fn remove_until(&self, audience: &str, until: Timestamp, now: Timestamp) -> bool {
        let path = self.path_of(audience, "json");
        let newer = read_private(&path).is_ok_and(|text| {
            serde_json::from_str::<RawFile<'_>>(&text)
                .is_ok_and(|raw| is_later(raw.issued_at, until) && !is_later(raw.issued_at, now))
        });
        !newer && remove_token(&self.options.cache_dir, audience)
    }

    /// Takes the audience's lock, or returns `None` while another process holds it. A process that ends
    /// in any way releases its locks. If the file cannot be locked, there is nobody to wait for.
    pub(crate) fn try_lock(&self, audience: &str) -> Option<Option<AudienceLock>> {
        let path = self.path_of(audience, "lock");
        let opened = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(open_flags())
            .open(&path);
        let Ok(file) = opened else { return Some(None) };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Some(Some(AudienceLock(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => None,
            Err(_) => Some(None),
        }
    }
}

/// Whether a time from a file is later than another time. Writing rounds to microseconds.
pub(crate) fn is_later(written: Timestamp, time: Timestamp) -> bool {
    written > time.saturating_add(Duration::from_micros(1))
}

/// Neither follow a link nor wait for the other end of a pipe.
fn open_flags() -> i32 {
    i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or_default()
}

/// Reads a regular file that only we can read or write.
fn read_private(path: &Path) -> io::Result<Zeroizing<String>> {
    let file = OpenOptions::new().read(true).custom_flags(open_flags()).open(path)?;
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

/// Replaces the file. After a crash there is the old file or the new one, never half of one.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Two writers of one name would mix their texts. The lock keeps them apart unless it timed out.
    let draft = path.with_extension(format!("{}.tmp", base64url(random::<8>())));
    let written = create_private(&draft).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| fs::rename(&draft, path));
    if renamed.is_err() {
        let _ = fs::remove_file(&draft);
    }
    renamed?;
    // The new name is on disk once the directory is.
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Deletes drafts that a crash left behind. A draft of the last minute may still be in use.
fn remove_drafts(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let old = || path.metadata()?.modified()?.elapsed().map_err(io::Error::other);
        if path.extension().is_some_and(|end| end == "tmp") && old().is_ok_and(|age| age > DRAFT_AGE_MAX) {
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
}
