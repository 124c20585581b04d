//! Tokens on disk.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use zastava_authority::{Authority, DpopKey, Tokens, invalidate_op_token};
use zastava_core::telemetry::Telemetry;

use super::log::Log;
use super::support::{Server, authority_with_key, mode_of, options};

/// A key file and a cache directory beside it.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::write(place.key(), DpopKey::generate_pem().expose()).unwrap();
        place
    }

    fn key(&self) -> PathBuf {
        self.0.path().join("key.pem")
    }

    fn cache(&self) -> PathBuf {
        self.0.path().join("run").join("optok")
    }

    /// A new process, as far as the cache knows.
    fn start(&self, server: &Server, settings: &[(&str, &str)]) -> Tokens {
        let (key_path, cache) = (self.key(), self.cache());
        let own = [("dpopKeyPath", key_path.to_str().unwrap()), ("cacheDir", cache.to_str().unwrap())];
        let key = Arc::new(DpopKey::from_file(&key_path).unwrap());
        Tokens::new(authority_with_key(server, &[&own, settings].concat(), key, &Telemetry::detached()))
    }

    /// The tokens in the cache.
    fn files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.cache()).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().unwrap() != "lock").collect()
    }

    /// The one token in the cache.
    fn file(&self) -> PathBuf {
        let files = self.files();
        let [file] = files.as_slice() else { panic!("{files:?}") };
        file.clone()
    }
}

/// How many tokens a second process asks for, after `change` to the file of the first.
async fn requests_after(change: impl FnOnce(&Path)) -> usize {
    let (place, server) = (Place::new(), Server::issuing(120));
    place.start(&server, &[]).token("scanner").await.unwrap();
    change(&place.file());
    place.start(&server, &[]).token("scanner").await.unwrap();
    // Whatever was there before, a good file is there now.
    assert_eq!((mode_of(&place.cache()), mode_of(&place.file())), (0o700, 0o600));
    place.start(&server, &[]).token("scanner").await.unwrap();
    server.count()
}

