//! The types that a setting can have.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::secret::Secret;

/// Longer than any setting needs, and short enough to be added to any clock's time.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// A type that a setting can have: it is read from text and shown as text.
pub trait SettingValue: Sized {
    /// Describes valid text in faults: "expected {FORM}".
    const FORM: &'static str;
    /// Whether the value must never be shown.
    const SECRET: bool = false;

    /// Reads the text. `None` when it does not have the form.
    fn parse(text: &str) -> Option<Self>;

    /// The text from which `parse` makes this value.
    fn show(&self) -> String;
}

impl SettingValue for String {
    const FORM: &'static str = "one line of text that is not empty";

    fn parse(text: &str) -> Option<Self> {
        let trimmed = text.trim();
        (!trimmed.is_empty() && !trimmed.contains(char::is_control)).then(|| trimmed.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl SettingValue for Secret {
    const FORM: &'static str = "text that is not empty";
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        (!text.trim().is_empty()).then(|| Self::new(text.trim().to_owned()))
    }

    fn show(&self) -> String {
        "…".to_owned()
    }
}

impl SettingValue for bool {
    const FORM: &'static str = "true or false";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! whole_number {
    ($($number:ty),*) => {$(
        impl SettingValue for $number {
            const FORM: &'static str = "a whole number without leading zeros";

            fn parse(text: &str) -> Option<Self> {
                // YAML 1.1, which Helm reads, takes `010` for eight.
                is_decimal(text).then(|| text.parse().ok())?
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
whole_number!(u16, u32, u64, usize);

impl SettingValue for PathBuf {
    const FORM: &'static str = "an absolute path in one line";

    fn parse(text: &str) -> Option<Self> {
        // A block of YAML ends with a line feed, which a path may hold and none is meant to.
        let is_line = !text.contains(char::is_control);
        Some(Self::from(text)).filter(|path| path.is_absolute() && is_line)
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl SettingValue for SocketAddr {
    const FORM: &'static str = "an address and port, such as 0.0.0.0:8443";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl SettingValue for Timestamp {
    const FORM: &'static str = "an RFC 3339 date and time, such as 2026-01-31T12:00:00Z";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl SettingValue for http::Uri {
    const FORM: &'static str = "an absolute http or https URL without query or fragment";

    fn parse(text: &str) -> Option<Self> {
        let uri: Self = text.parse().ok()?;
        let host = uri.host().filter(|host| !host.is_empty() && !host.starts_with('.'))?;
        // `Uri::port` is `None` for a port that is not a number, so the text is checked.
        let port = uri.authority()?.as_str().strip_prefix(host)?;
        let has_port = || {
            let digits =
                port.strip_prefix(':').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
            digits.and_then(|digits| digits.parse().ok()).is_some_and(|port: u16| port > 0)
        };
        let is_absolute = matches!(uri.scheme_str(), Some("http" | "https"));
        let is_place = is_absolute && (port.is_empty() || has_port());
        (is_place && uri.query().is_none() && !text.contains(['#', '@'])).then_some(uri)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl SettingValue for Duration {
    const FORM: &'static str =
        "a time such as 500ms, 2s, 5m or 24h, a year at most; a bare number is seconds";

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split_unit(text)?;
        let seconds = |factor: u64| number.checked_mul(factor).map(Self::from_secs);
        let duration = match unit {
            "ms" => Some(Self::from_millis(number)),
            "" | "s" => seconds(1),
            "m" => seconds(60),
            "h" => seconds(3600),
            _ => None,
        };
        duration.filter(|duration| *duration <= DURATION_MAX)
    }

    fn show(&self) -> String {
        match self.subsec_millis() {
            0 => format!("{}s", self.as_secs()),
            _ => format!("{}ms", self.as_millis()),
        }
    }
}

/// A number of bytes, such as `64MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// That many mebibytes.
    #[must_use]
    pub const fn mebibytes(count: u64) -> Self {
        Self(count * 1024 * 1024)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes > 0 && bytes % (1 << 20) == 0 => write!(f, "{}MiB", bytes >> 20),
            bytes if bytes > 0 && bytes % (1 << 10) == 0 => write!(f, "{}KiB", bytes >> 10),
            bytes => write!(f, "{bytes}"),
        }
    }
}

impl SettingValue for ByteSize {
    const FORM: &'static str = "a size such as 512KiB or 64MiB; a bare number is bytes";

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split_unit(text)?;
        let factor: u64 = match unit {
            "" | "B" => 1,
            "KB" => 1000,
            "MB" => 1_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        number.checked_mul(factor).map(Self)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = is_decimal(&text[..digits]).then(|| text[..digits].parse().ok())??;
    Some((number, text[digits..].trim_start()))
}

/// Digits without a sign and without leading zeros.
fn is_decimal(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'))
}
