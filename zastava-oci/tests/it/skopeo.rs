//! skopeo reads what is written.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use zastava_oci::{Compression, Entry, ImageBuilder, Layout, LayoutReader, Platform};

use crate::fixture;
use crate::skip::{is_installed, skip};

fn skopeo(arguments: &[&str]) -> Vec<u8> {
    let output =
        Command::new("skopeo").args(["--insecure-policy"]).args(arguments).output().expect("is installed");
    assert!(output.status.success(), "skopeo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn inspect(arguments: &[&str]) -> Value {
    serde_json::from_slice(&skopeo(&[&["inspect"], arguments].concat())).expect("is JSON")
}

fn image(platform: Platform) -> ImageBuilder {
    ImageBuilder::new("registry.internal/demo/hello:1")
        .layer([Entry::file("/etc/motd", 0o644, "welcome\n")])
        .program("/usr/local/bin/hello", platform.to_string())
        .platform(platform)
        .user(65532, 65532)
        .label("org.opencontainers.image.revision", "abc")
}

#[test]
fn skopeo_inspects_and_copies_both_platforms() {
    if !is_installed("skopeo") {
        return skip("images read by skopeo: not installed");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let layout =
        Layout::build([Platform::LINUX_AMD64, Platform::LINUX_ARM64].map(image)).expect("can be made");
    let archive = folder.path().join("hello.tar");
    layout.write_archive(&archive).expect("can be written");
    let source = format!("oci-archive:{}:1", archive.display());
    for (part, architecture) in layout.platforms().iter().zip(["amd64", "arm64"]) {
        let seen = inspect(&["--override-arch", architecture, &source]);
        assert_eq!(seen["Architecture"], architecture);
        assert_eq!(seen["Labels"]["org.opencontainers.image.revision"], "abc");
        let layers: Vec<_> = part.layers.iter().map(ToString::to_string).collect();
        assert_eq!(seen["Layers"], Value::from(layers));
        let configuration = inspect(&["--override-arch", architecture, "--config", &source]);
        assert_eq!(configuration["config"]["User"], "65532:65532");
    }
    // It checks every digest and size on the way, and the diff_ids of the layers.
    let copy = folder.path().join("copy");
    skopeo(&["copy", "--all", &source, &format!("dir:{}", copy.display())]);
    let index = fs::read(copy.join("manifest.json")).expect("was copied");
    assert_eq!(zastava_oci::Digest::of(&index), layout.digest());
}

/// The motd of the only image, and the media type of its layer.
fn motd(layout: &LayoutReader) -> (String, String) {
    let image = fixture::only_image(layout).expect("is there");
    let mut layer = layout.layer(&image.layers[0]).expect("can be opened");
    let mut text = String::new();
    while let Some(entry) = layer.next() {
        if entry.expect("is whole").path == Path::new("etc/motd") {
            layer.read_to_string(&mut text).expect("is text");
        }
    }
    (text, image.layers[0].descriptor.media_type.clone())
}

#[test]
fn a_layout_that_skopeo_wrote_is_read_back() {
    if !is_installed("skopeo") {
        return skip("images written by skopeo: not installed");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let plain = image(Platform::LINUX_AMD64).compression(Compression::None).build().expect("can be made");
    plain.write_directory(path("ours")).expect("can be written");
    let ours = format!("oci:{}:1", path("ours").display());
    let rows = [
        ("gzip", "oci", &["--dest-compress-format", "gzip"][..], "tar+gzip"),
        ("archive", "oci-archive", &["--dest-compress-format", "gzip"], "tar+gzip"),
        #[cfg(feature = "zstd")]
        ("zstd", "oci", &["--dest-compress-format", "zstd"], "tar+zstd"),
    ];
    for (name, transport, options, media_type) in rows {
        let theirs = format!("{transport}:{}:other", path(name).display());
        skopeo(&[&["copy"], options, &["--dest-compress", &ours, &theirs]].concat());
        let layout = LayoutReader::open(path(name)).expect("is a layout");
        assert_eq!(layout.named("other").expect("is listed"), layout.only().expect("is one"));
        let (text, layer) = motd(&layout);
        assert_eq!((text.as_str(), layer.ends_with(media_type)), ("welcome\n", true), "{name}: {layer}");
    }
}
