//! Digests, documents and archives.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};
use zastava_core::clock::Timestamp;
use zastava_oci::{Compression, Digest, Entry, ImageBuilder, Layout, Platform, WriteError};

fn hello() -> ImageBuilder {
    ImageBuilder::new("registry.internal/demo/hello:1.2")
        .created(Timestamp::from_unix_seconds(1_700_000_000))
        .layer([Entry::file("/etc/motd", 0o644, "welcome\n")])
        .program("/usr/local/bin/hello", "#!hello\n")
        .command(["--loud"])
        .env("PATH", "/usr/local/bin")
        .env("LANG", "C")
        .user(65532, 65532)
        .working_directory("/tmp")
        .label("org.opencontainers.image.title", "hello")
}

/// A layout written as a directory, by path.
fn written(layout: &Layout) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder");
    layout.write_directory(folder.path()).expect("can be written");
    let mut files = BTreeMap::new();
    collect(folder.path(), folder.path(), &mut files);
    files
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("is a folder") {
        let path = entry.expect("is there").path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).expect("below").to_str().expect("text").to_owned();
            files.insert(name, fs::read(&path).expect("is a file"));
        }
    }
}

fn blob(files: &BTreeMap<String, Vec<u8>>, digest: &Value) -> Vec<u8> {
    let digest = digest.as_str().expect("a digest");
    let bytes = files[&format!("blobs/{}", digest.replace(':', "/"))].clone();
    assert_eq!(Digest::of(&bytes).to_string(), digest, "a blob is named by what it holds");
    bytes
}

fn document(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("is JSON")
}

#[test]
fn digests_are_those_of_every_build_before() {
    // They change with the writer of layers or of JSON, and then every image does: say so in the changelog.
    let one = hello().build().expect("can be made");
    assert_eq!(
        one.digest().to_string(),
        "sha256:b2d9a39cb9e19573c7c374392f91db6e651812e09c1fb6252e2feee846c12609"
    );
    let plain = hello().compression(Compression::None).build().expect("can be made");
    assert_eq!(
        plain.digest().to_string(),
        "sha256:69326d989b4bbb9dc665a86066dba71c608f3d639d930a72904bbd9667980f22"
    );
    let two = Layout::build([hello().platform(Platform::LINUX_ARM64), hello()]).expect("can be made");
    assert_eq!(
        two.digest().to_string(),
        "sha256:95bbb6b787bed430eaad8c04645c7c6a8df084f83f1ba4c4b17c302f518329c6"
    );
    assert_eq!(two.platforms()[0], one.platforms()[0], "the first is the same alone and in an index");
}

#[test]
fn the_order_of_description_does_not_matter() {
    let entries = [
        Entry::directory("/var/lib/hello", 0o700).owner(7, 8),
        Entry::file("/var/lib/hello/state", 0o600, "x").owner(7, 8),
        Entry::symlink("/bin/sh", "busybox"),
    ];
    let forward = ImageBuilder::new("a.example/b:1").layer(entries.clone()).env("A", "1").env("B", "2");
    let backward =
        ImageBuilder::new("a.example/b:1").env("B", "2").env("A", "1").layer(entries.into_iter().rev());
    assert_eq!(
        forward.build().expect("can be made").archive(),
        backward.build().expect("can be made").archive()
    );
}

