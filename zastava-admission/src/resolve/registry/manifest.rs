//! What a registry says of a manifest: its digest and its type. Pure.

use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;
use serde::de::IgnoredAny;
use zastava_core::image::Digest;
use zastava_core::json;

/// The types that engines ask for. A registry chooses by them, so that it gives the digest that engines get.
pub(super) const ACCEPT: HeaderValue = HeaderValue::from_static(
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json",
);
const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
const CONTENT_DIGEST: &str = "docker-content-digest";
/// Manifests of an index that are looked at.
const PLATFORMS_MAX: usize = 64;
/// So many fit into it, with annotations.
const INDEX_BYTES_MAX: usize = 256 << 10;
/// What no node with Linux takes: other systems, and attestations.
const FOREIGN_SYSTEMS: [&str; 4] = ["unknown", "windows", "darwin", "freebsd"];

/// What a tag names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) digest: Digest,
    /// Whether it lists one image for each platform.
    pub(crate) is_index: bool,
}

/// What an answer says of a manifest.
pub(super) struct Described {
    /// `None` when the answer does not say it.
    pub(super) digest: Option<Digest>,
    pub(super) is_index: bool,
}

/// Reads the headers of a successful answer. The error says what is wrong with them.
pub(super) fn described(headers: &HeaderMap) -> Result<Described, &'static str> {
    let is_index = is_index(headers)?;
    let mut digests = headers.get_all(CONTENT_DIGEST).iter();
    let digest = match (digests.next(), digests.next()) {
        (None, _) => None,
        (Some(digest), None) => {
            let digest = digest.to_str().ok().and_then(|text| text.parse().ok());
            Some(digest.ok_or("its digest is not sha256 in lower-case hex")?)
        }
        (Some(_), Some(_)) => return Err("it has two digests"),
    };
    Ok(Described { digest, is_index })
}

fn is_index(headers: &HeaderMap) -> Result<bool, &'static str> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(content_type), None) = (types.next(), types.next()) else {
        return Err("it does not say its type");
    };
    let essence = content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    if INDEXES.contains(&essence.as_str()) {
        Ok(true)
    } else if MANIFESTS.contains(&essence.as_str()) {
        Ok(false)
    } else {
        Err("its type is neither an image's nor an index's")
    }
}

// Engines read by Go's rules: the case of a member does not matter, and of several the last counts. So a member that is not known
// here, or stands twice, could be another list to them. All members that the specification has are named; the others refuse.

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "members are named to be known")]
struct Index {
    manifests: Vec<Descriptor>,
    schema_version: Option<IgnoredAny>,
    media_type: Option<IgnoredAny>,
    artifact_type: Option<IgnoredAny>,
    subject: Option<IgnoredAny>,
    annotations: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "members are named to be known")]
struct Descriptor {
    digest: Digest,
    platform: Option<Platform>,
    media_type: Option<IgnoredAny>,
    size: Option<IgnoredAny>,
    urls: Option<IgnoredAny>,
    annotations: Option<IgnoredAny>,
    data: Option<IgnoredAny>,
    artifact_type: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "members are named to be known")]
struct Platform {
    /// An engine takes its own where this is empty.
    #[serde(default)]
    os: String,
    architecture: Option<IgnoredAny>,
    variant: Option<IgnoredAny>,
    features: Option<IgnoredAny>,
    #[serde(rename = "os.version")]
    os_version: Option<IgnoredAny>,
    #[serde(rename = "os.features")]
    os_features: Option<IgnoredAny>,
}

