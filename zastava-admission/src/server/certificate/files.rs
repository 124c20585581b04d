//! The serving pair from files: a mounted Secret, or what the kubelet projects.
//!
//! A Secret volume never writes a file in place. It swaps the symlink `..data` to a new directory and
//! removes the old one. A watch on the files would see the first swap and miss the next, so the files
//! are read through whatever the path means at that time.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::acceptance::Expectation;
use super::pair::{PemFile, PemPair};
use crate::error::Error;
use crate::options::TlsOptions;

/// No chain or key is larger.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where the serving pair comes from. The CSR mode will be a second source that yields the same
/// [`PemPair`] (docs/design/admission.md#where-does-the-csr-mode-go).
#[derive(Debug)]
pub(super) struct PairFiles {
    options: TlsOptions,
}

impl PairFiles {
    pub(super) fn new(options: TlsOptions) -> Self {
        Self { options }
    }

    /// How often the files are worth a look.
    pub(super) fn poll_interval(&self) -> Duration {
        self.options.poll_interval
    }

    /// What the files hold now.
    pub(super) fn read(&self) -> Result<PemPair, Error> {
        Ok(PemPair {
            chain: read_file(&self.options.certificate_path)?,
            key: read_file(&self.options.private_key_path)?,
            client_ca: self.options.client_ca_bundle_path.as_deref().map(read_file).transpose()?,
        })
    }

    /// What API servers check the chain against.
    pub(super) fn expectation(&self) -> Result<Expectation<'_>, Error> {
        let ca_bundle = Some(read_file(self.ca_bundle_path())?);
        Ok(Expectation { ca_bundle, ..self.names_alone() })
    }

    /// The same without the bundle.
    pub(super) fn names_alone(&self) -> Expectation<'_> {
        Expectation { names: &self.options.server_names, ca_bundle: None }
    }

    pub(super) fn server_names(&self) -> &[String] {
        &self.options.server_names
    }

    pub(super) fn ca_bundle_path(&self) -> &PathBuf {
        &self.options.ca_bundle_path
    }
}

fn read_file(path: &Path) -> Result<PemFile, Error> {
    // The capacity fits every usual file. A key that outgrew its buffer would leave a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(16 << 10));
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    read.map_err(|source| Error::CertificateFile { path: path.to_owned(), source })?;
    Ok(PemFile { path: path.to_owned(), bytes })
}
