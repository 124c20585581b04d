//! What a layer holds.

use std::io::Read as _;

use zastava_oci::{Compression, Entry, ImageBuilder, WriteError};

/// One line for each entry of the only layer, in its order.
fn listing(entries: impl IntoIterator<Item = Entry>) -> Vec<String> {
    let layout = ImageBuilder::new("a.example/b:1")
        .compression(Compression::None)
        .layer(entries)
        .build()
        .expect("can be made");
    let folder = tempfile::tempdir().expect("a folder");
    layout.write_directory(folder.path()).expect("can be written");
    let layer = layout.platforms()[0].layers[0].to_string().replace(':', "/");
    let bytes = std::fs::read(folder.path().join("blobs").join(layer)).expect("is there");
    let mut archive = tar::Archive::new(bytes.as_slice());
    archive
        .entries()
        .expect("is a tar")
        .map(|entry| {
            let mut entry = entry.expect("is whole");
            let mut text = String::new();
            entry.read_to_string(&mut text).expect("is text");
            let header = entry.header();
            assert_eq!(header.mtime().expect("a time"), 0);
            let (mode, uid, gid) = (header.mode(), header.uid(), header.gid());
            let kind = header.entry_type();
            let link = entry.link_name().expect("is text").map(|link| format!(" -> {}", link.display()));
            format!(
                "{:?} {} {:o} {}:{}{}{}",
                kind,
                entry.path().expect("a path").display(),
                mode.expect("a mode"),
                uid.expect("a user"),
                gid.expect("a group"),
                link.unwrap_or_default(),
                if text.is_empty() { text } else { format!(" {text}") },
            )
        })
        .collect()
}

#[test]
fn directories_above_come_by_themselves_and_first() {
    let entries = [
        Entry::symlink("/bin/sh", "busybox"),
        Entry::file("/var/lib/demo/state", 0o600, "x").owner(3_000_000, 8),
        Entry::directory("/var/lib/demo", 0o700).owner(7, 8),
        Entry::file("/bin/busybox", 0o755, "y"),
    ];
    assert_eq!(
        listing(entries),
        [
            "Directory bin/ 755 0:0",
            "Regular bin/busybox 755 0:0 y",
            "Symlink bin/sh 777 0:0 -> busybox",
            "Directory var/ 755 0:0",
            "Directory var/lib/ 755 0:0",
            "Directory var/lib/demo/ 700 7:8",
            "Regular var/lib/demo/state 600 3000000:8 x",
        ]
    );
}

#[test]
fn names_that_sort_between_a_directory_and_its_files_do_no_harm() {
    let entries = ["/a/x", "/a-b", "/a.c"].map(|path| Entry::file(path, 0o644, ""));
    assert_eq!(
        listing(entries),
        ["Directory a/ 755 0:0", "Regular a-b 644 0:0", "Regular a.c 644 0:0", "Regular a/x 644 0:0"]
    );
}

#[test]
fn places_that_cannot_be_are_refused() {
    let long = format!("/{}", "a".repeat(300));
    for path in ["", "/", "etc/passwd", "/etc/", "//etc", "/a/./b", "/a/../b", "/..", "/a\0b", &long] {
        let made = ImageBuilder::new("a.example/b:1").layer([Entry::file(path, 0o644, "x")]).build();
        assert!(matches!(made, Err(WriteError::Path { path: named }) if named == path), "{path:?}");
    }
}

#[test]
fn two_entries_at_one_place_are_refused() {
    let file = |path: &str| Entry::file(path, 0o644, "x");
    let rows = [
        ("/a", vec![file("/a"), Entry::directory("/a", 0o755)]),
        ("/a", vec![file("/a"), file("/a/b")]),
        ("/a", vec![file("/a/b"), Entry::symlink("/a", "c")]),
        ("/a/b", vec![file("/a/b/c/d"), file("/a/b")]),
    ];
    for (place, entries) in rows {
        let made = ImageBuilder::new("a.example/b:1").layer(entries.clone()).build();
        assert!(matches!(made, Err(WriteError::Conflict { path }) if path == place), "{entries:?}");
    }
}
