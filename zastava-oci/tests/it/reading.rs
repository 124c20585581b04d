//! What is written is read back.

use std::io::Read as _;
use std::path::Path;

use zastava_oci::{
    Artifact, Compression, Entry, EntryKind, ImageBuilder, LayerEntry, Layout, LayoutReader, Platform,
    ReadError,
};

use crate::fixture::{self, Fixture, Tar};

fn hello(platform: Platform) -> ImageBuilder {
    ImageBuilder::new("registry.internal/demo/hello:1")
        .layer([Entry::file("/etc/motd", 0o644, "welcome\n"), Entry::symlink("/bin/sh", "busybox")])
        .program("/usr/bin/hello", platform.to_string())
        .platform(platform)
        .command(["--loud"])
        .env("PATH", "/usr/bin")
        .user(65532, 65532)
        .working_directory("/tmp")
        .label("org.opencontainers.image.title", "hello")
}

fn two_platforms() -> Layout {
    Layout::build([Platform::LINUX_ARM64, Platform::LINUX_AMD64].map(hello)).expect("can be made")
}

/// As a directory and as an archive.
fn both(layout: &Layout, check: impl Fn(&LayoutReader)) {
    let folder = tempfile::tempdir().expect("a folder");
    let (directory, archive) = (folder.path().join("directory"), folder.path().join("archive.tar"));
    layout.write_directory(&directory).expect("can be written");
    layout.write_archive(&archive).expect("can be written");
    for path in [directory, archive] {
        check(&LayoutReader::open(&path).expect("is a layout"));
    }
}

fn listing(entries: impl IntoIterator<Item = Result<LayerEntry, ReadError>>) -> Vec<String> {
    let line = |entry: LayerEntry| {
        format!("{} {:?} {:o} {}:{}", entry.path.display(), entry.kind, entry.mode, entry.uid, entry.gid)
    };
    entries.into_iter().map(|entry| line(entry.expect("is whole"))).collect()
}

#[test]
fn an_image_is_found_by_name_and_platform() {
    let layout = two_platforms();
    both(&layout, |reader| {
        for name in ["1", "registry.internal/demo/hello:1"] {
            let index = reader.named(name).expect("is listed");
            assert_eq!(index.digest, layout.digest());
            for part in layout.platforms() {
                let image = reader.image(index, &part.platform).expect("is there");
                assert_eq!(image.descriptor.digest, part.manifest);
                assert_eq!(image.manifest.config.digest, part.config);
                assert_eq!(image.config.platform, part.platform);
                let layers: Vec<_> = image.layers.iter().map(|layer| layer.descriptor.digest).collect();
                assert_eq!(layers, part.layers);
            }
        }
        assert_eq!(reader.only().expect("is one").name(), Some("registry.internal/demo/hello:1"));
        let error = reader.named("2").expect_err("is not listed").to_string();
        assert_eq!(error, "\"2\" is not in index.json, which lists [\"registry.internal/demo/hello:1\"]");
        let error = reader.image(reader.only().expect("is one"), &"linux/s390x".parse().expect("is one"));
        let error = error.expect_err("is for others").to_string();
        assert_eq!(
            error,
            format!("{} is not for linux/s390x, but for linux/amd64, linux/arm64", layout.digest())
        );
    });
}

#[test]
fn the_configuration_is_what_was_described() {
    both(&hello(Platform::LINUX_AMD64).build().expect("can be made"), |reader| {
        let image = fixture::only_image(reader).expect("is there");
        let process = &image.config.process;
        assert_eq!(
            (process.entrypoint.as_slice(), process.command.as_slice()),
            (&["/usr/bin/hello".to_owned()][..], &["--loud".to_owned()][..])
        );
        assert_eq!(process.variable("PATH"), Some("/usr/bin"));
        assert_eq!((process.user.as_str(), process.working_directory.as_str()), ("65532:65532", "/tmp"));
        assert_eq!(process.labels["org.opencontainers.image.title"], "hello");
        assert_eq!(image.config.created.as_deref(), Some("1970-01-01T00:00:00Z"));
    });
}

#[test]
fn layers_are_streams_of_entries_with_content() {
    for compression in [Compression::Gzip, Compression::None] {
        both(
            &hello(Platform::LINUX_AMD64).compression(compression).build().expect("can be made"),
            |reader| {
                let image = fixture::only_image(reader).expect("is there");
                let lowest = reader.layer(&image.layers[0]).expect("can be opened");
                assert_eq!(
                    listing(lowest),
                    [
                        "bin Directory 755 0:0",
                        "bin/sh Symlink(\"busybox\") 777 0:0",
                        "etc Directory 755 0:0",
                        "etc/motd File 644 0:0",
                    ]
                );
                let mut layer = reader.layer(&image.layers[1]).expect("can be opened");
                let mut program = String::new();
                while let Some(entry) = layer.next() {
                    let entry = entry.expect("is whole");
                    if entry.kind == EntryKind::File {
                        assert_eq!((entry.path.as_path(), entry.size), (Path::new("usr/bin/hello"), 11));
                        layer.read_to_string(&mut program).expect("is text");
                    }
                }
                assert_eq!(program, "linux/amd64");
            },
        );
    }
}

