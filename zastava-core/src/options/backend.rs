//! The section `backend` of the observer and the webhook: how Scanner is reached.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::Section;

/// How Scanner is reached.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BackendOptions {
    /// Scheme, host, port and an optional path prefix.
    pub base_address: http::Uri,
    /// The path for event batches.
    pub events_path: String,
    /// The path for policy requests.
    pub policy_path: String,
    /// The time limit of one request.
    pub request_timeout: Duration,
    /// PEM file of the certificate authorities that are trusted for Scanner. `None`: those for Authority.
    pub ca_bundle_path: Option<PathBuf>,
}

impl BackendOptions {
    /// Scanner at `base_address` with the default paths and time-out.
    #[must_use]
    pub fn new(base_address: http::Uri) -> Self {
        Self {
            base_address,
            events_path: "/api/v1/scanner/runtime/events".to_owned(),
            policy_path: "/api/v1/scanner/policy/runtime".to_owned(),
            request_timeout: Duration::from_secs(5),
            ca_bundle_path: None,
        }
    }

    /// Reads a section `backend`.
    #[must_use]
    pub fn read(section: &Section<'_>) -> Option<Self> {
        let base_address: Option<http::Uri> = section.required("baseAddress");
        let allow_insecure_http = section.value("allowInsecureHttp", false);
        let defaults = Self::new(base_address.clone().unwrap_or_default());
        let rooted = |path: &String| path.starts_with('/') && path.parse::<http::uri::PathAndQuery>().is_ok();
        const ROOTED: &str = "a URL path that starts with /";
        let options = Self {
            base_address: defaults.base_address,
            events_path: section.checked("eventsPath", defaults.events_path, ROOTED, rooted),
            policy_path: section.checked("policyPath", defaults.policy_path, ROOTED, rooted),
            request_timeout: section.checked(
                "requestTimeoutSeconds",
                defaults.request_timeout,
                "more than nothing",
                |timeout| !timeout.is_zero(),
            ),
            ca_bundle_path: section.optional("caBundlePath"),
        };
        if options.base_address.scheme_str() == Some("http") && !allow_insecure_http {
            section.conflict("baseAddress", "must be https; allowInsecureHttp takes http in a lab");
        }
        section.finish();
        base_address.map(|_| options)
    }

    /// The URL for event batches.
    #[must_use]
    pub fn events_url(&self) -> http::Uri {
        self.url(&self.events_path)
    }

    /// The URL for policy requests.
    #[must_use]
    pub fn policy_url(&self) -> http::Uri {
        self.url(&self.policy_path)
    }

    /// `read` checked the path, so the joined URL is valid. An embedder may have set an invalid path: then the
    /// base address is used, and Scanner answers 404.
    fn url(&self, path: &str) -> http::Uri {
        let base = self.base_address.to_string();
        format!("{}{path}", base.trim_end_matches('/')).parse().unwrap_or_else(|_| self.base_address.clone())
    }
}
