//! A made image: blobs by digest and the index that names them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};
use zastava_core::image::{Digest, ImageReference};

use super::archive::{Archive, Facts};
use super::json::canonical;
use super::{Image, Platform};
use crate::{Error, files};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIGURATION: &str = "application/vnd.oci.image.config.v1+json";

/// The file that makes a directory an image layout, and all it says.
const MARKER: (&str, &[u8]) = ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);

/// An image in an OCI image layout, ready to be written.
#[derive(Clone, Debug)]
pub struct Layout {
    reference: ImageReference,
    digest: Digest,
    platforms: Vec<PlatformImage>,
    index: Vec<u8>,
    blobs: BTreeMap<Digest, Vec<u8>>,
}

/// An image for one platform: what it is called and how large it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PlatformImage {
    /// The platform.
    #[serde(serialize_with = "as_text")]
    pub platform: Platform,
    /// What a registry serves for the platform.
    pub manifest: Digest,
    /// What containerd and the kubelet call the image's id.
    pub config: Digest,
    /// The layers as stored, from the bottom.
    pub layers: Vec<Digest>,
    /// What a node downloads when it has none of it: manifest, configuration and layers.
    pub bytes: u64,
}

fn as_text<S: serde::Serializer>(platform: &Platform, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(platform)
}

impl Layout {
    /// Makes one image for several platforms. An image for one has no index of its own: its name points at the
    /// manifest.
    ///
    /// # Errors
    /// [`Error::Platforms`] when the images have different names or the same platform, or are none; else as
    /// [`Image::layout`].
    pub fn of(images: impl IntoIterator<Item = Image>) -> Result<Self, Error> {
        let mut images: Vec<_> = images.into_iter().collect();
        images.sort_by_key(|image| image.platform);
        let reference = common_reference(&images)?;
        let mut blobs = Blobs::default();
        let made: Vec<_> = images.iter().map(|image| blobs.image(image)).collect::<Result<_, _>>()?;
        let (platforms, mut manifests): (Vec<_>, Vec<_>) = made.into_iter().unzip();
        let (digest, mut target) = match &mut manifests[..] {
            [only] => (platforms[0].manifest, only.take()),
            _ => {
                let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
                blobs.json(INDEX, &annotated(index, &images[0]))
            }
        };
        // containerd names what it imports by the first, skopeo finds an image in a layout by the second.
        target["annotations"] = json!({
            "io.containerd.image.name": reference.to_string(),
            "org.opencontainers.image.ref.name": reference.tag(),
        });
        let index = canonical(&json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [target] }));
        Ok(Self { reference, digest, platforms, index, blobs: blobs.0 })
    }

    /// The complete name: `registry/repository:tag`.
    #[must_use]
    pub fn reference(&self) -> String {
        self.reference.to_string()
    }

    /// What the name points at in a registry: the index when there are several platforms, else the manifest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// `registry/repository@sha256:…`.
    #[must_use]
    pub fn pinned(&self) -> String {
        self.reference.at(self.digest).to_string()
    }

    /// The image for each platform, amd64 first.
    #[must_use]
    pub fn platforms(&self) -> &[PlatformImage] {
        &self.platforms
    }

    /// The layout as a tar archive: what `ctr images import` takes.
    #[must_use]
    pub fn archive(&self) -> Vec<u8> {
        let mut archive = Archive::new();
        let mut pack = || {
            archive.directory("blobs", Facts::DIRECTORY)?;
            archive.directory("blobs/sha256", Facts::DIRECTORY)?;
            self.files().try_for_each(|(path, bytes)| archive.file(&path, Facts::FILE, bytes))
        };
        pack().expect("these paths are short and memory takes every write");
        archive.finish()
    }

    /// Writes [`archive`](Self::archive) to a file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write_archive(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        files::write(path.as_ref(), &self.archive())
    }

    /// Writes the layout into a directory, which is made when it is not there.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write_directory(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        files::create_directory(&path.as_ref().join("blobs/sha256"))?;
        self.files().try_for_each(|(name, bytes)| files::write(&path.as_ref().join(name), bytes))
    }

    fn files(&self) -> impl Iterator<Item = (String, &[u8])> {
        let blobs = self.blobs.iter().map(|(digest, blob)| (blob_path(digest), blob.as_slice()));
        let rest = [("index.json", self.index.as_slice()), MARKER];
        blobs.chain(rest.map(|(path, bytes)| (path.to_owned(), bytes)))
    }
}

/// `blobs/sha256/<hex>` (OCI image layout specification, "Blobs").
fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}", digest.to_string().replace(':', "/"))
}

fn common_reference(images: &[Image]) -> Result<ImageReference, Error> {
    let text = images.first().map(|image| image.reference.clone()).unwrap_or_default();
    let platforms: BTreeSet<_> = images.iter().map(|image| image.platform).collect();
    let one_name = images.iter().all(|image| image.reference == text);
    if images.is_empty() || platforms.len() != images.len() || !one_name {
        return Err(Error::Platforms { reference: text });
    }
    match text.parse::<ImageReference>() {
        Err(source) => Err(Error::Reference { reference: text, source }),
        Ok(reference) if reference.tag().is_none() || reference.digest().is_some() => {
            Err(Error::NotTagged { reference: text })
        }
        Ok(reference) => Ok(reference),
    }
}

fn annotated(mut document: Value, image: &Image) -> Value {
    if !image.labels.is_empty() {
        document["annotations"] = json!(image.labels);
    }
    document
}

#[derive(Default)]
struct Blobs(BTreeMap<Digest, Vec<u8>>);

impl Blobs {
    /// What was made, and the manifest's descriptor for an index.
    fn image(&mut self, image: &Image) -> Result<(PlatformImage, Value), Error> {
        let layers = image.pack()?;
        let (config, config_descriptor) = self.json(CONFIGURATION, &image.configuration(&layers));
        let (layers, layer_descriptors): (Vec<_>, Vec<_>) =
            layers.into_iter().map(|layer| self.add(layer.media_type, layer.blob)).unzip();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config_descriptor,
            "layers": layer_descriptors,
        });
        let (manifest, mut descriptor) = self.json(MANIFEST, &annotated(manifest, image));
        descriptor["platform"] = json!({ "architecture": image.platform.architecture(), "os": "linux" });
        let blobs: BTreeSet<_> = layers.iter().chain([&manifest, &config]).collect();
        let bytes = blobs.iter().map(|digest| self.0[digest].len() as u64).sum();
        Ok((PlatformImage { platform: image.platform, manifest, config, layers, bytes }, descriptor))
    }

    fn json(&mut self, media_type: &str, value: &Value) -> (Digest, Value) {
        self.add(media_type, canonical(value))
    }

    /// Keeps a blob; says what it is called and how others point at it.
    fn add(&mut self, media_type: &str, blob: Vec<u8>) -> (Digest, Value) {
        let digest = Digest::of(&blob);
        let descriptor = json!({ "mediaType": media_type, "digest": digest, "size": blob.len() });
        self.0.insert(digest, blob);
        (digest, descriptor)
    }
}
