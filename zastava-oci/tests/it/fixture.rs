//! Layouts with anything in them, written without the crate's own writer.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde_json::{Value, json};
use zastava_oci::{Descriptor, Digest, Image, LayerEntry, LayoutReader, Limits, Platform, ReadError};

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// The files of a layout by name.
#[derive(Clone, Debug)]
pub(crate) struct Fixture(pub(crate) BTreeMap<String, Vec<u8>>);

impl Fixture {
    pub(crate) fn new() -> Self {
        let marker = br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec();
        Self(BTreeMap::from([("oci-layout".to_owned(), marker)])).with_entries(json!([]))
    }

    /// Adds a blob and returns what names it.
    pub(crate) fn blob(&mut self, media_type: &str, bytes: impl Into<Vec<u8>>) -> Value {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        let descriptor = json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() });
        self.0.insert(path(&digest.to_string()), bytes);
        descriptor
    }

    pub(crate) fn json(&mut self, media_type: &str, value: &Value) -> Value {
        self.blob(media_type, value.to_string())
    }

    /// Adds an image of these layers, each with the diff_id that is given.
    pub(crate) fn image(&mut self, layers: &[(Value, Digest)]) -> Value {
        let diff_ids: Vec<_> = layers.iter().map(|(_, diff_id)| diff_id).collect();
        let config = json!({
            "os": "linux", "architecture": "amd64",
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = self.json(CONFIG, &config);
        let layers: Vec<_> = layers.iter().map(|(layer, _)| layer).collect();
        self.json(MANIFEST, &json!({ "schemaVersion": 2, "config": config, "layers": layers }))
    }

    pub(crate) fn with_entries(mut self, entries: Value) -> Self {
        let index = json!({ "schemaVersion": 2, "manifests": entries });
        self.0.insert("index.json".to_owned(), index.to_string().into_bytes());
        self
    }

    pub(crate) fn tar(&self) -> Vec<u8> {
        self.0.iter().fold(Tar::default(), |tar, (name, bytes)| tar.file(name, bytes)).finish()
    }

    /// Opens it as an archive.
    pub(crate) fn open(&self) -> Result<LayoutReader, ReadError> {
        let tar = self.tar();
        keep_seed(0, &tar);
        open_tar(&tar, Limits::default())
    }
}

pub(crate) fn path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

pub(crate) fn open_tar(bytes: &[u8], limits: Limits) -> Result<LayoutReader, ReadError> {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(bytes).expect("can be written");
    LayoutReader::open_with(file.path(), limits)
}

/// The only image of a layout, for amd64.
pub(crate) fn only_image(layout: &LayoutReader) -> Result<Image, ReadError> {
    layout.image(layout.only()?, &Platform::LINUX_AMD64)
}

/// All entries of the only layer.
pub(crate) fn entries(layout: &LayoutReader) -> Result<Vec<LayerEntry>, ReadError> {
    layout.layer(&only_image(layout)?.layers[0])?.collect()
}

/// A layout of one image with this tar as its only layer.
pub(crate) fn with_layer(tar: &[u8]) -> Fixture {
    let mut fixture = Fixture::new();
    keep_seed(1, tar);
    let layer = (fixture.blob(TAR, tar), Digest::of(tar));
    let image = fixture.image(&[layer]);
    fixture.with_entries(json!([image]))
}

pub(crate) fn descriptor(value: &Value) -> Descriptor {
    serde_json::from_value(value.clone()).expect("is one")
}

/// A tar archive, with headers as wrong as a test wants them.
#[derive(Default)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

impl Tar {
    pub(crate) fn file(self, name: &str, bytes: &[u8]) -> Self {
        self.entry(b'0', name.as_bytes(), bytes, |_| {})
    }

    /// The name is written as it is, up to the 100 bytes that a header has for it.
    pub(crate) fn entry(
        mut self,
        kind: u8,
        name: &[u8],
        content: &[u8],
        change: impl FnOnce(&mut tar::Header),
    ) -> Self {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        change(&mut header);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

/// A PAX record: its length, counted with the digits of the length itself.
pub(crate) fn pax(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let length = (1..).find(|length| rest.len() + length.to_string().len() == *length).expect("there is one");
    format!("{length}{rest}").into_bytes()
}

/// The first byte says what the rest is: 0 is an archive, 1 a tar layer, 2 a gzip layer.
pub(crate) fn keep_seed(kind: u8, bytes: &[u8]) {
    let Some(folder) = std::env::var_os("ZASTAVA_OCI_CORPUS") else { return };
    let name = Digest::of(bytes).to_string().replace(':', "-");
    let seed = [&[kind], bytes].concat();
    std::fs::write(std::path::Path::new(&folder).join(name), seed).expect("can be written");
}
