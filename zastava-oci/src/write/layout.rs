//! An image made in memory: its blobs, and the `index.json` that names it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};
use zastava_core::image::{Digest, ImageReference};

use super::archive::{Archive, Facts};
use super::blobs::{Blobs, canonical};
use super::{Artifact, ImageBuilder, WriteError, files};
use crate::descriptor::{IMAGE_NAME, REF_NAME, blob_path};
use crate::media_type::{CONFIG, INDEX, MANIFEST};
use crate::{Descriptor, Platform};

/// The file that makes a directory an image layout.
const MARKER: (&str, &[u8]) = ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);

/// An image in an OCI image layout, made in memory and ready to be written.
#[derive(Clone, Debug)]
pub struct Layout {
    reference: ImageReference,
    platforms: Vec<PlatformImage>,
    /// The entries of `index.json`: the image, then artifacts.
    entries: Vec<Descriptor>,
    blobs: Blobs,
}

/// An image for one platform: its digests and its size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PlatformImage {
    /// The platform.
    #[serde(serialize_with = "as_text")]
    pub platform: Platform,
    /// The manifest, which a registry serves for the platform.
    pub manifest: Digest,
    /// The configuration. containerd and the kubelet use its digest as the image's id.
    pub config: Digest,
    /// The layers as stored, the lowest first.
    pub layers: Vec<Digest>,
    /// What a node downloads if it has none of it: manifest, configuration and layers.
    pub bytes: u64,
}

fn as_text<S: serde::Serializer>(platform: &Platform, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(platform)
}

impl Layout {
    /// Makes one image for several platforms. An image for one platform has no index of its own: its name points at
    /// the manifest.
    ///
    /// # Errors
    /// [`WriteError::Platforms`] if there is no image, two have the same platform, or their names differ. Otherwise
    /// the errors of [`ImageBuilder::build`].
    pub fn build(images: impl IntoIterator<Item = ImageBuilder>) -> Result<Self, WriteError> {
        let mut images: Vec<_> = images.into_iter().collect();
        images.sort_by(|one, other| one.platform.cmp(&other.platform));
        let reference = common_reference(&images)?;
        let mut blobs = Blobs::default();
        let mut platforms = Vec::new();
        let mut manifests = Vec::new();
        for image in &images {
            let (platform, manifest) = add_image(&mut blobs, image)?;
            platforms.push(platform);
            manifests.push(manifest);
        }
        let mut target = match &manifests[..] {
            [only] => only.clone(),
            _ => {
                let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
                blobs.add_json(INDEX, &annotated(index, &images[0]))
            }
        };
        // containerd names what it imports by the first, skopeo finds an image in a layout by the second.
        target.annotations.insert(IMAGE_NAME.to_owned(), reference.to_string());
        target.annotations.insert(REF_NAME.to_owned(), reference.tag().unwrap_or_default().to_owned());
        Ok(Self { reference, platforms, entries: vec![target], blobs })
    }

    /// Adds an artifact, such as a signature or an SBOM of the image. Returns the artifact's descriptor.
    ///
    /// `index.json` lists it without a name. Readers find it there by its subject.
    pub fn add(&mut self, artifact: Artifact) -> Descriptor {
        let descriptor = artifact.add_to(&mut self.blobs);
        self.entries.push(descriptor.clone());
        descriptor
    }

    /// The complete name: `registry/repository:tag`.
    #[must_use]
    pub fn reference(&self) -> String {
        self.reference.to_string()
    }

