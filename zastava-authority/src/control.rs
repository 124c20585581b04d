//! How an operator's command reaches running processes: each listens on a Unix socket in the cache
//! directory. See
//! docs/design/authority.md#how-does-invalidate-op-token-reach-a-running-program.
//!
//! A question is one line of JSON, and so is its answer. A user who may open the directory may open
//! the sockets.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use zastava_core::clock::Timestamp;
use zastava_core::telemetry::scope;

use crate::authority::{Authority, TokenManager};
use crate::cache_dir;
use crate::encoding::{base64url, random};
use crate::error::Error;

const LINE_BYTES_MAX: u64 = 4 * 1024;
/// A client waits this long for each process. A process waits half of it for the question.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
const QUESTION_TIMEOUT: Duration = Duration::from_millis(500);
/// Clients that are served at the same time.
const CLIENTS_MAX: usize = 16;

#[derive(Serialize, Deserialize)]
struct Question {
    /// The audience.
    invalidate: String,
    /// A token that was requested later stays: another process may already have written it to disk.
    #[serde(default = "Timestamp::now")]
    until: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    tokens: usize,
}

/// What [`invalidate_op_token`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invalidation {
    /// Processes that answered.
    pub processes: usize,
    /// Processes that run and did not answer in time. They may continue to use their token.
    pub unanswered: usize,
    /// Copies of tokens that were dropped, in memory and on disk.
    pub tokens: usize,
}

/// Drops cached tokens for the audience: the file on disk, and the token in each running process that
/// shares this cache directory. Each process requests a new token at once. Takes about a second at
/// most.
///
/// A copied token can be used until it expires: tokens are JWTs.
///
/// # Errors
/// [`Error::File`] if the directory exists but cannot be read.
pub async fn invalidate_op_token(cache_dir: &Path, audience: &str) -> Result<Invalidation, Error> {
    // The file is removed first: a process writes its new token there.
    let tokens = cache_dir::remove_token(cache_dir, audience).into();
    let mut done = Invalidation { tokens, ..Invalidation::default() };
    let question = Arc::new(Question { invalidate: audience.to_owned(), until: Timestamp::now() });
    let mut asked = JoinSet::new();
    for socket in sockets(cache_dir).map_err(|error| Error::file(cache_dir, error))? {
        let question = Arc::clone(&question);
        asked.spawn(async move {
            let answer = tokio::time::timeout(ANSWER_TIMEOUT, ask(&socket, &question)).await;
            (socket, answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())))
        });
    }
    for (socket, answer) in asked.join_all().await {
        match answer {
            Ok(answer) => {
                done.processes += 1;
                done.tokens += answer.tokens;
            }
            Err(error) if is_gone(&error) => drop(fs::remove_file(&socket)),
            Err(error) => {
                done.unanswered += 1;
                tracing::warn!(socket = %socket.display(), %error, "a process did not answer");
            }
        }
    }
    let message = match done.tokens {
        0 => "no OpTok was cached",
        _ => "cached OpToks were dropped; a copy of one can be used until it expires",
    };
    tracing::info!(
        scope = scope::TOKEN_INVALIDATE,
        audience,
        processes = done.processes,
        unanswered = done.unanswered,
        tokens = done.tokens,
        "{message}"
    );
    Ok(done)
}

/// Nobody listens, so the process has ended: a socket gets its name only when it listens already.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}

fn sockets(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    Ok(names.filter(|path| is_socket_name(path)).collect())
}

fn is_socket_name(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with("control-") && name.ends_with(".sock")
}

async fn ask(socket: &Path, question: &Question) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(socket).await?;
    write_line(&mut stream, question).await?;
    read_line(&mut stream).await
}

/// Listens until the authority's last handle is dropped. Without a socket everything else works.
pub(crate) fn listen(authority: &Authority, cache_dir: &Path) {
    let bound = cache_dir::prepare(cache_dir).and_then(|()| Socket::bind(cache_dir));
    let (manager, mut alive) = authority.manager();
    match bound {
        Ok(socket) => {
            let dir = cache_dir.to_owned();
            tokio::spawn(async move {
                remove_dead(&dir).await;
                tokio::select! {
                    // Nothing is ever sent: the sender was dropped.
                    _ = alive.changed() => {}
                    () = socket.serve(manager) => {}
                }
            });
        }
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "no control socket: invalidate-op-token will not reach this process");
        }
    }
}

/// Removes the sockets of processes that were killed.
async fn remove_dead(dir: &Path) {
    for socket in sockets(dir).unwrap_or_default() {
        if UnixStream::connect(&socket).await.is_err_and(|error| is_gone(&error)) {
            let _ = fs::remove_file(&socket);
        }
    }
}

/// A listening socket. Its file is removed when it is dropped.
struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Uses a random name, since process numbers repeat in every container. The socket gets that name
    /// only when it listens, or others would take it for that of a dead process.
    fn bind(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(format!("control-{}.sock", base64url(random::<8>())));
        let draft = path.with_extension("tmp");
        let bound = || {
            let listener = UnixListener::bind(&draft)?;
            fs::set_permissions(&draft, Permissions::from_mode(0o600))?;
            fs::rename(&draft, &path)?;
            Ok(listener)
        };
        let listener = bound().map_err(|error| Error::file(dir, error))?;
        Ok(Self { listener, path })
    }

    /// Each client has half a second, and none waits for another.
    async fn serve(&self, manager: Arc<TokenManager>) {
        let mut clients = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept(), if clients.len() < CLIENTS_MAX => accepted,
                Some(_) = clients.join_next() => continue,
            };
            match accepted {
                Ok((stream, _)) => {
                    let answered = answer(stream, Arc::clone(&manager));
                    clients.spawn(tokio::time::timeout(QUESTION_TIMEOUT, answered));
                }
                // Out of descriptors, most likely: do not spin.
                Err(_) => tokio::time::sleep(QUESTION_TIMEOUT).await,
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

async fn answer(mut stream: UnixStream, manager: Arc<TokenManager>) -> io::Result<()> {
    let question: Question = read_line(&mut stream).await?;
    let tokens = manager.invalidate(&question.invalidate, question.until);
    write_line(&mut stream, &Answer { tokens }).await
}

async fn read_line<T: serde::de::DeserializeOwned>(stream: &mut UnixStream) -> io::Result<T> {
    let mut line = Vec::new();
    BufReader::new(stream.take(LINE_BYTES_MAX)).read_until(b'\n', &mut line).await?;
    Ok(serde_json::from_slice(&line)?)
}

async fn write_line(stream: &mut UnixStream, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line).await
}
