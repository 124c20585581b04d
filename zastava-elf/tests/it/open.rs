//! Opening paths that somebody else controls: only regular files, never outside the root, never waiting.
#![expect(clippy::print_stderr, reason = "counts are told")]

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use tempfile::TempDir;
use zastava_elf::{
    BuildId, ElfReader, Errno, Error, ErrorKind, Limit, Part, RegularFile, build_id, build_id_of,
    open_in_root, open_regular,
};

use crate::image::{Area, ID, PT_NOTE, SHAPES, SHT_PROGBITS};

/// Long enough for any machine. A call that waits for a peer would never return.
const PATIENCE: Duration = Duration::from_secs(60);

fn elf() -> Vec<u8> {
    SHAPES[0].image().note_segment(SHAPES[0].gnu(&ID)).bytes()
}

fn opened(result: Result<RegularFile, Error>) -> Result<Vec<u8>, ErrorKind> {
    let fd = result.map_err(|error| error.kind())?;
    Ok(build_id_of(fd).expect("an ELF file").expect("an id").as_bytes().to_vec())
}

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
}

/// Runs `call` in a thread and fails if it does not return.
fn returns<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(call()));
    receiver.recv_timeout(PATIENCE).expect("the call returns")
}

#[test]
fn a_fifo_is_refused_without_waiting_for_a_writer() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("fifo");
    fifo(&path);
    symlink("fifo", dir.path().join("link")).unwrap();
    for name in ["fifo", "link"] {
        let path = dir.path().join(name);
        assert_eq!(returns(move || build_id(path)), Err(Error::NotRegular));
    }
    let root = File::open(dir.path()).unwrap();
    assert_eq!(returns(move || opened(open_in_root(root, "fifo"))), Err(ErrorKind::NotRegular));
}

#[test]
fn a_fifo_never_gets_a_reader() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("fifo");
    fifo(&path);
    let writer = {
        let path = path.clone();
        // Returns when somebody opens the other end.
        thread::spawn(move || File::options().write(true).open(path).map(drop))
    };
    for _ in 0..1000 {
        assert_eq!(build_id(&path), Err(Error::NotRegular));
    }
    assert!(!writer.is_finished(), "the FIFO got a reader");
    let reader = rustix::fs::open(&path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
    writer.join().unwrap().unwrap();
    drop(reader);
}

#[test]
fn devices_directories_and_sockets_are_refused() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    for path in [Path::new("/dev/null"), Path::new("/dev/zero"), dir.path(), &socket] {
        assert_eq!(build_id(path), Err(Error::NotRegular), "{}", path.display());
    }
    let root = File::open("/").unwrap();
    assert_eq!(opened(open_in_root(&root, "dev/null")), Err(ErrorKind::NotRegular));
    assert_eq!(opened(open_in_root(&root, "/")), Err(ErrorKind::NotRegular));
}

#[test]
fn files_without_content_are_not_opened() {
    let dir = TempDir::new().unwrap();
    let empty = dir.path().join("empty");
    File::create(&empty).unwrap();
    assert_eq!(build_id(&empty), Err(Error::NotElf));
    // Has the size 0 and may block a reader.
    assert_eq!(build_id("/proc/self/maps"), Err(Error::NotElf));
}

#[test]
fn an_open_that_fails_has_the_error_number() {
    let dir = TempDir::new().unwrap();
    let error = build_id(dir.path().join("missing")).unwrap_err();
    let enoent = Errno::from_raw(2);
    assert_eq!(error, Error::Io { part: Part::File, error: enoent });
    assert_eq!(error.to_string(), "cannot open ELF file");
    assert_eq!(std::io::Error::from(enoent).kind(), std::io::ErrorKind::NotFound);
    assert!(matches!(build_id("a\0b"), Err(Error::Io { part: Part::File, .. })));
}

#[test]
fn descriptors_that_cannot_be_read_at_an_offset_end_in_an_error() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&elf()).unwrap();
    let espipe = Error::Io { part: Part::Header, error: Errno::from_raw(29) };
    assert_eq!(build_id_of(&reader), Err(espipe));
    let eisdir = Error::Io { part: Part::Header, error: Errno::from_raw(21) };
    assert_eq!(build_id_of(File::open("/").unwrap()), Err(eisdir));
}

/// A directory with a file, a directory `root` with another file, and links of all kinds in the root.
fn container() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("usr/lib")).unwrap();
    fs::write(dir.path().join("outside"), elf()).unwrap();
    fs::write(root.join("usr/lib/inside"), elf()).unwrap();
    symlink("/usr/lib/inside", root.join("absolute")).unwrap();
    symlink("../../../../usr/lib/inside", root.join("upwards")).unwrap();
    symlink("../outside", root.join("escape")).unwrap();
    symlink(dir.path().join("outside"), root.join("host")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    for n in 0..45 {
        let target = if n == 0 { "usr/lib/inside".to_owned() } else { format!("deep{}", n - 1) };
        symlink(target, root.join(format!("deep{n}"))).unwrap();
    }
    (dir, root)
}

