//! `zastava.webhook`: how the webhook serves, what it asks, and what it does when nobody answers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use zastava_core::clock::Timestamp;
use zastava_core::config::{ByteSize, Section};
use zastava_core::options::{BackendOptions, Component, HealthOptions, RuntimeOptions};

/// Where probes and metrics are answered when nobody says.
const HEALTH_PORT: u16 = 9102;
/// No orchestrator waits longer for a pod to end.
const DRAIN_MAX: Duration = Duration::from_secs(300);

/// Everything that `zastava-webhook` reads.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WebhookOptions {
    /// `zastava.runtime`
    pub runtime: RuntimeOptions,
    /// Where reviews are taken.
    pub listen: SocketAddr,
    /// The serving certificate.
    pub tls: TlsOptions,
    /// How reviews are decided.
    pub admission: AdmissionOptions,
    /// Where Scanner is.
    pub backend: BackendOptions,
    /// Where probes and metrics are answered.
    pub health: HealthOptions,
    /// What one caller may take.
    pub limits: LimitOptions,
    /// After SIGTERM connections are still taken for this long: API servers learn late that an
    /// endpoint is going.
    pub drain: Duration,
}

impl WebhookOptions {
    /// Reads the section `zastava`; what belongs to the observer is left alone.
    #[must_use]
    pub fn read(root: &Section<'_>) -> Option<Self> {
        root.skip("observer");
        let runtime = RuntimeOptions::read(&root.section("runtime"));
        let webhook = root.section("webhook");
        let listen = webhook.value("listen", SocketAddr::from(([0, 0, 0, 0], 8443)));
        let tls = TlsOptions::read(&webhook.section("tls"));
        let admission = AdmissionOptions::read(&webhook.section("admission"));
        let backend = BackendOptions::read(&webhook.section("backend"));
        let health = HealthOptions::read(&webhook.section("health"), HEALTH_PORT);
        let limits = LimitOptions::read(&webhook.section("limits"));
        let drain = webhook
            .checked("drainSeconds", Duration::from_secs(5), "5m at most", |drain| *drain <= DRAIN_MAX);
        webhook.finish();
        root.finish();
        let mut runtime = runtime?;
        runtime.component = Component::Webhook;
        Some(Self { runtime, listen, tls, admission, backend: backend?, health, limits, drain })
    }
}

/// `zastava.webhook.tls`
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TlsOptions {
    /// PEM file of the certificate chain, leaf first.
    pub certificate_path: PathBuf,
    /// PEM file of the leaf's key.
    pub private_key_path: PathBuf,
    /// PEM file of the authorities that API servers check the chain against. If it is there, a
    /// chain that does not hold against it is logged.
    pub ca_bundle_path: PathBuf,
    /// How often the files are looked at.
    pub poll_interval: Duration,
}

impl Default for TlsOptions {
    fn default() -> Self {
        let file = |name| PathBuf::from("/var/run/secrets/zastava-webhook").join(name);
        Self {
            certificate_path: file("tls.crt"),
            private_key_path: file("tls.key"),
            ca_bundle_path: file("ca.crt"),
            poll_interval: Duration::from_secs(3),
        }
    }
}

impl TlsOptions {
    fn read(section: &Section<'_>) -> Self {
        let defaults = Self::default();
        let mode = section.checked("mode", "Secret".to_owned(), "Secret or CsrBundle", |mode| {
            matches!(mode.as_str(), "Secret" | "CsrBundle")
        });
        if mode == "CsrBundle" {
            section.conflict("mode", "CsrBundle is not built yet; mount the certificate and use Secret");
        }
        let options = Self {
            certificate_path: section.value("certificatePath", defaults.certificate_path),
            private_key_path: section.value("privateKeyPath", defaults.private_key_path),
            ca_bundle_path: section.value("caBundlePath", defaults.ca_bundle_path),
            poll_interval: section.checked(
                "pollInterval",
                defaults.poll_interval,
                "more than nothing",
                |interval| !interval.is_zero(),
            ),
        };
        section.finish();
        options
    }
}

