//! The section `health` of the observer and the webhook.

use std::net::SocketAddr;

use crate::config::Section;

/// The plain HTTP listener for probes, metrics and status.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HealthOptions {
    /// The address to listen on.
    pub listen: SocketAddr,
}

impl HealthOptions {
    /// Options for a listener at `listen`.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        Self { listen }
    }

    /// Reads a section `health`. The default is all addresses at `port`.
    #[must_use]
    pub fn read(section: &Section<'_>, port: u16) -> Self {
        let listen = section.value("listen", SocketAddr::from(([0, 0, 0, 0], port)));
        section.finish();
        Self { listen }
    }
}
