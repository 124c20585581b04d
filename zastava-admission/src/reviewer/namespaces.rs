//! The namespaces that the options name: how many reviews each has sent, and what was let through.
//!
//! The webhook asks no API server whether a namespace exists. A name without a review since the start is
//! shown as such: it may be misspelt.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use zastava_core::clock::Timestamp;
use zastava_core::telemetry::{
    ADMISSION_ENFORCED, ADMISSION_LET_THROUGH, ADMISSION_UNENFORCED_UNTIL, Counter, Telemetry,
};

use crate::judgement::{Effect, Enforcement, Judgement};
use crate::options::{AdmissionOptions, NamespaceOptions};

/// Stands for all namespaces without an exception of their own.
const OTHERS: &str = "*";

/// Logs what differs for which namespace, once, when the webhook starts.
pub(crate) fn log_exceptions(options: &AdmissionOptions, now: Timestamp) {
    for one in &options.namespaces {
        let (namespace, enforce) = (&one.name, one.enforcement == Enforcement::Enforce);
        let until = one.until.map(|until| until.to_string());
        let (reason, ticket) = (&one.reason, &one.ticket);
        if one.is_in_effect(now) {
            tracing::warn!(
                namespace,
                enforce,
                until,
                reason,
                ticket,
                "a namespace has an exception from enforcement"
            );
        } else {
            tracing::warn!(
                namespace,
                enforce,
                until,
                reason,
                ticket,
                "an exception from enforcement has ended; remove it"
            );
        }
    }
}

/// Counts by namespace. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Namespaces {
    reviews: Arc<BTreeMap<String, AtomicU64>>,
    let_through: Counter,
}

impl Namespaces {
    pub(super) fn new(options: &AdmissionOptions, telemetry: &Telemetry) -> Self {
        let open = options.fail_open_namespaces.iter().map(|open| &open.name);
        let exceptions = options.namespaces.iter().map(|exception| &exception.name);
        let named = open.chain(&options.fail_closed_namespaces).chain(exceptions);
        let until = telemetry.gauge(ADMISSION_UNENFORCED_UNTIL);
        for exception in options.namespaces.iter().filter(|one| one.enforcement != Enforcement::Enforce) {
            if let Some(end) = exception.until {
                until.set(&[&exception.name], end.unix_seconds() as f64);
            }
        }
        let is_enforced = options.enforcement == Enforcement::Enforce;
        telemetry.gauge(ADMISSION_ENFORCED).set(&[], if is_enforced { 1.0 } else { 0.0 });
        Self {
            reviews: Arc::new(named.map(|name| (name.clone(), AtomicU64::new(0))).collect()),
            let_through: telemetry.counter(ADMISSION_LET_THROUGH),
        }
    }

    pub(super) fn count(&self, namespace: &str, exception: Option<&NamespaceOptions>, judgement: Judgement) {
        if let Some(reviews) = self.reviews.get(namespace) {
            reviews.fetch_add(1, Ordering::Relaxed);
        }
        if matches!(judgement.effect, Effect::WouldDeny { .. }) {
            self.let_through.add(&[exception.map_or(OTHERS, |exception| &exception.name)], 1);
        }
    }

    /// What differs for which namespace, and whether it still does.
    pub(super) fn status(&self, options: &AdmissionOptions, now: Timestamp) -> Value {
        let state = |until: Option<Timestamp>| match until {
            Some(until) if until <= now => "ended",
            _ => "in effect",
        };
        let reviews = |name: &str| self.reviews.get(name).map_or(0, |count| count.load(Ordering::Relaxed));
        let exceptions = options.namespaces.iter().map(|one| {
            json!({"name": one.name, "enforce": one.enforcement == Enforcement::Enforce, "until": one.until,
                "reason": one.reason, "ticket": one.ticket, "state": state(one.until), "reviews": reviews(&one.name)})
        });
        let open = options.fail_open_namespaces.iter().map(|open| {
            json!({"name": open.name, "until": open.until, "state": state(open.until), "reviews": reviews(&open.name)})
        });
        json!({
            "enforce": options.enforcement == Enforcement::Enforce,
            "namespaces": exceptions.collect::<Vec<_>>(),
            "failOpenNamespaces": open.collect::<Vec<_>>(),
        })
    }
}
