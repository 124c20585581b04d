//! The files that every image has in addition to its program.

use std::path::{Path, PathBuf};

use zastava_oci::Entry;

use super::program::UNPRIVILEGED;
use crate::{Error, files};

/// Where an image has its CA bundle, and where Debian has the machine's.
pub(super) const CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Which public certificate authorities the images trust when the configuration names no bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CaBundle {
    /// The building machine's, from Debian's `ca-certificates`; none if that is not installed.
    #[default]
    Machine,
    /// None: a configuration must name a bundle, or a mount must provide it.
    None,
    /// Those of a PEM file.
    File(PathBuf),
}

/// The entries in any order. `notes` receives what is missing or left out.
pub(super) fn entries(bundle: &CaBundle, notes: &mut Vec<String>) -> Result<Vec<Entry>, Error> {
    let id = UNPRIVILEGED;
    let mut entries = vec![
        Entry::file(
            "/etc/passwd",
            0o644,
            format!("root:x:0:0:root:/:/sbin/nologin\nzastava:x:{id}:{id}:Zastava:/:/sbin/nologin\n"),
        ),
        Entry::file("/etc/group", 0o644, format!("root:x:0:\nzastava:x:{id}:\n")),
        // Without it glibc has another order of lookups. A Pod's hostAliases are in /etc/hosts.
        Entry::file("/etc/nsswitch.conf", 0o644, "hosts: files dns\n"),
    ];
    let path = match bundle {
        CaBundle::File(path) => path,
        CaBundle::Machine if Path::new(CA_BUNDLE).exists() => Path::new(CA_BUNDLE),
        CaBundle::Machine | CaBundle::None => {
            notes.push(format!(
                "the images trust no public certificate authority: mount {CA_BUNDLE}, or set caBundlePath"
            ));
            return Ok(entries);
        }
    };
    entries.push(Entry::file(CA_BUNDLE, 0o644, files::read(path)?));
    Ok(entries)
}
