//! From a name to the image for a platform.

use super::documents::Manifest;
use super::layout::{LayoutReader, Visited};
use super::place::Place;
use super::{ImageConfig, LayerReader, ReadError};
use crate::media_type;
use crate::{Descriptor, Digest, Platform};

/// An image for one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Image {
    /// What names the manifest.
    pub descriptor: Descriptor,
    /// The manifest.
    pub manifest: Manifest,
    /// The configuration.
    pub config: ImageConfig,
    /// The layers, the lowest first.
    pub layers: Vec<Layer>,
}

/// One layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Layer {
    /// The layer as stored.
    pub descriptor: Descriptor,
    /// The digest of the uncompressed layer.
    pub diff_id: Digest,
}

/// A manifest of an index, and the platform it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlatformManifest {
    /// The platform that the index states, or the configuration if the index states none.
    pub platform: Platform,
    /// What names the manifest.
    pub descriptor: Descriptor,
}

impl LayoutReader {
    /// The image for a platform, from an index or from the manifest itself.
    ///
    /// # Errors
    /// [`ReadError::Platform`] if the image is not for the platform, [`ReadError::Duplicate`] if an index has several
    /// manifests for it. Otherwise as [`manifest`](Self::manifest), and [`ReadError::LayerCount`].
    pub fn image(&self, descriptor: &Descriptor, platform: &Platform) -> Result<Image, ReadError> {
        let all = self.platforms(descriptor)?;
        let mut found = all.iter().filter(|found| found.platform.is_same_as(platform));
        let Some(first) = found.next() else {
            let available = all.into_iter().map(|found| found.platform).collect();
            return Err(ReadError::Platform {
                image: descriptor.digest,
                platform: Box::new(platform.clone()),
                available,
            });
        };
        if found.any(|other| other.descriptor.digest != first.descriptor.digest) {
            let place = Place::new(descriptor.digest, "manifests");
            return Err(ReadError::Duplicate { place, name: platform.to_string() });
        }
        self.image_at(&first.descriptor)
    }

    /// The image that a manifest describes, whatever platform it is for.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest), and [`ReadError::LayerCount`].
    pub fn image_at(&self, descriptor: &Descriptor) -> Result<Image, ReadError> {
        let manifest = self.manifest(descriptor)?;
        let config = self.config(&manifest)?;
        let (expected, actual) = (manifest.layers.len(), config.diff_ids.len());
        if expected != actual {
            return Err(ReadError::LayerCount { config: manifest.config.digest, expected, actual });
        }
        let layers = manifest.layers.iter().zip(&config.diff_ids);
        let layers =
            layers.map(|(descriptor, diff_id)| Layer { descriptor: descriptor.clone(), diff_id: *diff_id });
        Ok(Image { descriptor: descriptor.clone(), layers: layers.collect(), manifest, config })
    }

    /// All images below an index or a manifest. Artifacts are left out.
    ///
    /// # Errors
    /// [`ReadError::MediaType`] if the descriptor names something else, [`ReadError::Limit`] for too many or too
    /// deeply nested indexes. Otherwise as [`manifest`](Self::manifest).
    pub fn platforms(&self, descriptor: &Descriptor) -> Result<Vec<PlatformManifest>, ReadError> {
        if !media_type::is_index(&descriptor.media_type) && !media_type::is_manifest(&descriptor.media_type) {
            let place = Place::new(descriptor.digest, "");
            return Err(ReadError::media_type(place, &descriptor.media_type, "an index or a manifest"));
        }
        let mut found = Vec::new();
        self.collect_platforms(descriptor, 0, &mut Visited::default(), &mut found)?;
        Ok(found)
    }

    /// Opens a layer. See [`LayerReader`].
    ///
    /// # Errors
    /// [`ReadError::MediaType`] if its compression is not known; otherwise as [`blob`](Self::blob).
    pub fn layer(&self, layer: &Layer) -> Result<LayerReader, ReadError> {
        LayerReader::open(self.blob(&layer.descriptor)?, layer, self.limits())
    }

    fn collect_platforms(
        &self,
        descriptor: &Descriptor,
        depth: usize,
        visited: &mut Visited,
        found: &mut Vec<PlatformManifest>,
    ) -> Result<(), ReadError> {
        // The specification has readers ignore what they do not know in an index.
        if media_type::is_index(&descriptor.media_type) {
            if !visited.is_new(descriptor.digest, self.limits())? {
                return Ok(());
            }
            let max = self.limits().index_depth;
            if depth > max {
                return Err(ReadError::limit(Place::new(descriptor.digest, ""), "index_depth", max as u64));
            }
            let children = self.index(descriptor)?.manifests;
            return children
                .iter()
                .try_for_each(|child| self.collect_platforms(child, depth + 1, visited, found));
        }
        if media_type::is_manifest(&descriptor.media_type)
            && let Some(platform) = self.platform(descriptor, visited)?
        {
            found.push(PlatformManifest { platform, descriptor: descriptor.clone() });
        }
        Ok(())
    }

    /// `None` for an artifact.
    fn platform(
        &self,
        descriptor: &Descriptor,
        visited: &mut Visited,
    ) -> Result<Option<Platform>, ReadError> {
        if descriptor.platform.is_some() {
            return Ok(descriptor.platform.clone());
        }
        if !visited.is_new(descriptor.digest, self.limits())? {
            return Ok(None);
        }
        let manifest = self.manifest(descriptor)?;
        if !media_type::is_config(&manifest.config.media_type) {
            return Ok(None);
        }
        self.config(&manifest).map(|config| Some(config.platform))
    }

    fn config(&self, manifest: &Manifest) -> Result<ImageConfig, ReadError> {
        let Descriptor { digest, media_type, .. } = &manifest.config;
        if !media_type::is_config(media_type) {
            return Err(ReadError::media_type(Place::new(*digest, ""), media_type, "an image configuration"));
        }
        ImageConfig::read(*digest, &self.document(&manifest.config)?)
    }
}
