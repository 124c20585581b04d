//! Schema versions: `<schema>@v<major>.<minor>`.

use std::fmt;
use std::str::FromStr;

use crate::text::serde_as_text;

/// A schema's name and version, such as `zastava.runtime.event@v1.0`.
///
/// Versions with the same name and major are compatible; additions raise the minor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SchemaVersion {
    schema: std::borrow::Cow<'static, str>,
    major: u32,
    minor: u32,
}

impl SchemaVersion {
    /// The runtime event that this release writes.
    pub const RUNTIME_EVENT: Self = Self::new("zastava.runtime.event", 1, 0);
    /// The admission decision that this release writes.
    pub const ADMISSION_DECISION: Self = Self::new("zastava.admission.decision", 1, 0);

    /// A version of a schema.
    #[must_use]
    pub const fn new(schema: &'static str, major: u32, minor: u32) -> Self {
        Self { schema: std::borrow::Cow::Borrowed(schema), major, minor }
    }

    /// Whether a reader of this version can read `other`.
    #[must_use]
    pub fn is_compatible(&self, other: &Self) -> bool {
        self.schema == other.schema && self.major == other.major
    }

    /// The highest version that both sides know. Without one, the first of `ours`, which is the sender's default.
    #[must_use]
    pub fn negotiate(ours: &[Self], theirs: &[Self]) -> Option<Self> {
        ours.iter()
            .filter(|version| theirs.contains(version))
            .max_by_key(|version| (version.major, version.minor))
            .or_else(|| ours.first())
            .cloned()
    }
}

impl fmt::Display for SchemaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@v{}.{}", self.schema, self.major, self.minor)
    }
}

/// The text is not `<schema>@v<major>.<minor>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a schema version of the form name@v1.0")]
pub struct SchemaVersionError;

impl FromStr for SchemaVersion {
    type Err = SchemaVersionError;

    fn from_str(text: &str) -> Result<Self, SchemaVersionError> {
        let number = |digits: &str| match digits.bytes().all(|byte| byte.is_ascii_digit()) {
            true => digits.parse().map_err(|_| SchemaVersionError),
            false => Err(SchemaVersionError),
        };
        let (schema, version) = text.split_once("@v").ok_or(SchemaVersionError)?;
        let (major, minor) = version.split_once('.').ok_or(SchemaVersionError)?;
        if schema.is_empty() {
            return Err(SchemaVersionError);
        }
        Ok(Self { schema: schema.to_owned().into(), major: number(major)?, minor: number(minor)? })
    }
}

serde_as_text!(SchemaVersion);
