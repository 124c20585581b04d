//! skopeo reads what is written.

use std::fs;
use std::process::Command;

use serde_json::Value;
use xtask::oci::{Entry, Image, Layout, Platform};

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

fn image(platform: Platform) -> Image {
    Image::new("registry.internal/demo/hello:1")
        .platform(platform)
        .layer([Entry::file("/etc/motd", 0o644, "welcome\n")])
        .program("/usr/local/bin/hello", platform.to_string())
        .user(65532, 65532)
        .label("org.opencontainers.image.revision", "abc")
}

#[test]
fn skopeo_inspects_and_copies_both_platforms() {
    if !is_installed("skopeo") {
        return skip("images read by skopeo: not installed");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let layout = Layout::of(Platform::ALL.map(image)).expect("can be made");
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
    assert_eq!(zastava_core::image::Digest::of(&index), layout.digest());
}
