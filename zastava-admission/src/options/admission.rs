//! `zastava.webhook.admission`: how reviews are decided.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use zastava_core::clock::Timestamp;
use zastava_core::config::{ByteSize, Section};

use super::namespace::NamespaceOptions;
use crate::judgement::{Enforcement, FailureMode};

/// `zastava.webhook.admission`
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AdmissionOptions {
    /// What a denial does. The setting `enforce: false` means [`Enforcement::Warn`].
    pub enforcement: Enforcement,
    /// Namespaces where a denial does something else.
    pub namespaces: Vec<NamespaceOptions>,
    /// Namespaces that fail open.
    pub fail_open_namespaces: Vec<FailOpen>,
    /// Namespaces that fail closed, whatever the default is.
    pub fail_closed_namespaces: Vec<String>,
    /// Whether the namespaces in neither list fail open.
    pub fail_open_by_default: bool,
    /// Whether a namespace that fails open does so for an image on which an answer has no verdict, too. If not,
    /// only the policy source's silence counts.
    pub fail_open_on_errors: bool,
    /// Whether a tag without a digest is looked up: in its registry, if that is one to be asked, otherwise by Scanner. If not, the
    /// tag has no verdict.
    pub resolve_tags: bool,
    /// Texts that stand in a template for an image that something else fills in before the Pod is made. They warn in a
    /// template, and are denied in a Pod.
    pub template_placeholders: Vec<String>,
    /// The longest that a verdict is remembered.
    pub cache_ttl: Duration,
    /// The most verdicts that are remembered.
    pub cache_entries_max: usize,
    /// The memory for all of them together, in bytes, by estimate.
    pub cache_bytes_max: usize,
    /// A file of verdicts with which the cache begins, for [`Reviewer::warm`](crate::Reviewer::warm).
    pub cache_seed_path: Option<PathBuf>,
    /// Calls of the policy source at once. Reviews that would need a further one are decided without it.
    pub max_in_flight: usize,
}

impl Default for AdmissionOptions {
    fn default() -> Self {
        Self {
            enforcement: Enforcement::Enforce,
            namespaces: Vec::new(),
            fail_open_namespaces: Vec::new(),
            fail_closed_namespaces: Vec::new(),
            fail_open_by_default: false,
            fail_open_on_errors: false,
            resolve_tags: true,
            // Istio's gateways.
            template_placeholders: vec!["auto".to_owned()],
            cache_ttl: Duration::from_secs(300),
            cache_entries_max: 10_000,
            cache_bytes_max: 32 << 20,
            cache_seed_path: None,
            max_in_flight: 256,
        }
    }
}

