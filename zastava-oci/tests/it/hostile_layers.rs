//! Layers that lie: each lie is refused, and the error names layer and position.

use std::io::Write as _;

use serde_json::json;
use zastava_oci::{Digest, ReadError};

use crate::fixture::{Fixture, Tar, entries, keep_seed, pax, with_layer};

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What is said of a layer, without its digest.
fn refusal(tar: &[u8]) -> String {
    let layout = with_layer(tar).open().expect("is a layout");
    let said = entries(&layout).expect_err("is refused").to_string();
    said.strip_prefix(&format!("{}: ", Digest::of(tar))).expect("names the layer").to_owned()
}

#[test]
fn entries_that_lead_out_or_are_misread_are_refused() {
    let one =
        |kind: u8, name: &[u8], content: &[u8]| Tar::default().entry(kind, name, content, |_| {}).finish();
    let pax_then =
        |records: &[u8]| Tar::default().entry(b'x', b"pax", records, |_| {}).file("a", b"x").finish();
    let link = |target: &[u8]| {
        let set = |header: &mut tar::Header| header.set_link_name_literal(target).expect("fits");
        Tar::default().entry(b'1', b"link", b"", set).finish()
    };
    let rows = [
        (one(b'0', b"../../etc/shadow", b""), "byte 0: path \"../../etc/shadow\" leads out of the root"),
        (one(b'0', b"a/../../b", b""), "byte 0: path \"a/../../b\" leads out of the root"),
        (one(b'0', b"etc/.wh..", b""), "byte 0: path \"etc/.wh..\" hides no file name"),
        (one(b'0', b"etc/.wh...", b""), "byte 0: path \"etc/.wh...\" hides no file name"),
        (one(b'0', b"etc/.wh.", b""), "byte 0: path \"etc/.wh.\" hides no file name"),
        (link(b"../x"), "byte 0: path \"../x\" leads out of the root"),
        (link(b""), "byte 0: a link has no target"),
        (one(b'S', b"sparse", b""), "byte 0: sparse files are not read"),
        (one(b'V', b"volume", b""), "byte 0: an entry of unknown type"),
        (one(b'5', b"directory", b"content"), "byte 0: an entry without content states a size"),
        (pax_then(&pax("path", "a\0b")), "byte 0: path \"a\\0b\" has a NUL in it"),
        (pax_then(&pax("path", "..")), "byte 0: path \"..\" leads out of the root"),
        (pax_then(&pax("size", "-1")), "byte 0: a number of a PAX record is malformed"),
        (pax_then(&pax("size", "99999999999999999999")), "byte 0: a number of a PAX record is malformed"),
        (pax_then(&pax("GNU.sparse.major", "1")), "byte 0: sparse files are not read"),
        (pax_then(b"7 a=b"), "byte 0: a PAX record is malformed"),
        (one(b'x', b"pax", &pax("path", "a")), "byte 0: an extended header has no entry"),
        (
            Tar::default().entry(b'L', b"long", &vec![b'a'; 2 << 20], |_| {}).file("a", b"").finish(),
            "byte 0: exceeds the limit extended_header_bytes of 1048576",
        ),
        (pax_then(&pax("path", &"a/".repeat(3000))), "byte 0: exceeds the limit path_bytes of 4096"),
        (Tar::default().file("a", b"x").raw(&[b'x'; 512]).finish(), "byte 1024: not a tar header"),
        (Tar::default().file("a", b"x").0[..700].to_vec(), "byte 1024: the archive is cut off"),
    ];
    for (tar, expected) in rows {
        let said = refusal(&tar);
        assert!(said.starts_with(expected), "{said:?} is not {expected:?}");
    }
}

/// A layout with one gzip layer.
fn gzip_layer(blob: &[u8], diff_id: Digest) -> Result<usize, ReadError> {
    keep_seed(2, blob);
    let mut fixture = Fixture::new();
    let layer = (fixture.blob(GZIP, blob), diff_id);
    let image = fixture.image(&[layer]);
    entries(&fixture.with_entries(json!([image])).open()?).map(|entries| entries.len())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).and_then(|()| writer.finish()).expect("can be written")
}

#[test]
fn damaged_compression_is_refused() {
    let tar = Tar::default().file("a", b"x").finish();
    let good = gzip(&tar);
    assert_eq!(gzip_layer(&good, Digest::of(&tar)).expect("is whole"), 1);
    // Two members make one tar.
    let halves = [gzip(&tar[..700]), gzip(&tar[700..])].concat();
    assert_eq!(gzip_layer(&halves, Digest::of(&tar)).expect("is whole"), 1);
    let rows = [b"not gzip".to_vec(), good[..good.len() / 2].to_vec(), [&good[..], b"garbage"].concat()];
    for blob in rows {
        let error = gzip_layer(&blob, Digest::of(&tar)).expect_err("is refused");
        assert!(
            matches!(&error, ReadError::Compression { layer, .. } | ReadError::Tar { place: zastava_oci::Place { document: zastava_oci::Document::Blob(layer), .. }, .. } if *layer == Digest::of(&blob)),
            "{error}"
        );
    }
}

#[test]
fn content_with_another_diff_id_is_refused_at_the_end() {
    let tar = Tar::default().file("a", b"x").finish();
    // What follows the end of the archive belongs to the content too.
    for content in [tar.clone(), [&tar[..], b"more"].concat()] {
        let error = gzip_layer(&gzip(&content), Digest::of(b"something else")).expect_err("is refused");
        assert!(
            matches!(error, ReadError::DiffId { actual, .. } if actual == Digest::of(&content)),
            "{error}"
        );
    }
}

#[test]
fn a_layer_of_an_unknown_type_is_refused_by_name() {
    let mut fixture = Fixture::new();
    let layer = (fixture.blob("application/vnd.example.layer.v1.tar+lz4", "x"), Digest::of(b"x"));
    let image = fixture.image(&[layer]);
    let layout = fixture.with_entries(json!([image])).open().expect("is a layout");
    let error = entries(&layout).expect_err("is refused");
    assert!(matches!(error, ReadError::MediaType { media_type, .. } if media_type.ends_with("+lz4")));
}
