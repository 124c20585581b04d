//! Who is at the other end, as far as fairness is concerned.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// An IPv4 address, or the first 64 bits of an IPv6 address: a host has as many of the others as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Peer(IpAddr);

impl Peer {
    pub(super) fn of(address: SocketAddr) -> Self {
        Self(match address.ip().to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
            address => address,
        })
    }

    /// For logs.
    pub(super) fn address(self) -> IpAddr {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_one_peer() {
        for (one, other, same) in [
            ("10.0.0.1:1", "10.0.0.1:2", true),
            ("10.0.0.1:1", "10.0.0.2:1", false),
            ("[::ffff:10.0.0.1]:1", "10.0.0.1:2", true),
            ("[fd00::1]:1", "[fd00::ffff:1]:1", true),
            ("[fd00::1]:1", "[fd00:0:0:1::1]:1", false),
        ] {
            let peer = |text: &str| Peer::of(text.parse().unwrap());
            assert_eq!(peer(one) == peer(other), same, "{one} {other}");
        }
    }
}