#[test]
fn an_image_for_one_platform_is_named_without_an_index_between() {
    let layout = hello().build().expect("can be made");
    let files = written(&layout);
    assert_eq!(document(&files["oci-layout"]), json!({ "imageLayoutVersion": "1.0.0" }));
    let index = document(&files["index.json"]);
    let target = &index["manifests"][0];
    assert_eq!(index["manifests"].as_array().map(Vec::len), Some(1));
    assert_eq!(target["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(target["digest"], layout.digest().to_string());
    assert_eq!(target["platform"], json!({ "architecture": "amd64", "os": "linux" }));
    assert_eq!(
        target["annotations"],
        json!({
            "io.containerd.image.name": "registry.internal/demo/hello:1.2",
            "org.opencontainers.image.ref.name": "1.2",
        })
    );
    let manifest = blob(&files, &target["digest"]);
    assert_eq!(target["size"], manifest.len());
    let manifest = document(&manifest);
    assert_eq!(manifest["annotations"], json!({ "org.opencontainers.image.title": "hello" }));
    let configuration = document(&blob(&files, &manifest["config"]["digest"]));
    assert_eq!(configuration["created"], "2023-11-14T22:13:20Z");
    assert_eq!(
        configuration["config"],
        json!({
            "Entrypoint": ["/usr/local/bin/hello"],
            "Cmd": ["--loud"],
            "Env": ["LANG=C", "PATH=/usr/local/bin"],
            "User": "65532:65532",
            "WorkingDir": "/tmp",
            "Labels": { "org.opencontainers.image.title": "hello" },
        })
    );
    let layers = manifest["layers"].as_array().expect("are two");
    let diff_ids = configuration["rootfs"]["diff_ids"].as_array().expect("are two");
    assert_eq!((layers.len(), diff_ids.len()), (2, 2));
    for (layer, diff_id) in layers.iter().zip(diff_ids) {
        let mut tar = Vec::new();
        let packed = blob(&files, &layer["digest"]);
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut tar).expect("is gzip");
        assert_eq!(Digest::of(&tar).to_string(), *diff_id);
    }
    let part = &layout.platforms()[0];
    assert_eq!(part.config.to_string(), manifest["config"]["digest"]);
    let blobs = files.iter().filter(|(name, _)| name.starts_with("blobs/"));
    assert_eq!(part.bytes, blobs.map(|(_, bytes)| bytes.len() as u64).sum::<u64>());
}

#[test]
fn two_platforms_stand_in_an_index_amd64_first() {
    let layout = Layout::build([hello().platform(Platform::LINUX_ARM64), hello()]).expect("can be made");
    let files = written(&layout);
    let target = document(&files["index.json"])["manifests"][0].clone();
    assert_eq!(target["mediaType"], "application/vnd.oci.image.index.v1+json");
    assert_eq!(target["digest"], layout.digest().to_string());
    let index = document(&blob(&files, &target["digest"]));
    assert_eq!(index["annotations"], json!({ "org.opencontainers.image.title": "hello" }));
    for (manifest, platform) in index["manifests"].as_array().expect("are two").iter().zip(["amd64", "arm64"])
    {
        assert_eq!(manifest["platform"]["architecture"], platform);
        let manifest = document(&blob(&files, &manifest["digest"]));
        assert_eq!(document(&blob(&files, &manifest["config"]["digest"]))["architecture"], platform);
    }
    let platforms: Vec<_> = layout.platforms().iter().map(|part| part.platform.to_string()).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
}

#[test]
fn the_archive_holds_what_the_directory_holds() {
    let layout = hello().build().expect("can be made");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hello.tar");
    layout.write_archive(&path).expect("can be written");
    let names: Vec<_> = fs::read_dir(folder.path()).expect("is a folder").collect();
    assert_eq!(names.len(), 1, "nothing partial is left behind");
    let mut archive = tar::Archive::new(fs::File::open(&path).expect("is there"));
    let mut files = BTreeMap::new();
    for entry in archive.entries().expect("is a tar") {
        let mut entry = entry.expect("is whole");
        assert_eq!(entry.header().mtime().expect("has a time"), 0);
        let name = entry.path().expect("has a path").display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("is whole");
        if !name.ends_with('/') {
            files.insert(name, bytes);
        }
    }
    assert_eq!(files, written(&layout));
}

#[test]
fn names_are_completed_and_pinned() {
    let layout = ImageBuilder::new("busybox:1.36").build().expect("can be made");
    assert_eq!(layout.reference(), "docker.io/library/busybox:1.36");
    assert_eq!(layout.pinned(), format!("docker.io/library/busybox@{}", layout.digest()));
}

#[test]
fn what_is_not_one_image_with_a_tag_is_refused() {
    let refused =
        |images: &[ImageBuilder]| Layout::build(images.iter().cloned()).expect_err("is refused").to_string();
    assert_eq!(refused(&[ImageBuilder::new("a.example/B:1")]), "\"a.example/B:1\" is not an image reference");
    assert_eq!(
        refused(&[ImageBuilder::new("a.example/b")]),
        "\"a.example/b\" is not registry/repository:tag"
    );
    let pinned = format!("a.example/b:1@sha256:{}", "0".repeat(64));
    assert!(matches!(ImageBuilder::new(pinned).build(), Err(WriteError::NotTagged { .. })));
    let one = ImageBuilder::new("a.example/b:1");
    let other = ImageBuilder::new("a.example/b:2").platform(Platform::LINUX_ARM64);
    for images in [&[][..], &[one.clone(), one.clone()], &[one, other]] {
        assert!(
            matches!(Layout::build(images.iter().cloned()), Err(WriteError::Platforms { .. })),
            "{images:?}"
        );
    }
}

#[test]
fn a_full_disk_or_a_missing_folder_names_the_path() {
    let layout = hello().build().expect("can be made");
    let error = layout.write_archive("/nonexistent/hello.tar").expect_err("there is no folder");
    assert_eq!(error.to_string(), "cannot write /nonexistent/hello.tar.partial");
}
