//! A file system in user space whose answers a test can stop: the kernel's FUSE protocol (7.31), as far as a few files to
//! be read and executed need it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

use crate::support::skip;

const PAUSE: Duration = Duration::from_millis(1);
/// More than the kernel sends in one request.
const REQUEST_BYTES_MAX: usize = 256 << 10;
const HEADER_BYTES: usize = 40;
const ROOT: u64 = 1;
const DIRECTORY: u32 = 0o040_755;
const REGULAR: u32 = 0o100_755;
/// Pages stay in the kernel when a file is opened again.
const KEEP_CACHE: u32 = 2;

/// What the server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Answers,
    /// Requests wait in the kernel, as when the server is stopped. A kill ends such a wait.
    Stopped,
    /// Requests are taken and not answered. Nothing ends such a wait.
    Takes,
}

/// How long the kernel trusts the names and attributes it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Each look-up asks the server.
    Nothing,
    /// Only opening and reading do.
    Names,
}

/// A mounted file system, which is unmounted with the test.
pub(crate) struct Fuse {
    directory: TempDir,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    server: Server,
    has_ended: bool,
}

impl Fuse {
    /// Whether FUSE can be mounted here. If not, a line says so.
    pub(crate) fn is_possible() -> bool {
        let mounted = Self::try_mount(Trust::Names, &[]);
        if let Err(error) = &mounted {
            skip(&format!("no FUSE file system can be mounted, which needs root and /dev/fuse: {error}"));
        }
        mounted.is_ok()
    }

    /// Mounts a file system with these files.
    pub(crate) fn mount(trust: Trust, files: &[(&'static str, &Path)]) -> Self {
        Self::try_mount(trust, files).expect("can be mounted")
    }

    fn try_mount(trust: Trust, files: &[(&'static str, &Path)]) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
        let options = std::ffi::CString::new(options).expect("has no NUL");
        mount("zastava-test", directory.path(), "fuse", MountFlags::empty(), options.as_c_str())?;
        let files =
            files.iter().map(|(name, path)| (*name, std::fs::read(path).expect("is there"))).collect();
        let state = Arc::new(Mutex::new(State { server: Server::Answers, has_ended: false }));
        let kernel = Kernel { device, trust, files, taken: Vec::new() };
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || kernel.serve(&shared));
        Ok(Self { directory, state, thread: Some(thread) })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Requests that were taken are answered when the server answers again.
    pub(crate) fn set(&self, server: Server) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).server = server;
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).has_ended = true;
        // Closes the device, which ends every wait for an answer.
        let _ = self.thread.take().map(JoinHandle::join);
        let _ = unmount(self.directory.path(), UnmountFlags::DETACH);
    }
}

/// The kernel's side of the file system.
struct Kernel {
    device: File,
    trust: Trust,
    /// The inode of the first file is 2.
    files: Vec<(&'static str, Vec<u8>)>,
    taken: Vec<Vec<u8>>,
}

impl Kernel {
    fn serve(mut self, state: &Mutex<State>) {
        loop {
            {
                // Held until the answer is given, so that `set` takes effect between two requests.
                let state = state.lock().unwrap_or_else(PoisonError::into_inner);
                if state.has_ended {
                    return;
                }
                if state.server == Server::Answers {
                    std::mem::take(&mut self.taken).iter().for_each(|request| self.answer(request));
                }
                if state.server != Server::Stopped
                    && let Some(request) = self.next_request()
                {
                    match state.server {
                        Server::Answers => self.answer(&request),
                        _ => self.taken.push(request),
                    }
                    continue;
                }
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn next_request(&self) -> Option<Vec<u8>> {
        let mut waiting = [PollFd::new(&self.device, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut waiting, Some(&now)).ok()? == 0 {
            return None;
        }
        let mut request = vec![0; REQUEST_BYTES_MAX];
        // A request that was interrupted is gone.
        let length = (&self.device).read(&mut request).ok()?;
        request.truncate(length);
        Some(request)
    }

    fn answer(&self, request: &[u8]) {
        let (operation, node) = (u32_at(request, 4), u64_at(request, 16));
        let body = &request[HEADER_BYTES..];
        let answer = match operation {
            // Forget, batch forget, interrupt: nothing is answered.
            2 | 36 | 42 => return,
            1 => self.look_up(body),
            3 => Ok(Words::default().u64(self.seconds()).u64(0).attributes(self, node)),
            // Open a file or the directory.
            14 | 27 => Ok(Words::default().u64(0).u32(KEEP_CACHE).u32(0)),
            15 => Ok(self.read(node, u64_at(body, 8), u32_at(body, 16))),
            // Release, flush, access.
            18 | 25 | 29 | 34 => Ok(Words::default()),
            26 => Ok(Words::default().u32(7).u32(31).u32(128 << 10).u32(0).u32(0).u32(4096).u32(1).zeros(36)),
            _ => Err(Errno::NOSYS),
        };
        let (error, body) = match answer {
            Ok(words) => (0, words.0),
            Err(error) => (-error.raw_os_error(), Vec::new()),
        };
        let length = u32::try_from(16 + body.len()).expect("is short");
        let head = Words::default().u32(length).u32(error.cast_unsigned()).u64(u64_at(request, 8));
        // A request whose sender was killed takes no answer.
        let _ = (&self.device).write(&[head.0, body].concat());
    }

    fn look_up(&self, name: &[u8]) -> Result<Words, Errno> {
        let name = name.strip_suffix(b"\0").unwrap_or(name);
        let at = self.files.iter().position(|(known, _)| known.as_bytes() == name).ok_or(Errno::NOENT)?;
        let node = ROOT + 1 + at as u64;
        let entry = Words::default().u64(node).u64(0).u64(self.seconds()).u64(self.seconds()).u64(0);
        Ok(entry.attributes(self, node))
    }

    fn read(&self, node: u64, offset: u64, size: u32) -> Words {
        let content = self.content(node);
        let from = usize::try_from(offset).map_or(content.len(), |offset| offset.min(content.len()));
        let to = content.len().min(from + size as usize);
        Words(content[from..to].to_vec())
    }

    fn content(&self, node: u64) -> &[u8] {
        let at = usize::try_from(node - ROOT).ok().and_then(|at| at.checked_sub(1));
        at.and_then(|at| self.files.get(at)).map_or(&[], |(_, content)| content)
    }

    fn seconds(&self) -> u64 {
        match self.trust {
            Trust::Nothing => 0,
            Trust::Names => 3600,
        }
    }
}

/// Words in the byte order of the machine, as the protocol has them.
#[derive(Default)]
struct Words(Vec<u8>);

impl Words {
    fn u32(mut self, word: u32) -> Self {
        self.0.extend(word.to_ne_bytes());
        self
    }

    fn u64(mut self, word: u64) -> Self {
        self.0.extend(word.to_ne_bytes());
        self
    }

    fn zeros(mut self, count: usize) -> Self {
        self.0.extend(std::iter::repeat_n(0, count));
        self
    }

    /// `fuse_attr`: inode, size, blocks, three times, their nanoseconds, mode, links, owner, group, device, block size.
    fn attributes(self, kernel: &Kernel, node: u64) -> Self {
        let size = kernel.content(node).len() as u64;
        let mode = if node == ROOT { DIRECTORY } else { REGULAR };
        let words = self.u64(node).u64(size).u64(size.div_ceil(512)).zeros(36);
        words.u32(mode).u32(1).zeros(12).u32(4096).u32(0)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("has four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("has eight bytes"))
}