/// The images of an index that a node with Linux could run.
pub(super) fn platforms(index: &[u8]) -> Result<Vec<Digest>, &'static str> {
    if index.len() > INDEX_BYTES_MAX {
        return Err("it has more than 256 KiB");
    }
    let index: Index = json::from_slice(index).map_err(|_| "it is no index that all read alike")?;
    if index.manifests.len() > PLATFORMS_MAX {
        return Err("it has more than 64 manifests");
    }
    let is_foreign = |platform: &Platform| FOREIGN_SYSTEMS.contains(&platform.os.as_str());
    let runs = |descriptor: &Descriptor| !descriptor.platform.as_ref().is_some_and(is_foreign);
    let mut digests: Vec<_> =
        index.manifests.into_iter().filter(runs).map(|descriptor| descriptor.digest).collect();
    digests.sort_unstable();
    digests.dedup();
    Ok(digests)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Types and digests as headers, and what they say.
    type Row<'t> = (&'t [&'t str], &'t [&'t str], Result<(Option<Digest>, bool), &'t str>);

    #[test]
    fn headers_say_digest_and_type_or_what_is_wrong() {
        let digest = Digest::of(b"manifest");
        let (text, upper) = (digest.to_string(), digest.to_string().to_uppercase());
        let (oci, docker) = (MANIFESTS[0], INDEXES[1]);
        let rows: &[Row<'_>] = &[
            (&[oci], &[&text], Ok((Some(digest), false))),
            (&["application/vnd.oci.image.index.v1+json; charset=utf-8"], &[&text], Ok((Some(digest), true))),
            (&[docker], &[], Ok((None, true))),
            (&[oci], &[&upper], Err("lower-case")),
            (&[oci], &["sha256:12"], Err("lower-case")),
            (&[oci], &[""], Err("lower-case")),
            (&[oci], &[&text, &text], Err("two digests")),
            (&[], &[&text], Err("does not say its type")),
            (&[oci, docker], &[&text], Err("does not say its type")),
            (&["text/html"], &[&text], Err("neither")),
            (&["application/vnd.docker.distribution.manifest.v1+prettyjws"], &[&text], Err("neither")),
        ];
        for (types, digests, expected) in rows {
            let mut headers = HeaderMap::new();
            for value in *types {
                headers.append(header::CONTENT_TYPE, value.parse().unwrap());
            }
            for value in *digests {
                headers.append(CONTENT_DIGEST, value.parse().unwrap());
            }
            match (described(&headers), expected) {
                (Ok(found), Ok(expected)) => assert_eq!((found.digest, found.is_index), *expected),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                _ => panic!("{types:?} {digests:?}"),
            }
        }
    }

    #[test]
    fn images_of_an_index_are_those_that_linux_could_run() {
        let digest = |name: &str| Digest::of(name.as_bytes());
        let entry = |name: &str, platform: &str| format!(r#"{{"digest": "{}"{platform}}}"#, digest(name));
        let index = format!(
            r#"{{"schemaVersion": 2, "mediaType": "{}", "manifests": [{}, {}, {}, {}, {}, {}], "annotations": {{"a": "b"}}}}"#,
            INDEXES[0],
            entry(
                "amd64",
                r#", "size": 1, "platform": {"os": "linux", "architecture": "amd64", "os.version": "1"}"#
            ),
            // containerd writes it small, and takes the node's own for none.
            entry("case", r#", "platform": {"os": "Linux", "architecture": "amd64"}"#),
            entry("empty", r#", "platform": {"os": "", "architecture": "amd64"}"#),
            entry("attestation", r#", "platform": {"os": "unknown", "architecture": "unknown"}"#),
            entry("windows", r#", "platform": {"os": "windows", "architecture": "amd64"}"#),
            entry("any", ""),
        );
        let mut expected = ["amd64", "case", "empty", "any"].map(digest);
        expected.sort_unstable();
        assert_eq!(platforms(index.as_bytes()), Ok(expected.to_vec()));
        let many = format!(r#"{{"manifests": [{}]}}"#, vec![entry("a", ""); 65].join(","));
        let long =
            format!(r#"{{"manifests": [], "annotations": {{"a": "{}"}}}}"#, "a".repeat(INDEX_BYTES_MAX));
        for broken in ["", "{}", r#"{"manifests": [{"digest": "sha256:1"}]}"#, &many, &long] {
            assert!(platforms(broken.as_bytes()).is_err());
        }
    }

    #[test]
    fn an_index_that_engines_could_read_otherwise_is_none() {
        let (good, evil) = (Digest::of(b"good"), Digest::of(b"evil"));
        let entry = format!(r#"{{"digest": "{good}", "platform": {{"os": "linux"}}}}"#);
        let index = format!(r#"{{"manifests": [{entry}]}}"#);
        assert_eq!(platforms(index.as_bytes()), Ok(vec![good]));
        for (from, to) in [
            (r#"]}"#, format!(r#"], "Manifests": [{{"digest": "{evil}"}}]}}"#)),
            (r#"]}"#, format!(r#"], "manifests": [{{"digest": "{evil}"}}]}}"#)),
            // Go takes the long s for an s.
            (r#"]}"#, format!(r#"], "manife\u017fts": [{{"digest": "{evil}"}}]}}"#)),
            (r#"{"digest""#, format!(r#"{{"Digest": "{evil}", "digest""#)),
            (r#"{"digest""#, format!(r#"{{"digest": "{evil}", "digest""#)),
            (r#", "platform""#, r#", "Platform": {"os": "linux"}, "platform""#.to_owned()),
            (r#""linux"}"#, r#""windows", "OS": "linux"}"#.to_owned()),
            // An image's manifest that has the list of an index, too.
            (r#"]}"#, r#"], "config": {}, "layers": []}"#.to_owned()),
        ] {
            let changed = index.replace(from, &to);
            assert_ne!(changed, index);
            assert!(platforms(changed.as_bytes()).is_err(), "{changed}");
        }
    }
}
