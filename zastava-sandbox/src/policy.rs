//! The verdicts of the sandbox's Scanner by image.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use zastava_core::config::{Configuration, Faults, Section, SettingValue};
use zastava_core::contract::{ImageResult, PolicyVerdict};
use zastava_core::image::{Digest, ImageReference};

/// More images than any test needs.
const IMAGES_MAX: usize = 10_000;
const EMBEDDED: &str = include_str!("policy/embedded.yaml");

/// A policy read from YAML. The embedded one, `src/policy/embedded.yaml`, shows every key.
#[derive(Clone, Debug)]
pub struct Policy {
    revision: String,
    ttl: Duration,
    unknown: Rule,
    by_reference: HashMap<String, Rule>,
    by_repository: HashMap<String, Rule>,
    by_digest: HashMap<Digest, Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    verdict: PolicyVerdict,
    signed: bool,
    sbom: bool,
    reasons: Vec<String>,
}

/// An image as a client asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AskedImage {
    Reference(ImageReference),
    Digest(Digest),
}

impl Policy {
    /// The default policy: `registry.sandbox.local/demo/signed` passes,
    /// `…/warned` warns, `…/unsigned` and all that is unknown fails.
    #[must_use]
    pub fn embedded() -> Self {
        Self::from_yaml(EMBEDDED, Path::new("embedded.yaml")).expect("the embedded policy has no faults")
    }

    /// Reads a policy. Faults name the text by `path`.
    ///
    /// # Errors
    /// Every fault at once, each with its line.
    pub fn from_yaml(text: &str, path: &Path) -> Result<Self, Faults> {
        let read = |root: &Section<'_>| Self::read(&root.section("policy"));
        Configuration::from_yaml(text, path).read(read).map(|(policy, _)| policy)
    }

    fn read(section: &Section<'_>) -> Option<Self> {
        let mut policy = Self {
            revision: section.value("revision", "sandbox".to_owned()),
            ttl: section.checked("ttlSeconds", Duration::from_secs(300), "whole seconds", |ttl| {
                ttl.subsec_nanos() == 0
            }),
            unknown: Rule::read_default(&section.section("default")),
            by_reference: HashMap::new(),
            by_repository: HashMap::new(),
            by_digest: HashMap::new(),
        };
        let images = section.items("images", |item| match item {
            Err(image) => Image::read(&image),
            Ok(word) => {
                section.conflict("images", format!("expected a section with keys, found {word:?}"));
                None
            }
        });
        if images.len() > IMAGES_MAX {
            section.conflict("images", format!("more than {IMAGES_MAX} images"));
        }
        for image in images {
            if let Some(twice) = policy.add(image) {
                section.conflict("images", format!("{twice} is listed twice"));
            }
        }
        section.finish();
        Some(policy)
    }

    /// Adds an image. Returns its name if it is listed already.
    fn add(&mut self, image: Image) -> Option<String> {
        let Image { name, rule } = image;
        let (map, key) = match name {
            ImageName::Reference(reference) => {
                if let Some(digest) = reference.digest() {
                    self.by_digest.entry(digest).or_insert_with(|| rule.clone());
                }
                (&mut self.by_reference, reference_key(&reference))
            }
            ImageName::Repository(repository) => (&mut self.by_repository, repository_key(&repository)),
        };
        map.insert(key.clone(), rule).map(|_| key)
    }

    pub(crate) fn revision(&self) -> &str {
        &self.revision
    }

    pub(crate) fn ttl(&self) -> Duration {
        self.ttl
    }

    /// The answer for one image, without the build-ids.
    pub(crate) fn answer(&self, image: &AskedImage) -> ImageResult {
        let rule = match image {
            AskedImage::Digest(digest) => self.by_digest.get(digest),
            AskedImage::Reference(reference) => self
                .by_reference
                .get(&reference_key(reference))
                .or_else(|| self.by_repository.get(&repository_key(reference))),
        };
        let rule = rule.unwrap_or(&self.unknown);
        ImageResult {
            policy_verdict: Some(rule.verdict),
            signed: Some(rule.signed),
            has_sbom_referrers: Some(rule.sbom),
            reasons: rule.reasons.clone(),
            ..ImageResult::default()
        }
    }
}