#[test]
fn referrers_are_found_by_their_subject() {
    let mut layout = two_platforms();
    let subject = layout.image();
    let manifest = layout.descriptor(layout.platforms()[0].manifest).expect("is there");
    let sbom = Artifact::new("application/vnd.cyclonedx+json")
        .subject(subject.clone())
        .file("hello.cdx.json", "application/vnd.cyclonedx+json", r#"{"bomFormat":"CycloneDX"}"#)
        .annotation("org.opencontainers.image.created", "2026-01-01T00:00:00Z");
    let sbom = layout.add(sbom);
    let note = layout.add(Artifact::new("application/vnd.example.note").subject(manifest.clone()));
    let digest = "sha256:933eb71f762ebbc5817e11bb7f1ffff7f44bfff4902718ed2c0eca0f735ce222";
    assert_eq!(sbom.digest.to_string(), digest, "artifacts are written as before");
    both(&layout, |reader| {
        let found = reader.referrers(subject.digest).expect("can be read");
        assert_eq!(found, std::slice::from_ref(&sbom));
        assert_eq!(reader.referrers(manifest.digest).expect("can be read"), std::slice::from_ref(&note));
        let artifact = reader.manifest(&found[0]).expect("is there");
        assert_eq!(artifact.subject, Some(subject.clone()));
        let mut text = String::new();
        reader.blob(&artifact.layers[0]).expect("is there").read_to_string(&mut text).expect("is text");
        assert_eq!(text, r#"{"bomFormat":"CycloneDX"}"#);
        assert_eq!(reader.only().expect("has a name").digest, layout.digest());
        assert_eq!(reader.platforms(reader.only().expect("is one")).expect("can be read").len(), 2);
        assert_eq!(reader.platforms(&note).expect("can be read"), [], "an artifact is for no platform");
    });
}

#[test]
fn referrers_are_also_found_by_their_tag() {
    let mut fixture = Fixture::new();
    let image = fixture.image(&[]);
    let empty = fixture.blob("application/vnd.oci.empty.v1+json", "{}");
    let signature = serde_json::json!({
        "schemaVersion": 2, "artifactType": "application/vnd.example.signature",
        "config": empty, "layers": [empty], "subject": image,
    });
    let signature = fixture.json(fixture::MANIFEST, &signature);
    let list = serde_json::json!({ "schemaVersion": 2, "manifests": [signature] });
    let mut list = fixture.json(fixture::INDEX, &list);
    let image_digest = fixture::descriptor(&image).digest;
    let tag = image_digest.to_string().replace(':', "-");
    list["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": tag });
    let reader = fixture.with_entries(serde_json::json!([image, list])).open().expect("is a layout");
    let found = reader.referrers(image_digest).expect("can be read");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].digest, fixture::descriptor(&signature).digest);
    assert_eq!(found[0].artifact_type.as_deref(), Some("application/vnd.example.signature"));
}

#[test]
fn whiteouts_and_long_names_are_understood() {
    let long = format!("very/{}/deep", "long".repeat(60));
    let tar = Tar::default()
        .entry(b'5', b"./", b"", |header| header.set_mode(0o755))
        .file("./etc/.wh.motd", b"")
        .file("var/lib/.wh..wh..opq", b"")
        .file(".wh..wh..opq", b"")
        .file(".wh..wh.aufs", b"")
        .entry(b'L', b"././@LongLink", format!("{long}\0").as_bytes(), |_| {})
        .file("cut off", b"x")
        .entry(b'g', b"pax_global_header", &fixture::pax("comment", "abc"), |_| {})
        .entry(
            b'x',
            b"PaxHeaders/a",
            &[fixture::pax("path", "größe"), fixture::pax("uid", "70000")].concat(),
            |_| {},
        )
        .file("a", b"yy")
        .entry(b'1', b"link", b"", |header| header.set_link_name("/etc/motd").expect("fits"))
        .entry(b'3', b"dev/null", b"", |_| {})
        .finish();
    let reader = fixture::with_layer(&tar).open().expect("is a layout");
    let entries = fixture::entries(&reader).expect("is whole");
    assert_eq!(
        listing(entries.into_iter().map(Ok)),
        [
            " Directory 755 0:0".to_owned(),
            "etc/motd Whiteout 644 0:0".to_owned(),
            "var/lib OpaqueWhiteout 644 0:0".to_owned(),
            " OpaqueWhiteout 644 0:0".to_owned(),
            ".wh..wh.aufs File 644 0:0".to_owned(),
            format!("{long} File 644 0:0"),
            "größe File 644 70000:0".to_owned(),
            "link HardLink(\"etc/motd\") 644 0:0".to_owned(),
            "dev/null CharacterDevice 644 0:0".to_owned(),
        ]
    );
}
