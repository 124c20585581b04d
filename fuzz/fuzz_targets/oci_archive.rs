//! Arbitrary bytes as a layout archive, or as one file of a layout whose other digests are right: what opens is read to its
//! end, within the limits, without a panic and without a path that leads out. The first byte says what the rest is.
#![no_main]

use std::fs;
use std::io::Read;
use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use zastava_oci::{Digest, Layer, LayoutReader, Limits};

const LAYERS: [&str; 3] = ["tar", "tar+gzip", "tar+zstd"];

fuzz_target!(|data: &[u8]| {
    let Some((&kind, bytes)) = data.split_first() else { return };
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder");
    let path = folder.path().join("layout");
    if kind == 0 {
        fs::write(&path, bytes).expect("written");
    } else {
        write_layout(&path, kind, bytes);
    }
    let mut limits = Limits::default();
    limits.layer_bytes = 1 << 20;
    limits.layer_entries = 1 << 10;
    limits.documents = 64;
    let Ok(layout) = LayoutReader::open_with(&path, limits) else { return };
    for entry in layout.entries() {
        let _ = layout.verify(entry);
        let _ = layout.referrers(entry.digest);
        for found in layout.platforms(entry).into_iter().flatten() {
            let Ok(image) = layout.image_at(&found.descriptor) else { continue };
            image.layers.iter().for_each(|layer| read(&layout, layer));
        }
    }
});

fn write_layout(root: &Path, kind: u8, bytes: &[u8]) {
    fs::create_dir_all(root.join("blobs/sha256")).expect("a folder");
    fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("written");
    let blob = |media_type: &str, bytes: &[u8]| {
        let digest = Digest::of(bytes).to_string();
        fs::write(root.join("blobs").join(digest.replace(':', "/")), bytes).expect("written");
        let media_type = format!("application/vnd.oci.image.{media_type}");
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{}}}"#, bytes.len())
    };
    let image = |kind: &str| {
        let layer = blob(&format!("layer.v1.{kind}"), bytes);
        let diff_id = Digest::of(bytes);
        let config =
            format!(r#"{{"os":"linux","architecture":"amd64","rootfs":{{"diff_ids":["{diff_id}"]}}}}"#);
        let config = blob("config.v1+json", config.as_bytes());
        format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}]}}"#)
    };
    let entry = match kind {
        1..=3 => blob("manifest.v1+json", image(LAYERS[usize::from(kind) - 1]).as_bytes()),
        4 => blob("manifest.v1+json", bytes),
        5 => blob("index.v1+json", bytes),
        _ => {
            let config = blob("config.v1+json", bytes);
            let manifest = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#);
            blob("manifest.v1+json", manifest.as_bytes())
        }
    };
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#);
    fs::write(root.join("index.json"), index).expect("written");
}

fn read(layout: &LayoutReader, layer: &Layer) {
    let Ok(mut reader) = layout.layer(layer) else { return };
    while let Some(entry) = reader.next() {
        let Ok(entry) = entry else { break };
        assert!(entry.path.components().all(|part| matches!(part, Component::Normal(_))), "{:?}", entry.path);
        // No more than the header says, whatever the content turns out to be.
        let _ = Read::take(&mut reader, entry.size).read_to_end(&mut Vec::new());
    }
    assert!(reader.next().is_none(), "an error ends the iteration");
}