    /// What the name points at in a registry: the index if there are several platforms, or the manifest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.entries[0].digest
    }

    /// Describes the image, for the subject of an [`Artifact`].
    #[must_use]
    pub fn image(&self) -> Descriptor {
        let Descriptor { media_type, digest, size, .. } = &self.entries[0];
        Descriptor::new(media_type.clone(), *digest, *size)
    }

    /// Describes a blob of the layout, such as the manifest of one platform.
    #[must_use]
    pub fn descriptor(&self, digest: Digest) -> Option<Descriptor> {
        self.blobs.descriptor(digest)
    }

    /// `registry/repository@sha256:…`.
    #[must_use]
    pub fn pinned(&self) -> String {
        self.reference.at(self.digest()).to_string()
    }

    /// The image for each platform, amd64 first.
    #[must_use]
    pub fn platforms(&self) -> &[PlatformImage] {
        &self.platforms
    }

    /// The layout as a tar archive, as `ctr images import` takes it.
    #[must_use]
    pub fn archive(&self) -> Vec<u8> {
        let mut archive = Archive::new();
        let mut pack = || {
            archive.directory("blobs", Facts::DIRECTORY)?;
            archive.directory("blobs/sha256", Facts::DIRECTORY)?;
            self.files().try_for_each(|(path, bytes)| archive.file(&path, Facts::FILE, &bytes))
        };
        pack().expect("these paths are short and writing to memory cannot fail");
        archive.finish()
    }

    /// Writes the [archive](Self::archive) to a file: the whole file or nothing.
    ///
    /// # Errors
    /// [`WriteError::File`].
    pub fn write_archive(&self, path: impl AsRef<Path>) -> Result<(), WriteError> {
        files::write_file(path.as_ref(), &self.archive())
    }

    /// Writes the layout into a directory, which is created if it is missing.
    ///
    /// # Errors
    /// [`WriteError::File`].
    pub fn write_directory(&self, path: impl AsRef<Path>) -> Result<(), WriteError> {
        files::create_directory(&path.as_ref().join("blobs/sha256"))?;
        self.files().try_for_each(|(name, bytes)| files::write_file(&path.as_ref().join(name), &bytes))
    }

    /// Blobs first, so that a directory is complete before `index.json` names them.
    fn files(&self) -> impl Iterator<Item = (String, Cow<'_, [u8]>)> {
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": self.entries });
        let blobs = self.blobs.iter().map(|(digest, blob)| (blob_path(*digest), blob.into()));
        let (marker, content) = MARKER;
        let rest = [("index.json", canonical(&index).into()), (marker, content.into())];
        blobs.chain(rest.map(|(path, bytes)| (path.to_owned(), bytes)))
    }
}

fn common_reference(images: &[ImageBuilder]) -> Result<ImageReference, WriteError> {
    let text = images.first().map(|image| image.reference.clone()).unwrap_or_default();
    let platforms: BTreeSet<_> = images.iter().map(|image| &image.platform).collect();
    let one_name = images.iter().all(|image| image.reference == text);
    if images.is_empty() || platforms.len() != images.len() || !one_name {
        return Err(WriteError::Platforms { reference: text });
    }
    match text.parse::<ImageReference>() {
        Err(source) => Err(WriteError::Reference { reference: text, source }),
        Ok(reference) if reference.tag().is_none() || reference.digest().is_some() => {
            Err(WriteError::NotTagged { reference: text })
        }
        Ok(reference) => Ok(reference),
    }
}

fn annotated(mut document: Value, image: &ImageBuilder) -> Value {
    if !image.labels.is_empty() {
        document["annotations"] = json!(image.labels);
    }
    document
}

/// Adds the blobs of an image for one platform. Returns its digests, and the manifest's descriptor for an index.
fn add_image(blobs: &mut Blobs, image: &ImageBuilder) -> Result<(PlatformImage, Descriptor), WriteError> {
    let layers = image.pack()?;
    let config = blobs.add_json(CONFIG, &image.configuration(&layers));
    let layers: Vec<_> = layers.into_iter().map(|layer| blobs.add(layer.media_type, layer.blob)).collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config,
        "layers": layers,
    });
    let mut manifest = blobs.add_json(MANIFEST, &annotated(manifest, image));
    // A layer that is in the image twice is downloaded once.
    let parts = layers.iter().chain([&manifest, &config]);
    let sizes: BTreeMap<_, _> = parts.map(|part| (part.digest, part.size)).collect();
    manifest.platform = Some(image.platform.clone());
    let platform = PlatformImage {
        platform: image.platform.clone(),
        manifest: manifest.digest,
        config: config.digest,
        layers: layers.iter().map(|layer| layer.digest).collect(),
        bytes: sizes.values().sum(),
    };
    Ok((platform, manifest))
}
