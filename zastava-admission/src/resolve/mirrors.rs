//! What a reference stands for where another name replaces its beginning. Pure.
//!
//! | who rewrites | the Pod says | engines pull from | Scanner knows |
//! | --- | --- | --- | --- |
//! | k3s `registries.yaml`, containerd `hosts.toml` | the original | the mirror: `askAt` | the original |
//! | Zarf's agent, a mutating webhook | the mirror | the mirror, perhaps under another name: `askAt` | the original: `knownAs` |

use zastava_core::image::{ImageError, ImageReference};

use crate::options::{MirrorOptions, RegistryOptions};

/// A reference with its two meanings.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Places {
    /// By this name a registry is asked.
    pub(crate) asked_at: ImageReference,
    /// By this name Scanner knows the image.
    pub(crate) known_as: ImageReference,
}

/// The table, longest beginning first.
#[derive(Debug, Default)]
pub(crate) struct Mirrors(Vec<(String, MirrorOptions)>);

impl Mirrors {
    pub(crate) fn new(options: &RegistryOptions) -> Self {
        let mirrors = options.mirrors.iter();
        let mut table: Vec<_> =
            mirrors.map(|(beginning, mirror)| (beginning.clone(), mirror.clone())).collect();
        table.sort_by_key(|(beginning, _)| std::cmp::Reverse(beginning.len()));
        Self(table)
    }

    /// Where the image is, and what it is called. An error when a replaced beginning makes a reference that cannot be.
    pub(crate) fn places(&self, image: &ImageReference) -> Result<Places, ImageError> {
        let own = || Places { asked_at: image.clone(), known_as: image.clone() };
        if self.0.is_empty() {
            return Ok(own());
        }
        let name = format!("{}/{}", image.registry(), image.repository());
        let found = self.0.iter().find_map(|(beginning, mirror)| {
            let rest = name.strip_prefix(beginning.as_str())?;
            rest.starts_with('/').then_some((rest, mirror))
        });
        let Some((rest, mirror)) = found else {
            return Ok(own());
        };
        let replaced = |by: &Option<String>| match by {
            Some(place) => format!("{place}{rest}{}", selector(image)).parse(),
            None => Ok(image.clone()),
        };
        Ok(Places { asked_at: replaced(&mirror.ask_at)?, known_as: replaced(&mirror.known_as)? })
    }
}

/// The tag and the digest as a reference ends with them.
fn selector(image: &ImageReference) -> String {
    let tag = image.tag().map(|tag| format!(":{tag}")).unwrap_or_default();
    let digest = image.digest().map(|digest| format!("@{digest}")).unwrap_or_default();
    tag + &digest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror(ask_at: &str, known_as: &str) -> MirrorOptions {
        let place = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        MirrorOptions { ask_at: place(ask_at), known_as: place(known_as) }
    }

    #[test]
    fn longest_beginning_of_whole_parts_is_replaced() {
        let mut options = RegistryOptions::default();
        for (beginning, ask_at, known_as) in [
            // k3s: mirrors."docker.io", endpoint registry.internal:5000.
            ("docker.io", "registry.internal:5000", ""),
            // k3s: a rewrite of "^rancher/(.*)" to "mirrored/rancher/$1".
            ("docker.io/rancher", "registry.internal:5000/mirrored/rancher", ""),
            // hosts.toml: [host."https://harbor.internal/v2/proxy-ghcr"] with override_path.
            ("ghcr.io", "harbor.internal/proxy-ghcr", ""),
            // Zarf: nodes reach the registry at a port of their own, pods by its Service.
            ("127.0.0.1:31999", "zarf-docker-registry.zarf.svc:5000", "ghcr.io"),
            // A mutating webhook that writes the mirror's name into the Pod.
            ("registry.internal:5000/quay", "", "quay.io"),
        ] {
            options.mirrors.insert(beginning.to_owned(), mirror(ask_at, known_as));
        }
        let mirrors = Mirrors::new(&options);
        let digest = format!("sha256:{}", "1".repeat(64));
        for (written, asked_at, known_as) in [
            ("nginx", "registry.internal:5000/library/nginx:latest", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "registry.internal:5000/library/nginx:1.27", "docker.io/library/nginx:1.27"),
            (
                "rancher/pause:3.6",
                "registry.internal:5000/mirrored/rancher/pause:3.6",
                "docker.io/rancher/pause:3.6",
            ),
            // No whole part of the repository.
            ("rancherlabs/x:1", "registry.internal:5000/rancherlabs/x:1", "docker.io/rancherlabs/x:1"),
            ("ghcr.io/a/b:2", "harbor.internal/proxy-ghcr/a/b:2", "ghcr.io/a/b:2"),
            // Engines look for a mirror by the host as it is written.
            ("ghcr.io:443/a/b:2", "ghcr.io:443/a/b:2", "ghcr.io:443/a/b:2"),
            (
                "127.0.0.1:31999/stefanprodan/podinfo:6.4.0-zarf-2985051089",
                "zarf-docker-registry.zarf.svc:5000/stefanprodan/podinfo:6.4.0-zarf-2985051089",
                "ghcr.io/stefanprodan/podinfo:6.4.0-zarf-2985051089",
            ),
            (
                &format!("127.0.0.1:31999/a/b@{digest}"),
                &format!("zarf-docker-registry.zarf.svc:5000/a/b@{digest}"),
                &format!("ghcr.io/a/b@{digest}"),
            ),
            ("registry.internal:5000/quay/x:1", "registry.internal:5000/quay/x:1", "quay.io/x:1"),
            (
                "registry.internal:5000/own/x:1",
                "registry.internal:5000/own/x:1",
                "registry.internal:5000/own/x:1",
            ),
        ] {
            let places = mirrors.places(&written.parse().unwrap()).unwrap();
            assert_eq!(
                (places.asked_at.to_string(), places.known_as.to_string()),
                (asked_at.to_owned(), known_as.to_owned()),
                "{written}"
            );
        }
        let long = format!("ghcr.io/{}", "a".repeat(255)).parse().unwrap();
        assert_eq!(mirrors.places(&long), Err(ImageError::RepositoryTooLong));
    }
}
