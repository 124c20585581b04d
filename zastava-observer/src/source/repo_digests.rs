//! Which image a container runs, as Docker Engine and CRI-O know it. Pure.
//!
//! Both record the id of the image that a container was made of, which cannot move, and for each image the digests under
//! which repositories have it. So the digest of the image with that id is the digest of what runs, whatever the tag leads to
//! by now (docs/design/observer.md#which-facts-are-looked-up-by-a-name-that-can-move).

use std::str::FromStr as _;

use zastava_core::image::{Digest, ImageReference};

/// A container's image, as an event names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImageFound {
    /// `repository@sha256:…`, or the name as it stands.
    pub(super) reference: String,
    /// Why there is no digest.
    pub(super) without_digest: Option<&'static str>,
}

/// The image that was asked for as `name`. `repo_digests` and `repo_tags` are those of the image with the container's image
/// id; `None` if there is none any more. Without any name the result is `None`.
pub(super) fn image(name: &str, repo_tags: &[String], repo_digests: Option<&[String]>) -> Option<ImageFound> {
    let asked = Some(name).filter(|name| !name.is_empty() && !is_image_id(name));
    let asked = asked.and_then(|name| ImageReference::from_str(name).ok());
    if let Some(reference) = asked.as_ref().and_then(ImageReference::pinned) {
        return Some(ImageFound { reference, without_digest: None });
    }
    let known: Vec<ImageReference> =
        repo_digests.unwrap_or_default().iter().filter_map(|text| text.parse().ok()).collect();
    let is_of_asked =
        |found: &&ImageReference| asked.as_ref().is_none_or(|asked| is_same_repository(asked, found));
    // The same image under the name of another repository is what runs, too.
    let found = known.iter().find(is_of_asked).or_else(|| known.first());
    if let Some(reference) = found.and_then(ImageReference::pinned) {
        return Some(ImageFound { reference, without_digest: None });
    }
    let reference = asked.map(|_| name.to_owned()).or_else(|| repo_tags.first().cloned());
    let reference = reference.or_else(|| Some(name.to_owned()).filter(|name| !name.is_empty()))?;
    let without_digest = Some(match repo_digests {
        None => "the image is gone",
        Some(_) => "no repository's digest is known for the image: it was neither pulled nor pushed",
    });
    Some(ImageFound { reference, without_digest })
}

fn is_same_repository(one: &ImageReference, other: &ImageReference) -> bool {
    (one.registry(), one.repository()) == (other.registry(), other.repository())
}

/// Whether a container was made by the image's id, or the begin of one, rather than by a name.
fn is_image_id(name: &str) -> bool {
    let is_hex = name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    Digest::from_str(name).is_ok() || (is_hex && name.len() >= 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
    const TWO: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";

    #[track_caller]
    fn check(name: &str, digests: Option<&[&str]>, wanted: &str, has_digest: bool) {
        let digests: Option<Vec<String>> =
            digests.map(|all| all.iter().map(|text| text.replace("ONE", ONE).replace("TWO", TWO)).collect());
        let tags = ["docker.io/library/tagged:1".to_owned()];
        let found = image(&name.replace("ONE", ONE), &tags, digests.as_deref()).expect("has a name");
        assert_eq!(found.reference, wanted.replace("ONE", ONE).replace("TWO", TWO), "{name}");
        assert_eq!(found.without_digest.is_none(), has_digest, "{found:?}");
    }

    #[test]
    fn the_digest_is_that_of_the_image_with_the_containers_id() {
        let both: &[&str] = &["quay.io/other/app@TWO", "alpine@ONE"];
        check("alpine:3", Some(both), "docker.io/library/alpine@ONE", true);
        check("quay.io/other/app", Some(both), "quay.io/other/app@TWO", true);
        check("mirror.internal/alpine:3", Some(both), "quay.io/other/app@TWO", true);
        check("ONE", Some(both), "quay.io/other/app@TWO", true);
        check("alpine@ONE", Some(&["alpine@TWO"]), "docker.io/library/alpine@ONE", true);
    }

    #[test]
    fn without_a_repositorys_digest_the_name_stands_and_says_why() {
        check("local/app:1", Some(&[]), "local/app:1", false);
        check("local/app:1", None, "local/app:1", false);
        check("local/app:1", Some(&["no digest"]), "local/app:1", false);
        check("2f1b3c4d5e6f", Some(&[]), "docker.io/library/tagged:1", false);
        assert_eq!(image("", &[], None), None);
    }
}
