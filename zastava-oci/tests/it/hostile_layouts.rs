//! Layouts that lie: each lie is refused, and the error names the place.

use std::io::Read as _;

use serde_json::{Value, json};
use zastava_oci::{Digest, LayoutReader, Limits, Platform, ReadError};

use crate::fixture::{
    CONFIG, Fixture, INDEX, MANIFEST, Tar, descriptor, only_image, open_tar, path, with_layer,
};

/// A layout whose only image has these two documents.
fn image_of(config: &Value, change: impl FnOnce(&mut Value)) -> Fixture {
    let mut fixture = Fixture::new();
    let config = fixture.json(CONFIG, config);
    let mut manifest = json!({ "schemaVersion": 2, "config": config, "layers": [] });
    change(&mut manifest);
    let manifest = fixture.json(MANIFEST, &manifest);
    fixture.with_entries(json!([manifest]))
}

fn config() -> Value {
    json!({ "os": "linux", "architecture": "amd64", "rootfs": { "diff_ids": [] } })
}

/// The error, with digests cut down to eight digits.
fn refusal(fixture: &Fixture) -> String {
    let read = fixture.open().and_then(|layout| only_image(&layout));
    shortened(&read.expect_err("is refused").to_string())
}

fn shortened(text: &str) -> String {
    text.split("sha256:")
        .enumerate()
        .map(|(at, part)| match part.get(64..) {
            Some(rest) if at > 0 => format!("blob{rest}"),
            _ => part.to_owned(),
        })
        .collect()
}

#[test]
fn documents_of_the_wrong_form_are_refused_by_their_member() {
    let manifest = |change: fn(&mut Value)| image_of(&config(), change);
    let rows = [
        (
            Fixture::new().with_entries(json!({})),
            "index.json: manifests: invalid type: map, expected a sequence",
        ),
        (
            Fixture::new().with_entries(json!([{ "digest": 7 }])),
            "index.json: manifests[0].digest: invalid type",
        ),
        (
            Fixture::new().with_entries(json!([{ "mediaType": MANIFEST, "digest": "sha256:AB", "size": 1 }])),
            "index.json: manifests[0].digest: the digest is not sha256 in lower-case hex",
        ),
        (
            Fixture::new()
                .with_entries(json!([{ "mediaType": MANIFEST, "digest": Digest::of(b""), "size": -1 }])),
            "index.json: manifests[0].size: invalid value",
        ),
        (manifest(|manifest| manifest["layers"] = json!([[]])), "blob: layers[0]: invalid length 0"),
        (manifest(|manifest| manifest["layers"] = Value::Null), "blob: layers: is missing"),
        (manifest(|manifest| manifest["config"] = Value::Null), "blob: config: is missing"),
        (
            manifest(|manifest| manifest["manifests"] = json!([])),
            "blob: manifests: does not belong in a manifest",
        ),
        (manifest(|manifest| manifest["schemaVersion"] = json!(1)), "blob: schemaVersion: is not 2"),
        (
            manifest(|manifest| manifest["mediaType"] = json!(INDEX)),
            "blob: mediaType: is not that of the descriptor",
        ),
        (manifest(|manifest| manifest["fsLayers"] = json!([])), "blob: fsLayers: belongs to no document"),
        (image_of(&json!({ "os": "linux" }), |_| {}), "blob: missing field `architecture`"),
        (
            image_of(&json!({ "config": { "Env": [1] } }), |_| {}),
            "blob: config.Env[0]: invalid type: integer `1`",
        ),
        (
            image_of(
                &json!({ "os": "linux", "architecture": "amd64", "rootfs": { "diff_ids": [Digest::of(b"")] } }),
                |_| {},
            ),
            "blob lists 1 diff_ids for 0 layers",
        ),
    ];
    for (fixture, expected) in rows {
        let said = refusal(&fixture);
        assert!(said.starts_with(expected), "{said:?} is not {expected:?}");
    }
}

#[test]
fn an_artifact_is_no_image() {
    let fixture = image_of(&config(), |manifest| manifest["config"]["mediaType"] = json!("text/\nplain"));
    assert_eq!(refusal(&fixture), "blob is not for linux/amd64, but for no platform");
    let layout = fixture.open().expect("is a layout");
    let error = layout.image_at(layout.only().expect("is one")).expect_err("is refused").to_string();
    assert_eq!(shortened(&error), "blob: \"text/\\nplain\" is not an image configuration");
}

