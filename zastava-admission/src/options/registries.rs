//! `zastava.webhook.registries`: which registries are asked for the digest of a tag, and how.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use zastava_core::config::Section;
use zastava_core::image::ImageReference;

/// The webhook asks within a review, which API servers wait 30 s for at most.
const TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// `zastava.webhook.registries`
///
/// Only registries that are named here are asked: the author of an object chooses the host in a reference, and must not
/// choose where the webhook connects to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RegistryOptions {
    /// Registries by host and port, as references name them.
    pub hosts: BTreeMap<String, RegistryHost>,
    /// Where other registries' images are, by host or the beginning of a repository.
    pub mirrors: BTreeMap<String, MirrorOptions>,
    /// A `config.json` of Docker with credentials. It is read again when a registry asks for them.
    pub docker_config_path: Option<PathBuf>,
    /// PEM file of the authorities that registries are checked against. `None`: the system's.
    pub ca_bundle_path: Option<PathBuf>,
    /// The HTTP proxy on the way to registries: `http://host:port`.
    pub proxy: Option<http::Uri>,
    /// Hosts, domains (`.example`) and networks (`10.0.0.0/8`) that are reached without the proxy.
    pub no_proxy: Vec<String>,
    /// How long one request may take. A review waits at most half of its own time for all of them.
    pub request_timeout: Duration,
}

/// One registry.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RegistryHost {
    /// Whether it is asked by plain `http`.
    pub allow_insecure_http: bool,
    /// PEM file of the authorities that it is checked against, instead of the general one.
    pub ca_bundle_path: Option<PathBuf>,
    /// Another host that may issue its tokens, and gets its credentials.
    pub token_host: Option<String>,
}

/// What a reference stands for whose beginning another name replaces.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MirrorOptions {
    /// Where engines pull from, and the webhook asks: a host and the beginning of a repository.
    pub ask_at: Option<String>,
    /// What Scanner calls it.
    pub known_as: Option<String>,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self {
            hosts: BTreeMap::new(),
            mirrors: BTreeMap::new(),
            docker_config_path: None,
            ca_bundle_path: None,
            proxy: None,
            no_proxy: Vec::new(),
            request_timeout: Duration::from_secs(3),
        }
    }
}

impl RegistryOptions {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let defaults = Self::default();
        let hosts = section.sections("hosts", |host, section| {
            if !is_place(host) || host.contains('/') {
                section.conflict("", "is no host of a registry: one has a dot, a port, or is localhost");
            }
            Some((host.to_owned(), RegistryHost::read(section)))
        });
        let mirrors = section.sections("mirrors", |beginning, section| {
            if !is_place(beginning) {
                section
                    .conflict("", "is no host of a registry with or without the beginning of a repository");
            }
            Some((beginning.to_owned(), MirrorOptions::read(section)))
        });
        let options = Self {
            hosts: hosts.into_iter().collect(),
            mirrors: mirrors.into_iter().collect(),
            docker_config_path: section.optional("dockerConfigPath"),
            ca_bundle_path: section.optional("caBundlePath"),
            proxy: section.optional("proxy"),
            no_proxy: section.list("noProxy", defaults.no_proxy),
            request_timeout: section.checked(
                "requestTimeoutSeconds",
                defaults.request_timeout,
                "more than nothing, 30s at most",
                |timeout| !timeout.is_zero() && *timeout <= TIMEOUT_MAX,
            ),
        };
        if let Some(proxy) = &options.proxy {
            let has_user = proxy.authority().is_some_and(|authority| authority.as_str().contains('@'));
            if proxy.scheme_str() != Some("http") || has_user || proxy.path() != "/" {
                section.conflict("proxy", "is not http://host:port, without a user");
            }
        }
        section.finish();
        options
    }
}

impl RegistryHost {
    fn read(section: &Section<'_>) -> Self {
        let host = Self {
            allow_insecure_http: section.value("allowInsecureHttp", false),
            ca_bundle_path: section.optional("caBundlePath"),
            token_host: section.optional("tokenHost"),
        };
        let is_authority = |host: &String| {
            host.parse::<http::uri::Authority>().is_ok_and(|authority| !authority.as_str().contains('@'))
        };
        if host.token_host.as_ref().is_some_and(|host| !is_authority(host)) {
            section.conflict("tokenHost", "is no host with an optional port");
        }
        section.finish();
        host
    }
}

impl MirrorOptions {
    fn read(section: &Section<'_>) -> Self {
        let mirror = Self { ask_at: section.optional("askAt"), known_as: section.optional("knownAs") };
        for (key, place) in [("askAt", &mirror.ask_at), ("knownAs", &mirror.known_as)] {
            if place.as_ref().is_some_and(|place| !is_place(place)) {
                section.conflict(
                    key,
                    "is no host of a registry with or without the beginning of a repository; it has no scheme",
                );
            }
        }
        if mirror.ask_at.is_none() && mirror.known_as.is_none() {
            section.conflict("", "says neither askAt nor knownAs");
        }
        section.finish();
        mirror
    }
}

/// Whether the text can be the beginning of a complete reference: a host, and perhaps parts of a repository.
fn is_place(text: &str) -> bool {
    let image = format!("{text}/a/b").parse::<ImageReference>();
    let host = text.split('/').next().unwrap_or_default();
    image.is_ok_and(|image| image.registry() == host)
}
