//! The key and the certificate that tokens are bound to. Both follow their files.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::dpop::DpopKey;
use crate::transport::identity::Identity;
use crate::transport::watch::FileWatch;

#[derive(Debug)]
pub(crate) struct Keys {
    path: Option<PathBuf>,
    current: Mutex<Current>,
    identity: Option<Arc<Identity>>,
}

#[derive(Debug)]
struct Current {
    dpop: Arc<DpopKey>,
    /// Watches the key's file. The first look finds a change, so that a change is seen that came after
    /// the program read the file.
    watch: FileWatch,
    /// The certificate's thumbprint at the last look.
    certificate: Option<Arc<str>>,
}

/// The key and the certificate of one token request.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) dpop: Arc<DpopKey>,
    pub(super) certificate: Option<Arc<str>>,
}

impl Keys {
    pub(super) fn new(dpop: Arc<DpopKey>, path: Option<PathBuf>, identity: Option<Arc<Identity>>) -> Self {
        let certificate = identity.as_ref().map(|identity| Arc::clone(&identity.current().thumbprint));
        let watch = FileWatch::new(path.clone());
        Self { path, current: Mutex::new(Current { dpop, watch, certificate }), identity }
    }

    pub(super) fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    /// What a request that starts now binds its token to.
    pub(super) fn current(&self) -> Bound {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        Bound { dpop: Arc::clone(&current.dpop), certificate: current.certificate.clone() }
    }

    /// Checks the files, and returns whether there is a new key or certificate. A file that cannot be
    /// used changes nothing.
    pub(super) fn reload(&self) -> bool {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let key = self.reload_key(&mut current);
        let certificate = self.identity.as_ref().map(|identity| {
            identity.reload();
            Arc::clone(&identity.current().thumbprint)
        });
        let changed = certificate != current.certificate;
        current.certificate = certificate;
        key || changed
    }

    fn reload_key(&self, current: &mut Current) -> bool {
        let Some(path) = &self.path else { return false };
        if !current.watch.look() {
            return false;
        }
        let found = current.dpop.successor(path);
        current.watch.outcome(found.is_ok());
        match found {
            Ok(key) if key.thumbprint() == current.dpop.thumbprint() => false,
            Ok(key) => {
                tracing::info!(path = %path.display(), jkt = key.thumbprint(), "DPoP key was reloaded");
                current.dpop = Arc::new(key);
                true
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "DPoP key changed but cannot be used; the former one stays");
                false
            }
        }
    }
}
