//! Asks registries for the digests of tags.
//!
//! docs/design/admission.md#how-does-a-tag-get-its-digest

mod authorization;
mod challenge;
mod client;
mod credentials;
mod manifest;
mod shared;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};
use zastava_authority::{ProxyOptions, TransportOptions, https};
use zastava_core::image::{Digest, ImageReference};
use zastava_core::telemetry::{ADMISSION_TAG_RESOLUTIONS, Counter, Telemetry};

use super::mirrors::Mirrors;
use crate::circuit::{Admission, Circuit};
use crate::error::Error;
use crate::options::{RegistryHost, RegistryOptions};
use crate::verdict::{Level, Rule, Verdict};
use client::Registry;
use credentials::Credentials;
pub(crate) use manifest::Manifest;
use shared::{Landing, Shared};

/// Log scope of tags.
const SCOPE: &str = "admission.tags";
/// What becomes of a tag, in the metric.
const RESULTS: [&str; 3] = ["resolved", "refused", "silent"];
/// Requests to one registry at once.
const REQUESTS_MAX: usize = 32;
/// How long a request waits for its turn.
const TURN_MAX: Duration = Duration::from_millis(500);
/// Manifests of all registries whose bodies are in memory at once.
const BODIES_MAX: usize = 2;
/// The specification of registries names 4 MiB as what each must take.
const MANIFEST_BYTES_MAX: usize = 4 << 20;

/// The registries that a reviewer asks for the digests of tags, and the table of mirrors. Cheap to clone.
///
/// The default asks no registry: Scanner is asked about a tag then.
#[derive(Clone, Debug, Default)]
pub struct Registries(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    mirrors: Mirrors,
    hosts: BTreeMap<String, Arc<Host>>,
    tags: Shared<Result<Manifest, Unresolved>>,
    platforms: Shared<Result<Vec<Digest>, Unresolved>>,
    results: Option<Counter>,
}

/// A registry, how many may ask it, and whether it answers.
#[derive(Debug)]
struct Host {
    registry: Registry,
    places: Semaphore,
    circuit: Mutex<Circuit>,
}

/// Why there is no digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unresolved {
    /// The registry does not answer. The author of a reference does not cause that.
    Silent(String),
    /// It answers that it cannot say, perhaps for this repository alone.
    Unable(String),
    /// The registry answers, and not with a digest.
    Refused(String),
}

impl Registries {
    /// Sets up the clients. It connects to no registry yet.
    ///
    /// # Errors
    /// [`Error::Registries`] when a bundle of authorities or the file of credentials cannot be used.
    pub fn connect(options: &RegistryOptions, telemetry: &Telemetry) -> Result<Self, Error> {
        if let Some(path) = &options.docker_config_path {
            Credentials::read(path).map_err(|error| Error::Registries(error.into()))?;
        }
        let mut hosts = BTreeMap::new();
        let bodies = Arc::new(Semaphore::new(BODIES_MAX));
        for (name, host) in &hosts_of(options) {
            let http = https(&transport(options, host)).map_err(|error| Error::Registries(error.into()))?;
            let host = Host {
                registry: Registry::new(
                    name,
                    host,
                    http,
                    Arc::clone(&bodies),
                    options.docker_config_path.clone(),
                ),
                places: Semaphore::new(REQUESTS_MAX),
                circuit: Mutex::default(),
            };
            hosts.insert(host_key(name), Arc::new(host));
        }
        let results = telemetry.counter(ADMISSION_TAG_RESOLUTIONS);
        if !hosts.is_empty() {
            // A rate needs the series before the first tag.
            RESULTS.iter().for_each(|result| results.add(&[result], 0));
        }
        Ok(Self(Arc::new(Inner {
            mirrors: Mirrors::new(options),
            hosts,
            results: Some(results),
            ..Inner::default()
        })))
    }

    pub(crate) fn mirrors(&self) -> &Mirrors {
        &self.0.mirrors
    }

    /// Begins to ask what the tag names, if its registry is one to be asked.
    pub(crate) fn ask(&self, image: &ImageReference) -> Option<Asked<Manifest>> {
        let host = self.0.hosts.get(&host_key(image.registry()))?;
        let (asking, results) = (Arc::clone(host), self.0.results.clone());
        let (repository, tag) = (image.repository().to_owned(), image.tag().unwrap_or("latest").to_owned());
        Some(Asked(self.0.tags.call(image.to_string(), || async move {
            let found = asking.within(asking.registry.manifest(&repository, &tag)).await;
            let [resolved, refused, silent] = RESULTS;
            let result = match &found {
                Ok(_) => resolved,
                Err(Unresolved::Refused(_)) => refused,
                Err(Unresolved::Silent(_) | Unresolved::Unable(_)) => silent,
            };
            if let Some(results) = results {
                results.add(&[result], 1);
            }
            found
        })))
    }

    /// Begins to ask for the images of an index.
    pub(crate) fn ask_platforms(&self, image: &ImageReference, index: Digest) -> Option<Asked<Vec<Digest>>> {
        let asking = Arc::clone(self.0.hosts.get(&host_key(image.registry()))?);
        let repository = image.repository().to_owned();
        Some(Asked(self.0.platforms.call(image.at(index).to_string(), || async move {
            // Before the circuit counts: waiting for other bodies says nothing of this registry.
            let _body = asking.registry.body().await?;
            asking.within(asking.registry.platforms(&repository, index)).await
        })))
    }
}

