//! The authorities that servers are checked against.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::RootCertStore;

use super::read_certificates;
use super::watch::FileWatch;
use crate::error::Error;

/// A bundle is followed: a change counts for the next request. The system's authorities are read once.
/// A file that cannot be used changes nothing.
pub(super) struct Roots {
    bundle: Option<PathBuf>,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    watch: FileWatch,
    newest: Arc<RootCertStore>,
}

impl Roots {
    pub(super) fn load(bundle: Option<PathBuf>) -> Result<Self, Error> {
        let mut watch = FileWatch::new(bundle.clone());
        watch.look();
        let newest = Arc::new(match &bundle {
            Some(path) => read(path)?,
            None => system()?,
        });
        Ok(Self { bundle, loaded: Mutex::new(Loaded { watch, newest }) })
    }

    /// The newest authorities: the same pointer as long as nothing changed.
    pub(super) fn current(&self) -> Arc<RootCertStore> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &self.bundle
            && loaded.watch.is_due()
            && loaded.watch.look()
        {
            loaded.reload(path);
        }
        Arc::clone(&loaded.newest)
    }
}

impl Loaded {
    fn reload(&mut self, path: &Path) {
        let found = read(path);
        self.watch.outcome(found.is_ok());
        match found {
            Ok(roots) if roots.roots == self.newest.roots => {}
            Ok(roots) => {
                tracing::info!(
                    path = %path.display(),
                    authorities = roots.len(),
                    "bundle of certificate authorities was reloaded"
                );
                self.newest = Arc::new(roots);
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "bundle of certificate authorities changed but cannot be used; the former one stays"
            ),
        }
    }
}

fn read(path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        roots.add(certificate).map_err(|error| Error::certificate(path, error))?;
    }
    Ok(roots)
}

fn system() -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    // Systems have a few certificates that cannot be parsed. They are left out.
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 { Err(Error::NoRoots) } else { Ok(roots) }
}
