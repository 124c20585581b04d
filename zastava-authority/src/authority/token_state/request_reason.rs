//! Why a token is requested.

/// Why a token is requested. The log line of an issued token names it as its `cause`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authority) enum RequestReason {
    /// There was no token.
    Cold,
    /// The former token ends soon, or ended.
    Refresh,
    /// An operator dropped the former token.
    Invalidated,
    /// The resource server refused the former token.
    Rejected,
    /// The former token is bound to a key or a certificate that was replaced.
    Key,
}

impl RequestReason {
    pub(in crate::authority) fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Refresh => "refresh",
            Self::Invalidated => "invalidated",
            Self::Rejected => "rejected",
            Self::Key => "key",
        }
    }
}
