//! What tokens are bound to: a key and a certificate, which follow their files.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::dpop::DpopKey;
use crate::transport::identity::Identity;
use crate::transport::watch::FileWatch;

#[derive(Debug)]
pub(crate) struct Keys {
    path: Option<PathBuf>,
    state: Mutex<State>,
    identity: Option<Arc<Identity>>,
}

#[derive(Debug)]
struct State {
    dpop: Arc<DpopKey>,
    /// Of the key's file. Its first look finds a change, so that one since the program read it is seen.
    watch: FileWatch,
    /// The certificate at the last look.
    certificate: Option<Arc<str>>,
}

/// A token request's own.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) dpop: Arc<DpopKey>,
    pub(super) certificate: Option<Arc<str>>,
}

impl Keys {
    pub(super) fn new(dpop: Arc<DpopKey>, path: Option<PathBuf>, identity: Option<Arc<Identity>>) -> Self {
        let certificate = identity.as_ref().map(|identity| Arc::clone(&identity.current().thumbprint));
        let watch = FileWatch::new(path.clone());
        Self { path, state: Mutex::new(State { dpop, watch, certificate }), identity }
    }

    pub(super) fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    /// What a request that starts now is bound to.
    pub(super) fn current(&self) -> Bound {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Bound { dpop: Arc::clone(&state.dpop), certificate: state.certificate.clone() }
    }

    /// Looks at the files; true when there is a new key or certificate. A file that cannot be used
    /// leaves all as it was.
    pub(super) fn reload(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let key = self.reload_key(&mut state);
        let certificate = self.identity.as_ref().map(|identity| {
            identity.reload();
            Arc::clone(&identity.current().thumbprint)
        });
        let changed = certificate != state.certificate;
        state.certificate = certificate;
        key || changed
    }

    fn reload_key(&self, state: &mut State) -> bool {
        let Some(path) = &self.path else { return false };
        if !state.watch.look() {
            return false;
        }
        let found = state.dpop.successor(path);
        state.watch.outcome(found.is_ok());
        match found {
            Ok(key) if key.thumbprint() == state.dpop.thumbprint() => false,
            Ok(key) => {
                tracing::info!(path = %path.display(), jkt = key.thumbprint(), "DPoP key was reloaded");
                state.dpop = Arc::new(key);
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
