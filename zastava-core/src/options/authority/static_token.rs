//! The static token of the bootstrap.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::Section;
use crate::secret::Secret;

/// A token from a file or the configuration, for bootstrap only. Every use is audited.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StaticTokenOptions {
    /// The token, or the file that contains it.
    pub source: StaticTokenSource,
    /// The maximum age. A file's age counts from its modification, a configured value's from program start.
    pub age_max: Duration,
}

/// The origin of the static token.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the two settings that the contract names")]
pub enum StaticTokenSource {
    /// In a file.
    Path(PathBuf),
    /// In the configuration.
    Value(Secret),
}

impl StaticTokenOptions {
    /// A token that serves until it is as old as `age_max`. The setting's default is a day.
    #[must_use]
    pub fn new(source: StaticTokenSource, age_max: Duration) -> Self {
        Self { source, age_max }
    }

    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        let allowed = section.value("allowStaticTokenFallback", false);
        let path = section.optional("staticTokenPath").map(StaticTokenSource::Path);
        let value = section.optional("staticTokenValue").map(StaticTokenSource::Value);
        let age_max = section.value("staticTokenMaxAge", Duration::from_secs(24 * 3600));
        if allowed && path.is_none() && value.is_none() {
            section.conflict("allowStaticTokenFallback", "needs staticTokenPath or staticTokenValue");
        }
        if path.is_some() && value.is_some() {
            section.conflict("staticTokenValue", "staticTokenPath is set too; one of them must go");
        }
        let source = path.or(value)?;
        allowed.then_some(Self { source, age_max })
    }
}