#[tokio::test(start_paused = true)]
async fn a_restart_continues_with_the_cached_token() {
    assert_eq!(requests_after(|_| ()).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_others_could_read_or_write_is_not_believed() {
    let set = |mode| move |path: &Path| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    assert_eq!(requests_after(set(0o640)).await, 2);
    assert_eq!(requests_after(set(0o602)).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_file_or_directory_of_somebody_else_is_not_believed() {
    if !rustix::process::geteuid().is_root() {
        return println!("SKIP: giving files away needs root");
    }
    let give = |path: &Path| std::os::unix::fs::chown(path, Some(65534), None).unwrap();
    assert_eq!(requests_after(give).await, 2);
    // Its owner could put any token there.
    let (place, server) = (Place::new(), Server::issuing(120));
    fs::create_dir_all(place.cache()).unwrap();
    give(&place.cache());
    place.start(&server, &[]).token("scanner").await.unwrap();
    assert_eq!(place.files(), [] as [PathBuf; 0]);
}

/// A slash at its end would follow the link.
#[tokio::test(start_paused = true)]
async fn a_link_is_no_cache_directory() {
    let (place, server) = (Place::new(), Server::issuing(120));
    let target = tempfile::tempdir().unwrap();
    let link = place.0.path().join("link");
    std::os::unix::fs::symlink(target.path(), &link).unwrap();
    for end in ["", "/", "/."] {
        let cache = format!("{}{end}", link.to_str().unwrap());
        place.start(&server, &[("cacheDir", &cache)]).token("scanner").await.unwrap();
        assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0, "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_of_the_future_is_ignored() {
    let set = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        fs::write(
            path,
            text.replace(r#""issuedAt":"2027-01-15T08:00:0"#, r#""issuedAt":"2027-01-15T08:01:0"#),
        )
        .unwrap();
    };
    assert_eq!(requests_after(set).await, 2);
}

/// A process that hangs may write its token long after that was refused.
#[tokio::test(start_paused = true)]
async fn a_refused_token_that_comes_back_to_the_disk_is_not_taken() {
    let (place, server) = (Place::new(), Server::issuing(120));
    let tokens = place.start(&server, &[]);
    let token = tokens.token("scanner").await.unwrap();
    let (path, text) = (place.file(), fs::read(place.file()).unwrap());
    tokens.reject(&token);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(tokens.token("scanner").await.unwrap().expose(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn malformed_cache_files_are_ignored() {
    let write = |bytes: &'static [u8]| move |path: &Path| fs::write(path, bytes).unwrap();
    assert_eq!(requests_after(write(b"")).await, 2);
    assert_eq!(requests_after(write(b"{\"token\":")).await, 2);
    assert_eq!(requests_after(write(&[0xff; 100])).await, 2);
    assert_eq!(requests_after(write(&[b' '; 100 * 1024])).await, 2);
    let link = |path: &Path| {
        let target = path.with_file_name("target");
        fs::rename(path, &target).unwrap();
        std::os::unix::fs::symlink(&target, path).unwrap();
        // Only the link may be left for the next look into the directory.
        fs::rename(&target, path.parent().unwrap().with_file_name("target")).unwrap();
    };
    assert_eq!(requests_after(link).await, 2);
    let pipe = |path: &Path| {
        fs::remove_file(path).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    };
    assert_eq!(requests_after(pipe).await, 2);
}

#[tokio::test(start_paused = true)]
async fn tokens_of_another_key_client_or_scope_are_ignored() {
    let (place, server) = (Place::new(), Server::issuing(120));
    place.start(&server, &[]).token("scanner").await.unwrap();
    place.start(&server, &[("clientId", "other")]).token("scanner").await.unwrap();
    place.start(&server, &[("scopes", "less")]).token("scanner").await.unwrap();
    place.start(&server, &[("issuer", "https://authority.test/other")]).token("scanner").await.unwrap();
    fs::write(place.key(), DpopKey::generate_pem().expose()).unwrap();
    place.start(&server, &[("issuer", "https://authority.test/other")]).token("scanner").await.unwrap();
    assert_eq!(server.count(), 5);
}

#[tokio::test(start_paused = true)]
async fn an_ended_token_is_ignored() {
    let (place, server) = (Place::new(), Server::issuing(1));
    place.start(&server, &[]).token("scanner").await.unwrap();
    tokio::time::advance(Duration::from_secs(2)).await;
    let text = fs::read_to_string(place.file()).unwrap();
    // Each process's clock starts anew, so the file is made older.
    fs::write(place.file(), text.replace("2027-01-15T08:00:0", "2027-01-15T07:00:0")).unwrap();
    place.start(&server, &[]).token("scanner").await.unwrap();
    assert_eq!(server.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_of_an_ephemeral_key_is_not_cached() {
    let (place, server) = (Place::new(), Server::issuing(120));
    let cache = place.cache();
    let settings = [("cacheDir", cache.to_str().unwrap())];
    let key = Arc::new(DpopKey::generate());
    let tokens = Tokens::new(authority_with_key(&server, &settings, key, &Telemetry::detached()));
    tokens.token("scanner").await.unwrap();
    assert!(!cache.exists());
}

#[tokio::test(start_paused = true)]
async fn refused_and_invalidated_tokens_leave_the_disk() {
    let (place, server) = (Place::new(), Server::issuing(120));
    let tokens = place.start(&server, &[]);
    let token = tokens.token("scanner").await.unwrap();
    tokens.reject(&token);
    assert_eq!(place.files(), [] as [PathBuf; 0]);
    tokens.token("scanner").await.unwrap();
    assert_eq!(tokens.invalidate("scanner"), 2);
    assert_eq!(place.files(), [] as [PathBuf; 0]);
}

/// Times are written with microseconds, and the system's clock has more digits.
#[tokio::test]
async fn a_refused_token_leaves_the_disk_whatever_the_time_is() {
    let (place, server) = (Place::new(), Server::issuing(120).with_latency(Duration::ZERO));
    let (key_path, cache) = (place.key(), place.cache());
    let settings = [("dpopKeyPath", key_path.to_str().unwrap()), ("cacheDir", cache.to_str().unwrap())];
    let (options, telemetry) = (options(&settings), Telemetry::detached());
    for number in 1..=20 {
        let key = Arc::new(DpopKey::from_file(&key_path).unwrap());
        let tokens = Tokens::new(Authority::new(&options, server.service(), key, &telemetry));
        let token = tokens.token("scanner").await.unwrap();
        assert_eq!(token.expose(), format!("token-{number}"));
        tokens.reject(&token);
        assert_eq!(place.files(), [] as [PathBuf; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_client_works_without_a_cache_directory() {
    let (place, server) = (Place::new(), Server::issuing(120));
    fs::write(place.0.path().join("run"), "a file in the way").unwrap();
    place.start(&server, &[]).token("scanner").await.unwrap();
    assert_eq!(server.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_audience_can_name_another_place() {
    let (place, server) = (Place::new(), Server::issuing(120));
    place.start(&server, &[]).token("../../key.pem").await.unwrap();
    assert_eq!(place.file().parent().unwrap(), place.cache());
    assert!(fs::read_to_string(place.key()).unwrap().starts_with("-----BEGIN"));
}

#[tokio::test]
async fn the_command_works_without_any_process() {
    let (place, server) = (Place::new(), Server::issuing(120));
    let nowhere = invalidate_op_token(&place.cache(), "scanner").await.unwrap();
    assert_eq!((nowhere.processes, nowhere.tokens), (0, 0));

    place.start(&server, &[]).token("scanner").await.unwrap();
    // A process that died left its socket.
    let stale = place.cache().join("control-1-0.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    let done = invalidate_op_token(&place.cache(), "scanner").await.unwrap();
    assert_eq!((done.processes, done.tokens), (0, 1));
    assert_eq!(place.files(), [] as [PathBuf; 0]);
}

/// Somebody may have named their home directory.
#[tokio::test(start_paused = true)]
async fn a_directory_that_others_use_is_neither_closed_nor_used() {
    let log = Log::default();
    let _guard = log.start();
    let (place, server) = (Place::new(), Server::issuing(120));
    fs::create_dir_all(place.cache()).unwrap();
    let mode = |mode| fs::set_permissions(place.cache(), Permissions::from_mode(mode)).unwrap();
    fs::write(place.cache().join("notes.txt"), "").unwrap();
    mode(0o755);
    place.start(&server, &[]).token("scanner").await.unwrap();
    assert_eq!((mode_of(&place.cache()), place.files().len()), (0o755, 1));
    let refused = log.lines("OpToks are not cached on disk");
    let reason = refused[0].to_string();
    assert!(refused.len() == 1 && reason.contains("cannot use"), "{reason}");

    // One that holds nothing else is closed, and the log says so.
    fs::remove_file(place.cache().join("notes.txt")).unwrap();
    place.start(&server, &[]).token("scanner").await.unwrap();
    assert_eq!((mode_of(&place.cache()), place.files().len()), (0o700, 1));
    let closed = log.lines("cache directory was closed to other users");
    assert_eq!((closed.len(), &closed[0]["former_mode"]), (1, &"755".into()));
    // One that is closed already is not mentioned.
    place.start(&server, &[]).token("scanner").await.unwrap();
    assert_eq!(log.lines("cache directory was closed to other users").len(), 1);
}
