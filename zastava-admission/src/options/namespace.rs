//! `zastava.webhook.admission.namespaces`: what differs for single namespaces, and until when.

use std::fmt;

use zastava_core::clock::Timestamp;
use zastava_core::config::Section;

use crate::judgement::Enforcement;

/// `zastava.webhook.admission.namespaces.<name>`
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamespaceOptions {
    /// The namespace.
    pub name: String,
    /// What a denial does there. The setting `enforce: false` means [`Enforcement::Warn`].
    pub enforcement: Enforcement,
    /// When the general enforcement holds again; never if `None`.
    pub until: Option<Timestamp>,
    /// Why, in the words of whoever decided it.
    pub reason: Option<String>,
    /// Where it was decided.
    pub ticket: Option<String>,
}

impl NamespaceOptions {
    /// An exception without an end.
    #[must_use]
    pub fn new(name: impl Into<String>, enforcement: Enforcement) -> Self {
        Self { name: name.into(), enforcement, until: None, reason: None, ticket: None }
    }

    /// Reads one entry. An exception that lets through what policy denies must say when it ends.
    pub(super) fn read(name: &str, section: &Section<'_>) -> Option<Self> {
        let enforce: Option<bool> = section.required("enforce");
        let until: Option<Timestamp> = match enforce {
            Some(false) => section.required("until"),
            _ => section.optional("until"),
        };
        let (reason, ticket) = (section.optional("reason"), section.optional("ticket"));
        section.finish();
        let enforcement = if enforce? { Enforcement::Enforce } else { Enforcement::Warn };
        Some(Self { name: name.to_owned(), enforcement, until, reason, ticket })
    }

    pub(crate) fn is_in_effect(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl fmt::Display for NamespaceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "namespace {} is not enforced", self.name)?;
        if let Some(until) = self.until {
            write!(f, " until {until}")?;
        }
        for text in [&self.ticket, &self.reason].into_iter().flatten() {
            write!(f, ", {text}")?;
        }
        Ok(())
    }
}