#[test]
fn blobs_with_other_content_are_refused() {
    let fixture = image_of(&config(), |_| {});
    let names: Vec<_> = fixture.0.keys().filter(|name| name.starts_with("blobs/")).cloned().collect();
    assert_eq!(names.len(), 2);
    for name in names {
        let mut changed = fixture.clone();
        let bytes = changed.0.get_mut(&name).expect("is there");
        *bytes.last_mut().expect("has bytes") ^= 1;
        assert_eq!(refusal(&changed), "blob holds other content: its digest is blob");
        let mut longer = fixture.clone();
        longer.0.get_mut(&name).expect("is there").push(b' ');
        assert!(refusal(&longer).contains("bytes and should have"), "{}", refusal(&longer));
        let mut missing = fixture.clone();
        missing.0.remove(&name);
        assert_eq!(refusal(&missing), "blob is missing");
    }
}

#[test]
fn a_wrong_blob_ends_in_an_error_before_its_last_byte() {
    let mut fixture = Fixture::new();
    let blob = descriptor(&fixture.blob("text/plain", vec![b'x'; 100_000]));
    let name = path(&blob.digest.to_string());
    *fixture.0.get_mut(&name).expect("is there").last_mut().expect("has bytes") = b'y';
    let layout = fixture.open().expect("is a layout");
    assert!(matches!(layout.verify(&blob), Err(ReadError::Digest { .. })));
    let mut bytes = Vec::new();
    let error = layout.blob(&blob).expect("can be opened").read_to_end(&mut bytes).expect_err("is wrong");
    assert!(bytes.len() < 100_000);
    assert!(
        matches!(error.downcast::<ReadError>(), Ok(ReadError::Digest { expected, .. }) if expected == blob.digest)
    );
}

#[test]
fn a_graph_of_indexes_is_read_once_and_to_a_depth() {
    let nested = |depth: usize, width: usize| {
        let mut fixture = image_of(&config(), |_| {});
        let document: Value = serde_json::from_slice(&fixture.0["index.json"]).expect("is JSON");
        let mut inner = document["manifests"][0].clone();
        for _ in 0..depth {
            let children: Vec<_> = std::iter::repeat_n(inner, width).collect();
            inner = fixture.json(INDEX, &json!({ "schemaVersion": 2, "manifests": children }));
        }
        fixture.with_entries(json!([inner]))
    };
    // 1000^5 ways lead to the image.
    let deepest = nested(Limits::default().index_depth + 1, 1000).open().expect("is a layout");
    only_image(&deepest).expect("is found");
    assert_eq!(refusal(&nested(6, 1)), "blob: exceeds the limit index_depth of 4");
}

#[test]
fn two_things_of_one_name_are_refused() {
    let mut fixture = image_of(&config(), |_| {});
    let other =
        json!({ "os": "linux", "architecture": "amd64", "author": "x", "rootfs": { "diff_ids": [] } });
    let other = image_of(&other, |_| {});
    let entry = |fixture: &Fixture| -> Value {
        let index: Value = serde_json::from_slice(&fixture.0["index.json"]).expect("is JSON");
        index["manifests"][0].clone()
    };
    let mut entries = [entry(&fixture), entry(&other)];
    fixture.0.extend(other.0);
    let index = fixture.json(INDEX, &json!({ "schemaVersion": 2, "manifests": entries }));
    assert_eq!(
        refusal(&fixture.clone().with_entries(json!([index]))),
        "blob: manifests: \"linux/amd64\" is there twice"
    );
    for entry in &mut entries {
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": "1" });
    }
    let layout = fixture.with_entries(json!(entries)).open().expect("is a layout");
    assert!(matches!(layout.named("1"), Err(ReadError::Duplicate { name, .. }) if name == "1"));
    assert!(matches!(layout.only(), Err(ReadError::Name { listed, .. }) if listed == ["1", "1"]));
}

