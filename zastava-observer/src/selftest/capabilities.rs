//! The capabilities of this process.

use std::io;

/// A capability that the observer needs.
#[derive(Debug)]
pub(super) struct Capability {
    /// The name and the metric's label.
    pub(super) name: &'static str,
    /// Its number in the kernel (capabilities(7)).
    pub(super) bit: u32,
    pub(super) without: &'static str,
}

/// Those of the chart's observer. Kernel files of other users' processes need the first one; files that only their
/// owners may read need the second one too.
pub(super) const CAPABILITIES: [Capability; 2] = [
    Capability {
        name: "SYS_PTRACE",
        bit: 19,
        without: "of processes nothing but names and arguments is read: no executable, no build-id, no libraries",
    },
    Capability {
        name: "DAC_READ_SEARCH",
        bit: 2,
        without: "files that only their owner may read have neither build-id nor hash",
    },
];

/// The effective capabilities, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held(u64);

impl Held {
    /// Of the process itself, which sees its own `/proc` in any pid namespace.
    pub(super) fn of_this_process() -> io::Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        Self::parse(&status).ok_or_else(|| io::Error::other("has no line CapEff"))
    }

    fn parse(status: &str) -> Option<Self> {
        let hex = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(hex.trim(), 16).ok().map(Self)
    }

    pub(super) fn has(self, bit: u32) -> bool {
        self.0 >> bit & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effective_capabilities_are_one_bit_each() {
        let status = "Name:\tx\nCapPrm:\t000001ffffffffff\nCapEff:\t0000000000080000\nCapBnd:\t0\n";
        let held = Held::parse(status).expect("has the line");
        assert!(held.has(19) && !held.has(2));
        assert_eq!(Held::parse("Name:\tx\n"), None);
        assert!(Held::of_this_process().is_ok());
    }
}