impl AdmissionOptions {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let defaults = Self::default();
        let options = Self {
            enforcement: match section.value("enforce", true) {
                true => Enforcement::Enforce,
                false => Enforcement::Warn,
            },
            namespaces: section.sections("namespaces", NamespaceOptions::read),
            fail_open_namespaces: section.items("failOpenNamespaces", FailOpen::read),
            fail_closed_namespaces: section.list("failClosedNamespaces", defaults.fail_closed_namespaces),
            fail_open_by_default: section.value("failOpenByDefault", defaults.fail_open_by_default),
            fail_open_on_errors: section.value("failOpenOnErrors", defaults.fail_open_on_errors),
            resolve_tags: section.value("resolveTags", defaults.resolve_tags),
            template_placeholders: section.list("templatePlaceholders", defaults.template_placeholders),
            cache_ttl: section.value("cacheTtlSeconds", defaults.cache_ttl),
            cache_entries_max: section.checked(
                "cacheMaxEntries",
                defaults.cache_entries_max,
                "a number from 1 to 1000000",
                |number| (1..=1_000_000).contains(number),
            ),
            cache_bytes_max: cache_bytes_max(section, defaults.cache_bytes_max),
            cache_seed_path: section.optional("cacheSeedPath"),
            max_in_flight: section.checked(
                "maxInFlight",
                defaults.max_in_flight,
                "a number from 1 to 65536",
                |number| (1..=65536).contains(number),
            ),
        };
        options.check_names(section);
        options.check_once(section);
        options.note_ends(section, Timestamp::now());
        for name in &options.fail_closed_namespaces {
            if options.fail_open_namespaces.iter().any(|open| open.name == *name) {
                section.conflict("failClosedNamespaces", format!("{name} is in failOpenNamespaces too"));
            }
        }
        section.finish();
        options
    }

    fn check_names(&self, section: &Section<'_>) {
        let exceptions = self.namespaces.iter().map(|one| ("namespaces", &one.name));
        let open = self.fail_open_namespaces.iter().map(|open| ("failOpenNamespaces", &open.name));
        let closed = self.fail_closed_namespaces.iter().map(|name| ("failClosedNamespaces", name));
        for (key, name) in exceptions.chain(open).chain(closed).filter(|(_, name)| !is_namespace(name)) {
            section.conflict(key, format!("{name:?} is no name of a namespace"));
        }
    }

    /// Of two entries for a namespace the one that lasts longer would count, which neither of them says.
    fn check_once(&self, section: &Section<'_>) {
        let open = self.fail_open_namespaces.iter().map(|open| ("failOpenNamespaces", &open.name));
        let closed = self.fail_closed_namespaces.iter().map(|name| ("failClosedNamespaces", name));
        let mut seen = HashSet::new();
        for (key, name) in open.chain(closed).filter(|entry| !seen.insert(*entry)) {
            section.conflict(key, format!("{name} is in the list twice"));
        }
    }

    /// Says which entries have ended. That is no fault: each of them ends one day, and the webhook must be
    /// able to start then.
    fn note_ends(&self, section: &Section<'_>, now: Timestamp) {
        let exceptions = self.namespaces.iter().map(|one| ("namespaces", &one.name, one.until));
        let open = self.fail_open_namespaces.iter();
        let open = open.map(|open| ("failOpenNamespaces", &open.name, open.until));
        for (key, name, until) in exceptions.chain(open) {
            if let Some(until) = until.filter(|until| *until <= now) {
                section.note(key, format!("the entry for {name} ended at {until} and has no effect"));
            }
        }
    }

    /// What holds for the namespace at `now` instead of the general enforcement.
    pub(crate) fn exception(&self, namespace: &str, now: Timestamp) -> Option<&NamespaceOptions> {
        self.namespaces.iter().find(|one| one.name == namespace && one.is_in_effect(now))
    }

    /// The namespace's failure mode at `now`. A namespace that is in neither list follows the default;
    /// one that is in both fails closed.
    #[must_use]
    pub fn failure_mode(&self, namespace: &str, now: Timestamp) -> FailureMode {
        let closed = self.fail_closed_namespaces.iter().any(|name| name == namespace);
        let listed_open = || {
            let mut open = self.fail_open_namespaces.iter();
            open.any(|open| open.name == namespace && open.until.is_none_or(|until| now < until))
        };
        if !closed && (self.fail_open_by_default || listed_open()) {
            FailureMode::Open
        } else {
            FailureMode::Closed
        }
    }
}

fn cache_bytes_max(section: &Section<'_>, default: usize) -> usize {
    let range = ByteSize(1 << 10)..=ByteSize::mebibytes(1024);
    let size =
        section.checked("cacheMaxBytes", ByteSize(default as u64), "a size from 1KiB to 1GiB", |size| {
            range.contains(size)
        });
    usize::try_from(size.0).unwrap_or(default)
}

/// Whether it is a label of RFC 1123, as the API server requires.
fn is_namespace(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(is_inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// A namespace that fails open.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the two keys that the setting has")]
pub struct FailOpen {
    /// The namespace.
    pub name: String,
    /// When it fails closed again; never if `None`.
    pub until: Option<Timestamp>,
}

impl FailOpen {
    fn read(item: Result<&str, Section<'_>>) -> Option<Self> {
        match item {
            Ok(name) => Some(Self { name: name.to_owned(), until: None }),
            Err(section) => {
                let name = section.required("name");
                let until = section.optional("until");
                section.finish();
                Some(Self { name: name?, until })
            }
        }
    }
}
