//! `zastava.observer.posture`: whether events say how images are signed.

use std::time::Duration;

use zastava_core::config::Section;

/// Whether events say how images are signed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PostureOptions {
    /// Whether Scanner is asked.
    pub is_enabled: bool,
    /// How long an answer that is over serves while Scanner cannot be asked.
    pub fallback_ttl: Duration,
}

impl PostureOptions {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let options = Self {
            is_enabled: section.value("enabled", false),
            fallback_ttl: section.value("fallbackTtlSeconds", Duration::from_secs(300)),
        };
        section.finish();
        options
    }
}