/// `zastava.webhook.admission`
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AdmissionOptions {
    /// Denials deny. When false they are told as warnings and the object is allowed.
    pub enforce: bool,
    /// Namespaces that allow what has no verdict.
    pub fail_open_namespaces: Vec<FailOpen>,
    /// Namespaces that deny what has no verdict, whatever the default is.
    pub fail_closed_namespaces: Vec<String>,
    /// What the namespaces in neither list do.
    pub fail_open_by_default: bool,
    /// Whether Scanner is asked about a tag without a digest. When not, it has no verdict.
    pub resolve_tags: bool,
    /// No verdict is kept for longer.
    pub cache_ttl: Duration,
    /// Reviews that may wait for Scanner at once; more are decided without it.
    pub max_in_flight: usize,
}

impl Default for AdmissionOptions {
    fn default() -> Self {
        Self {
            enforce: true,
            fail_open_namespaces: Vec::new(),
            fail_closed_namespaces: Vec::new(),
            fail_open_by_default: false,
            resolve_tags: true,
            cache_ttl: Duration::from_secs(300),
            max_in_flight: 256,
        }
    }
}

impl AdmissionOptions {
    fn read(section: &Section<'_>) -> Self {
        let defaults = Self::default();
        let options = Self {
            enforce: section.value("enforce", defaults.enforce),
            fail_open_namespaces: section.items("failOpenNamespaces", FailOpen::read),
            fail_closed_namespaces: section.list("failClosedNamespaces", defaults.fail_closed_namespaces),
            fail_open_by_default: section.value("failOpenByDefault", defaults.fail_open_by_default),
            resolve_tags: section.value("resolveTags", defaults.resolve_tags),
            cache_ttl: section.value("cacheTtlSeconds", defaults.cache_ttl),
            max_in_flight: section.checked(
                "maxInFlight",
                defaults.max_in_flight,
                "a number from 1 to 65536",
                |number| (1..=65536).contains(number),
            ),
        };
        if section.is_set("cacheSeedPath") {
            section.conflict("cacheSeedPath", "is not built yet; the cache fills from Scanner alone");
        }
        let open = options.fail_open_namespaces.iter().map(|open| ("failOpenNamespaces", &open.name));
        let closed = options.fail_closed_namespaces.iter().map(|name| ("failClosedNamespaces", name));
        for (key, name) in open.chain(closed).filter(|(_, name)| !is_namespace(name)) {
            section.conflict(key, format!("{name:?} is no name of a namespace"));
        }
        for name in &options.fail_closed_namespaces {
            if options.fail_open_namespaces.iter().any(|open| open.name == *name) {
                section.conflict("failClosedNamespaces", format!("{name} is in failOpenNamespaces too"));
            }
        }
        section.finish();
        options
    }

    /// What the namespace does at `now` with an image that has no verdict. A name that is in no
    /// list follows the default; one in both is closed.
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

/// A label of RFC 1123, as the API server has it.
fn is_namespace(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(is_inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// A namespace that allows what has no verdict, for good or for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the two keys that the setting has")]
pub struct FailOpen {
    /// The namespace.
    pub name: String,
    /// When the measure ends by itself.
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

/// What happens to an image that has no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an API server knows no third answer")]
pub enum FailureMode {
    /// It is denied.
    Closed,
    /// It is allowed, with a warning.
    Open,
}

/// `zastava.webhook.limits`
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LimitOptions {
    /// The largest review. Two objects of at most 3 MB and the envelope must fit.
    pub body_bytes_max: usize,
    /// Connections served at once; more wait in the kernel's queue.
    pub connections_max: usize,
}

impl Default for LimitOptions {
    fn default() -> Self {
        Self { body_bytes_max: 8 << 20, connections_max: 512 }
    }
}

impl LimitOptions {
    fn read(section: &Section<'_>) -> Self {
        let defaults = Self::default();
        let body = section.checked(
            "maxBodyBytes",
            ByteSize(defaults.body_bytes_max as u64),
            "a size from 1KiB to 64MiB",
            |size| (ByteSize(1 << 10)..=ByteSize::mebibytes(64)).contains(size),
        );
        let connections_max = section.checked(
            "maxConnections",
            defaults.connections_max,
            "a number from 1 to 65536",
            |number| (1..=65536).contains(number),
        );
        section.finish();
        Self { body_bytes_max: usize::try_from(body.0).unwrap_or(defaults.body_bytes_max), connections_max }
    }
}