#[test]
fn a_list_of_referrers_that_lies_is_refused() {
    let mut fixture = image_of(&config(), |_| {});
    let index: Value = serde_json::from_slice(&fixture.0["index.json"]).expect("is JSON");
    let image = index["manifests"][0].clone();
    let mut list = fixture.json(INDEX, &json!({ "schemaVersion": 2, "manifests": [image] }));
    let subject = Digest::of(b"somebody else");
    list["annotations"] =
        json!({ "org.opencontainers.image.ref.name": subject.to_string().replace(':', "-") });
    let layout = fixture.with_entries(json!([list])).open().expect("is a layout");
    assert!(matches!(layout.referrers(subject), Err(ReadError::Subject { .. })));
}

#[test]
fn what_is_no_layout_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = |path: &std::path::Path| LayoutReader::open(path).expect_err("is refused").to_string();
    assert!(error(folder.path()).ends_with("is not an image layout: it has no file oci-layout"));
    assert!(error(&folder.path().join("gone")).starts_with("cannot open "));
    assert!(error(std::path::Path::new("/dev/null")).ends_with("neither a directory nor a file"));
    let mut fixture = Fixture::new();
    fixture.0.insert("oci-layout".to_owned(), br#"{"imageLayoutVersion":"2.0.0"}"#.to_vec());
    assert_eq!(refusal(&fixture), "oci-layout: version \"2.0.0\" is not 1");
    fixture.0.insert("oci-layout".to_owned(), b"{".to_vec());
    assert!(refusal(&fixture).starts_with("oci-layout: EOF while parsing"), "{}", refusal(&fixture));
}

#[test]
fn archives_with_strange_entries_are_refused() {
    let good = || Fixture::new().0.iter().fold(Tar::default(), |tar, (name, bytes)| tar.file(name, bytes));
    let rows = [
        (good().file("../evil", b"").finish(), "path \"../evil\" leads out of the root"),
        (good().file("blobs/sha256/../../../evil", b"").finish(), "leads out of the root"),
        (good().file("./index.json", b"{}").finish(), "\"./index.json\" is there twice"),
        (good().entry(b'2', b"blobs/sha256/x", b"", |_| {}).finish(), "neither a file nor a directory"),
        (
            good().entry(b'0', b"cut", b"", |header| header.set_size(1 << 40)).finish(),
            "the archive is cut off",
        ),
        (good().entry(b'0', b"sum", b"", |header| header.set_size(u64::MAX)).finish(), "size is too large"),
        (good().raw(&[b'x'; 512]).finish(), "not a tar header: its checksum is wrong"),
        (good().raw(b"half a block").0, "the archive is cut off"),
        (b"PK\x03\x04".repeat(200), "not a tar header: its checksum is wrong"),
        (Vec::new(), "is not an image layout: it has no file oci-layout"),
    ];
    for (bytes, expected) in rows {
        let said = open_tar(&bytes, Limits::default()).expect_err("is refused").to_string();
        assert!(said.contains(expected), "{said:?} does not contain {expected:?}");
    }
}

#[test]
fn every_limit_is_kept_and_named() {
    let tar = Tar::default().file("a", b"x").file("b", b"x").finish();
    let archive = with_layer(&tar).tar();
    let refused = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        let read = open_tar(&archive, limits).and_then(|layout| crate::fixture::entries(&layout));
        match read.expect_err("is refused") {
            ReadError::Limit { limit, max, .. } => format!("{limit} {max}"),
            other => panic!("{other}"),
        }
    };
    assert_eq!(refused(|limits| limits.document_bytes = 40), "document_bytes 40");
    assert_eq!(refused(|limits| limits.documents = 0), "documents 0");
    assert_eq!(refused(|limits| limits.archive_entries = 3), "archive_entries 3");
    assert_eq!(refused(|limits| limits.layer_entries = 1), "layer_entries 1");
    assert_eq!(refused(|limits| limits.layer_bytes = 2000), "layer_bytes 2000");
    assert_eq!(refused(|limits| limits.path_bytes = 0), "path_bytes 0");
    let platform = Platform::LINUX_AMD64;
    let layout = open_tar(&archive, Limits::default()).expect("is a layout");
    layout.image(layout.only().expect("is one"), &platform).expect("is within the default limits");
}
