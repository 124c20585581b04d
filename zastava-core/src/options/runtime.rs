//! `zastava.runtime`: the tenant, the installation, tokens, logs and metrics.

use std::collections::BTreeMap;
use std::fmt;

use super::authority::AuthorityOptions;
use crate::config::Section;
use crate::telemetry;

/// The options that the programs and all embedders share.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RuntimeOptions {
    /// The tenant that owns the installation. Every event names it.
    pub tenant: String,
    /// The environment, such as `production`.
    pub environment: String,
    /// The cluster or site.
    pub deployment: String,
    /// The program or service.
    pub component: Component,
    /// How tokens are requested.
    pub authority: AuthorityOptions,
    /// How log lines are written.
    pub logging: LoggingOptions,
    /// Names and labels of metrics.
    pub metrics: MetricsOptions,
}

impl RuntimeOptions {
    /// Reads the section `zastava.runtime`.
    #[must_use]
    pub fn read(section: &Section<'_>) -> Option<Self> {
        let tenant = section.required("tenant");
        let environment = section.value("environment", "default".to_owned());
        let deployment = section.value("deployment", "default".to_owned());
        let authority = AuthorityOptions::read(&section.section("authority"));
        let logging = LoggingOptions::read(&section.section("logging"));
        let metrics = MetricsOptions::read(&section.section("metrics"));
        // The programs replace this value. The key is for embedders.
        let component = section.optional("component").map_or(Component::Embedded, Component::from_name);
        section.finish();
        Some(Self {
            tenant: tenant?,
            environment,
            deployment,
            component,
            authority: authority?,
            logging,
            metrics,
        })
    }
}

/// The program or service that emits events, logs and metrics.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Component {
    /// `zastava-observer`
    Observer,
    /// `zastava-webhook`
    Webhook,
    /// A service that embeds the crates, with its name.
    Named(String),
    /// A service that embeds the crates, without a name.
    Embedded,
}

impl Component {
    fn from_name(name: String) -> Self {
        match name.as_str() {
            "observer" => Self::Observer,
            "webhook" => Self::Webhook,
            _ => Self::Named(name),
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Observer => "observer",
            Self::Webhook => "webhook",
            Self::Named(name) => name,
            Self::Embedded => "embedded",
        })
    }
}

/// `zastava.runtime.logging`
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LoggingOptions {
    /// Whether a log line lists the spans around it.
    pub include_scopes: bool,
    /// The scope of log lines that have no scope of their own.
    pub static_scope: Option<String>,
}

impl LoggingOptions {
    fn read(section: &Section<'_>) -> Self {
        let include_scopes = section.value("includeScopes", true);
        let static_scope = section.optional("staticScope");
        section.finish();
        Self { include_scopes, static_scope }
    }
}

/// `zastava.runtime.metrics`
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MetricsOptions {
    /// The name of the instrumentation, a label of `zastava_build_info`.
    pub meter_name: String,
    /// Labels that are added to every series.
    pub common_tags: BTreeMap<String, String>,
}

impl MetricsOptions {
    fn read(section: &Section<'_>) -> Self {
        let meter_name = section.value("meterName", "StellaOps.Zastava".to_owned());
        let common_tags = section.words("commonTags");
        for tag in common_tags.keys() {
            if !is_label_name(tag) {
                section.conflict("commonTags", format!("{tag:?} cannot be a Prometheus label name"));
            } else if let Some(metric) = telemetry::metric_with_label(tag) {
                let why = "a series that has a label twice makes Prometheus drop the whole scrape";
                section.conflict("commonTags", format!("{tag:?} is a label of {metric} itself; {why}"));
            }
        }
        section.finish();
        Self { meter_name, common_tags }
    }
}

/// Whether Prometheus accepts the label name. Names that start with two underscores are reserved.
fn is_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with("__")
}