/// A question to a registry under way.
#[derive(Debug)]
pub(crate) struct Asked<T>(Option<Landing<Result<T, Unresolved>>>);

impl<T: Clone> Asked<T> {
    pub(crate) async fn answer(self, deadline: Instant) -> Result<T, Unresolved> {
        let Some(landing) = self.0 else {
            return Err(Unresolved::crowded());
        };
        let late = || Unresolved::Silent("the registry does not answer in time".to_owned());
        landing.wait(deadline).await.unwrap_or_else(|| Err(late()))
    }
}

impl Host {
    /// Asks when it is the question's turn, and only a registry that answers.
    async fn within<T>(
        &self,
        question: impl Future<Output = Result<T, Unresolved>>,
    ) -> Result<T, Unresolved> {
        let _place = turn(&self.places).await?;
        let Admission::Asked(number) = self.change(Circuit::ask) else {
            let reason = "the registry has not answered for a while and is asked again in a moment";
            return Err(Unresolved::Silent(reason.to_owned()));
        };
        let mut asking = Asking { host: self, number, is_answered: false };
        let answer = question.await;
        asking.is_answered = !matches!(answer, Err(Unresolved::Silent(_)));
        answer
    }

    fn change<T>(&self, change: impl FnOnce(&mut Circuit, Instant) -> T) -> T {
        change(&mut self.circuit.lock().unwrap_or_else(PoisonError::into_inner), Instant::now())
    }
}

/// A question under way. One that is given up was not answered.
struct Asking<'h> {
    host: &'h Host,
    number: u64,
    is_answered: bool,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let (number, is_answered) = (self.number, self.is_answered);
        self.host.change(|circuit, now| circuit.ended(number, is_answered, now));
    }
}

/// Waits for a turn. Whoever may create objects can name any number of tags, so that waiting in vain is no registry's silence.
async fn turn(places: &Semaphore) -> Result<SemaphorePermit<'_>, Unresolved> {
    timeout(TURN_MAX, places.acquire()).await.ok().and_then(Result::ok).ok_or_else(Unresolved::crowded)
}

impl Unresolved {
    fn crowded() -> Self {
        Self::Refused("too many tags are looked up at once".to_owned())
    }

    /// The verdict on a tag without a digest. A registry's silence leaves it to the namespace's failure mode; an answer does
    /// not, since the author of a reference can cause it.
    pub(crate) fn verdict(self) -> Verdict {
        match self {
            Self::Silent(reason) | Self::Unable(reason) => Verdict::unknown(Rule::UnresolvedTag, reason),
            Self::Refused(reason) => {
                Verdict { level: Level::Unjudged, ..Verdict::unknown(Rule::UnresolvedTag, reason) }
            }
        }
    }
}

/// A registry by any spelling of its host. Another one must not lead past the table, to the weaker check.
fn host_key(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    host.strip_suffix(":443").map_or_else(|| host.clone(), str::to_owned)
}

/// The registries that are named, and those where mirrors are.
fn hosts_of(options: &RegistryOptions) -> BTreeMap<String, RegistryHost> {
    let mut hosts = options.hosts.clone();
    for place in options.mirrors.values().filter_map(|mirror| mirror.ask_at.as_deref()) {
        hosts.entry(place.split('/').next().unwrap_or_default().to_owned()).or_default();
    }
    hosts
}

fn transport(options: &RegistryOptions, host: &RegistryHost) -> TransportOptions {
    let proxy = options.proxy.clone();
    TransportOptions {
        ca_bundle_path: host.ca_bundle_path.clone().or_else(|| options.ca_bundle_path.clone()),
        request_timeout: options.request_timeout,
        body_bytes_max: MANIFEST_BYTES_MAX,
        allow_http: host.allow_insecure_http,
        proxy: proxy.map(|address| ProxyOptions { address, except: options.no_proxy.clone() }),
        ..TransportOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_registry_is_known_by_any_spelling_of_its_host() {
        let mut options = RegistryOptions::default();
        for host in ["ghcr.io", "Registry.internal:443", "registry.internal:5000"] {
            options.hosts.insert(host.to_owned(), RegistryHost::default());
        }
        let registries = Registries::connect(&options, &Telemetry::detached()).unwrap();
        for (written, is_known) in [
            ("ghcr.io/a/b:1", true),
            ("GHCR.io/a/b:1", true),
            ("ghcr.io:443/a/b:1", true),
            ("registry.internal/a/b:1", true),
            ("REGISTRY.internal:5000/a/b:1", true),
            ("ghcr.io:80/a/b:1", false),
            ("registry.internal:4430/a/b:1", false),
        ] {
            let image: ImageReference = written.parse().unwrap();
            assert_eq!(registries.ask(&image).is_some(), is_known, "{written}");
            assert_eq!(registries.ask_platforms(&image, Digest::of(b"")).is_some(), is_known, "{written}");
        }
    }
}