#[test]
fn lookups_stay_in_the_root() {
    let (_dir, root) = container();
    let root = File::open(root).unwrap();
    let inside =
        ["usr/lib/inside", "/usr/lib/inside", "../../usr/lib/inside", "absolute", "upwards", "deep39"];
    for path in inside {
        assert_eq!(opened(open_in_root(&root, path)), Ok(ID.to_vec()), "{path}");
    }
    for path in ["../outside", "escape", "host", "dangling", "deep40"] {
        assert_eq!(opened(open_in_root(&root, path)), Err(ErrorKind::Io), "{path}");
    }
}

#[test]
fn magic_links_are_followed_by_path_and_refused_in_a_root() {
    assert!(open_regular("/proc/self/exe").is_ok());
    let eloop = Error::Io { part: Part::File, error: Errno::from_raw(40) };
    assert_eq!(open_in_root(File::open("/").unwrap(), "proc/self/exe").unwrap_err(), eloop);
}

#[test]
fn the_descriptor_is_readable_and_close_on_exec() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&elf()).unwrap();
    let fd = open_regular(file.path()).unwrap();
    let flags = rustix::fs::fcntl_getfl(&fd).unwrap();
    assert!(!flags.intersects(OFlags::PATH | OFlags::WRONLY | OFlags::RDWR));
    assert!(rustix::io::fcntl_getfd(&fd).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
}

#[test]
fn a_deleted_file_is_still_read_through_its_descriptor() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&elf()).unwrap();
    let fd = open_regular(file.path()).unwrap();
    file.close().unwrap();
    assert_eq!(build_id_of(&fd).unwrap().unwrap().as_bytes(), ID);
}

#[test]
fn sparse_giants_are_answered_from_a_few_pages() {
    let shape = SHAPES[0];
    let file = |bytes: Vec<u8>| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        file.set_len(1 << 30).unwrap();
        file
    };
    let notes = Area::new(PT_NOTE, 4, vec![0; 16]).claims(None, Some(1 << 29));
    let error = ElfReader::new().identity(&file(shape.image().segment(notes).bytes())).unwrap_err();
    assert_eq!(error, Error::Limit { limit: Limit::Notes, part: Part::Segment(0) });

    let symbols = Area::new(SHT_PROGBITS, 4, Vec::new()).claims(Some(0), Some(1 << 30));
    let image = shape.image().section(symbols).note_section(shape.gnu(&ID));
    let identity = ElfReader::new().identity(&file(image.bytes())).unwrap();
    assert_eq!(identity.build_id.unwrap().as_bytes(), ID);
    assert_eq!(identity.cost.preads, 1);
}

/// A read during a write can return a mixture of old and new id, because the bytes of an id are in two cache
/// lines and the writer has stored to one. Reading the id again finds nearly all mixtures. `ZASTAVA_ELF_SCANS`
/// sets the number of reads of each kind; CI does a million.
// docs/design/elf.md#why-is-a-build-id-read-twice
#[test]
fn ids_torn_by_a_writer_are_found_by_reading_again() {
    let scans = std::env::var("ZASTAVA_ELF_SCANS").map_or(20_000, |scans| scans.parse().expect("a number"));
    let shape = SHAPES[0];
    let [old, new] = [[0x11; 20], [0x22; 20]].map(|id| {
        shape.image().section(Area::new(SHT_PROGBITS, 1, vec![0; 9000])).note_section(shape.gnu(&id)).bytes()
    });
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&old).unwrap();
    let (path, done) = (file.path().to_owned(), mpsc::channel::<()>());
    let writer = thread::spawn(move || {
        let file = File::options().write(true).open(path).unwrap();
        for (turn, image) in [&new, &old].into_iter().cycle().enumerate() {
            // Truncated to nothing, truncated within the sections, or overwritten, most often just around the id.
            let from = match turn % 32 {
                0 => file.set_len(0).map(|()| 0).unwrap(),
                1 => file.set_len(image.len() as u64 - 100).map(|()| 0).unwrap(),
                2..8 => 0,
                _ => 9000,
            };
            rustix::io::pwrite(&file, &image[from..], from as u64).unwrap();
            if done.1.try_recv() != Err(mpsc::TryRecvError::Empty) {
                break;
            }
        }
    });
    let torn = |kind: &str, scan: &dyn Fn() -> Result<Option<BuildId>, Error>| {
        let (mut olds, mut news, mut nones, mut errors, mut torn) = (0, 0, 0, 0, 0);
        for _ in 0..scans {
            match scan() {
                Ok(Some(id)) if id.as_bytes() == [0x11; 20] => olds += 1,
                Ok(Some(id)) if id.as_bytes() == [0x22; 20] => news += 1,
                Ok(Some(_)) => torn += 1,
                Ok(None) => nones += 1,
                Err(_) => errors += 1,
            }
        }
        eprintln!("{scans} {kind}: {olds} old, {news} new, {nones} none, {errors} errors, {torn} torn");
        torn
    };
    let once = torn("read once", &|| Ok(ElfReader::new().identity(file.as_file())?.build_id));
    let again = torn("read again", &|| build_id_of(&file));
    drop(done.0);
    writer.join().unwrap();
    assert!(again <= 1 + once / 8, "{once} torn when read once, {again} when read again");
}
