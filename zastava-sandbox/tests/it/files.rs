use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zastava_sandbox::{Error, Files, Sandbox, SandboxOptions};

fn contents(files: &Files) -> Vec<String> {
    let paths = [
        &files.ca_bundle,
        &files.client_certificate,
        &files.client_key,
        &files.dpop_key,
        &files.webhook_certificate,
        &files.webhook_key,
    ];
    paths.map(|path| std::fs::read_to_string(path).expect("reads")).into()
}

fn mode(path: &Path) -> u32 {
    path.metadata().expect("is there").permissions().mode() & 0o777
}

async fn start(directory: &Path) -> Sandbox {
    Sandbox::start(SandboxOptions::new(directory)).await.expect("starts")
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    let parent = tempfile::tempdir().expect("has a place for files");
    let directory = parent.path().join("made/here");
    let sandbox = start(&directory).await;
    sandbox.write_configuration("acme").expect("writes");
    assert_eq!(mode(&directory), 0o700);
    let mut count = 0;
    for entry in std::fs::read_dir(&directory).expect("lists") {
        let path = entry.expect("is there").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        count += 1;
    }
    assert_eq!(count, 8, "seven files and the configuration, none left unfinished");
}

#[tokio::test]
async fn a_directory_that_others_may_enter_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().expect("has a place for files");
    std::fs::write(directory.path().join("notes"), "mine").expect("writes");
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).expect("opens it");
    match Sandbox::start(SandboxOptions::new(directory.path())).await {
        Err(Error::DirectoryOpen { mode: 0o755, .. }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(mode(directory.path()), 0o755);
    assert_eq!(std::fs::read_dir(directory.path()).expect("lists").count(), 1);
}

#[tokio::test]
async fn a_restart_keeps_what_clients_were_given() {
    let directory = tempfile::tempdir().expect("has a place for files");
    let first = start(directory.path()).await;
    let before = contents(first.files());
    first.stop().await;
    assert_eq!(contents(start(directory.path()).await.files()), before);
}

#[tokio::test]
async fn damaged_files_are_all_made_anew() {
    let directory = tempfile::tempdir().expect("has a place for files");
    let other = tempfile::tempdir().expect("has a place for files");
    let foreign = contents(start(other.path()).await.files());
    let mut before = contents(start(directory.path()).await.files());
    let damages: [(&str, &str); 6] = [
        ("dpop.key.pem", "-----BEGIN PRIVATE KEY-----\n"),
        ("ca.key.pem", ""),
        ("client.pem", &foreign[1]),
        ("client.key.pem", &foreign[2]),
        ("webhook.pem", "no certificate"),
        ("ca.pem", &foreign[0]),
    ];
    for (name, text) in damages {
        std::fs::write(directory.path().join(name), text).expect("writes");
        let after = contents(start(directory.path()).await.files());
        assert!(before.iter().zip(&after).all(|(before, after)| before != after), "{name}");
        before = after;
    }
}
