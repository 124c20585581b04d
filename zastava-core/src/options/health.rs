//! `health` of the observer and the webhook: where probes and metrics are answered.

use std::net::SocketAddr;

use crate::config::Section;

/// The plain HTTP listener for probes, metrics and status.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HealthOptions {
    /// Where it listens.
    pub listen: SocketAddr,
}

impl HealthOptions {
    /// Listens at `listen`.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        Self { listen }
    }

    /// Reads a section `health`; without it all addresses at `port`.
    #[must_use]
    pub fn read(section: &Section<'_>, port: u16) -> Self {
        let listen = section.value("listen", SocketAddr::from(([0, 0, 0, 0], port)));
        section.finish();
        Self { listen }
    }
}