impl AskedImage {
    /// A reference, or a bare digest; `None` when it is neither.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digest = || text.parse().map(Self::Digest);
        digest().or_else(|_| text.parse().map(Self::Reference)).ok()
    }

    pub(crate) fn digest(&self) -> Option<Digest> {
        match self {
            Self::Digest(digest) => Some(*digest),
            Self::Reference(reference) => reference.digest(),
        }
    }
}

/// One entry of `images`.
struct Image {
    name: ImageName,
    rule: Rule,
}

enum ImageName {
    Reference(ImageReference),
    Repository(ImageReference),
}

impl Image {
    fn read(section: &Section<'_>) -> Option<Self> {
        let reference = section.optional::<Reference>("reference");
        let repository = section.optional::<Repository>("repository");
        if !section.is_set("reference") && !section.is_set("repository") {
            section.conflict("reference", "reference or repository must be set");
        }
        if reference.is_some() && repository.is_some() {
            section.conflict("repository", "reference is set too; one of them must go");
        }
        let rule = Rule {
            verdict: section.required::<Verdict>("verdict").map_or(PolicyVerdict::Error, |found| found.0),
            signed: section.value("signed", false),
            sbom: section.value("sbom", false),
            reasons: section.list("reasons", Vec::new()),
        };
        section.finish();
        let name = match (reference, repository) {
            (Some(Reference(reference)), _) => ImageName::Reference(reference),
            (None, Some(Repository(repository))) => ImageName::Repository(repository),
            (None, None) => return None,
        };
        Some(Self { name, rule })
    }
}

impl Rule {
    /// Unknown images fail unless the file says otherwise.
    fn read_default(section: &Section<'_>) -> Self {
        let rule = Self {
            verdict: section.value("verdict", Verdict(PolicyVerdict::Fail)).0,
            signed: section.value("signed", false),
            sbom: section.value("sbom", false),
            reasons: section.list("reasons", vec!["not signed".to_owned()]),
        };
        section.finish();
        rule
    }
}

/// The digest takes precedence over the tag, as everywhere.
fn reference_key(reference: &ImageReference) -> String {
    reference.pinned().unwrap_or_else(|| reference.to_string())
}

fn repository_key(reference: &ImageReference) -> String {
    format!("{}/{}", reference.registry(), reference.repository())
}

struct Verdict(PolicyVerdict);

impl SettingValue for Verdict {
    const FORM: &'static str = "pass, warn, fail or error";

    fn parse(text: &str) -> Option<Self> {
        let verdicts = [PolicyVerdict::Pass, PolicyVerdict::Warn, PolicyVerdict::Fail, PolicyVerdict::Error];
        verdicts.into_iter().find(|verdict| verdict.name() == text).map(Self)
    }

    fn show(&self) -> String {
        self.0.name().to_owned()
    }
}

struct Reference(ImageReference);

impl SettingValue for Reference {
    const FORM: &'static str = "an image reference with a tag or a sha256 digest";

    fn parse(text: &str) -> Option<Self> {
        let reference: ImageReference = text.parse().ok()?;
        (reference.tag().is_some() || reference.digest().is_some()).then_some(Self(reference))
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

struct Repository(ImageReference);

impl SettingValue for Repository {
    const FORM: &'static str = "a repository without tag and digest";

    fn parse(text: &str) -> Option<Self> {
        let reference: ImageReference = text.parse().ok()?;
        (reference.tag().is_none() && reference.digest().is_none()).then_some(Self(reference))
    }

    fn show(&self) -> String {
        repository_key(&self.0)
    }
}
