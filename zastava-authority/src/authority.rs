//! Tokens from Authority: requested once, shared, refreshed before they end, dropped on command.

mod answer;
mod audit;
mod backoff;
mod claims;
mod client;
mod discovery;
mod endpoint;
mod fallback;
mod form;
mod keys;
mod lifetime;
mod manager;
mod refresher;
mod token_state;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::sync::watch;
use zastava_core::clock::Clock;
use zastava_core::http_service::HttpService;
use zastava_core::options::AuthorityOptions;
use zastava_core::telemetry::{TOKEN_EXPIRY, Telemetry, scope};

use self::endpoint::Endpoint;
use self::fallback::Fallback;
use self::keys::Keys;
pub(crate) use self::manager::TokenManager;
use self::manager::{open_cache, random_fraction};
use self::refresher::Refresher;
use self::token_state::{Serve, TokenState};
use crate::client_identity::ClientIdentity;
use crate::clock_reading::{ClockReading, SystemClocks};
use crate::control;
use crate::dpop::DpopKey;
use crate::error::Error;
use crate::token::{OpTok, TokenFuture, TokenSource};
use crate::transport::identity::Identity;
use crate::transport::{TransportOptions, https_with};

/// Each audience has a task and a label on metrics.
const AUDIENCES_MAX: usize = 64;

/// A source of tokens from an OAuth 2.0 server, by `client_credentials`.
///
/// The first call for an audience starts a task that requests a token and keeps it fresh until the
/// last clone of this handle is dropped. All callers that wait share the outcome of the request,
/// a failure too. While refreshes fail, the old token serves until it ends. After that, callers get
/// the last error at once. Clones share everything.
#[derive(Clone, Debug)]
pub struct Authority(Arc<Handle>);

/// Dropped with the last clone. Tasks hold only the [`TokenManager`], and end when `alive` closes.
#[derive(Debug)]
struct Handle {
    manager: Arc<TokenManager>,
    alive: watch::Sender<()>,
}

impl Authority {
    /// A source with the keys, the certificates and the connection that the options name. It connects
    /// lazily, so an outage is not an error here.
    ///
    /// # Errors
    /// A file cannot be used; see [`Error::is_configuration`].
    pub fn connect(options: &AuthorityOptions, telemetry: &Telemetry) -> Result<Self, Error> {
        let key = Arc::new(match &options.dpop_key_path {
            Some(path) => DpopKey::from_file(path)?,
            None => DpopKey::generate(),
        });
        let files = options.client_certificate_path.clone().zip(options.client_key_path.clone());
        let identity = files.map(|(chain, key)| Identity::load(chain, key).map(Arc::new)).transpose()?;
        let transport = TransportOptions {
            ca_bundle_path: options.ca_bundle_path.clone(),
            request_timeout: options.request_timeout,
            allow_http: options.allow_insecure_http,
            ..TransportOptions::default()
        };
        let http = https_with(&transport, identity.clone())?;
        Ok(Self::build(options, http, key, identity, telemetry, Arc::new(SystemClocks)))
    }

    /// A source that sends through `http` and binds tokens to `key`. `http` presents the client
    /// certificate if one is required. When the options' key file changes, new tokens are bound to
    /// the key in it.
    ///
    /// Tokens are kept in the options' cache directory only if the key comes from a file: the next
    /// process could not use a token whose key ended with this one.
    #[must_use]
    pub fn new(
        options: &AuthorityOptions,
        http: HttpService,
        key: Arc<DpopKey>,
        telemetry: &Telemetry,
    ) -> Self {
        Self::with_clock(options, http, key, telemetry, Arc::new(SystemClocks))
    }

    /// Like [`Authority::new`], with another clock.
    #[must_use]
    pub fn with_clock(
        options: &AuthorityOptions,
        http: HttpService,
        key: Arc<DpopKey>,
        telemetry: &Telemetry,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self::build(options, http, key, None, telemetry, clock)
    }

    fn build(
        options: &AuthorityOptions,
        http: HttpService,
        key: Arc<DpopKey>,
        identity: Option<Arc<Identity>>,
        telemetry: &Telemetry,
        clock: Arc<dyn Clock>,
    ) -> Self {
        if !options.require_mutual_tls {
            tracing::warn!(scope = scope::TOKEN_ISSUE, "Mutual TLS requirement disabled");
        }
        let fallback = options.static_token.clone();
        let manager = TokenManager {
            states: Mutex::default(),
            cache: open_cache(options, identity.is_some()),
            cache_dir: options.cache_dir.clone(),
            keys: Keys::new(key, options.dpop_key_path.clone(), identity),
            require_dpop: options.require_dpop,
            request_timeout: options.request_timeout,
            endpoint: Endpoint::new(options, http, Arc::clone(&clock), telemetry),
            fallback: fallback
                .map(|token| Fallback::new(token, &options.audience, ClockReading::now(&*clock), telemetry)),
            refresh_skew: options.refresh_skew,
            generation: AtomicU64::new(1),
            clock,
            expiry: telemetry.gauge(TOKEN_EXPIRY),
        };
        Self(Arc::new(Handle { manager: Arc::new(manager), alive: watch::Sender::new(()) }))
    }

    /// A client for a resource server that presents the same certificate as the client for Authority,
    /// and renews it at the same time (RFC 8705 section 3). The options' own identity is ignored.
    ///
    /// # Errors
    /// Those of [`https`](crate::https).
    pub fn https(&self, options: &TransportOptions) -> Result<HttpService, Error> {
        https_with(options, self.0.manager.keys.identity().cloned())
    }

    /// The client certificate for a client of the caller's own: that with the thumbprint, or else the newest.
    /// It follows its files. `None` if none is configured, or if that one is no longer known.
    #[must_use]
    pub fn client_identity(&self, thumbprint: Option<&str>) -> Option<ClientIdentity> {
        let identity = self.0.manager.keys.identity()?;
        let certified = thumbprint.map_or_else(|| Some(identity.current()), |known| identity.find(known));
        certified.map(ClientIdentity::new)
    }

    /// Listens for [`invalidate_op_token`](crate::invalidate_op_token) in the options' cache directory, until
    /// the last handle is dropped. `RuntimeCore` does it. Without a socket everything else works.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn listen_for_invalidation(&self) {
        control::listen(self, &self.0.manager.cache_dir);
    }

    /// Checks the files of key and certificate now instead of within the next second. Returns true if
    /// there is a new key or certificate; tokens for it are then requested.
    pub fn reload(&self) -> bool {
        self.0.manager.reload()
    }

    /// The key that new tokens are bound to.
    #[must_use]
    pub fn dpop_key(&self) -> Arc<DpopKey> {
        self.0.manager.keys.current().dpop
    }

    /// Starts to keep a token for the audience, before the first call for it.
    ///
    /// # Errors
    /// [`Error::TooManyAudiences`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(&self, audience: &str) -> Result<(), Error> {
        self.state(audience).map(drop)
    }

    /// What is known about each audience's token, without the tokens, for a status page.
    #[must_use]
    pub fn status(&self) -> Value {
        let now = self.0.manager.now();
        let states = self.0.manager.states();
        let mut status: Vec<_> = states.values().map(|state| state.borrow().status(now)).collect();
        status.sort_by(|left, right| left["audience"].as_str().cmp(&right["audience"].as_str()));
        status.into()
    }

    /// What other tasks need to drop tokens, and the signal for them to end.
    pub(crate) fn manager(&self) -> (Arc<TokenManager>, watch::Receiver<()>) {
        (Arc::clone(&self.0.manager), self.0.alive.subscribe())
    }

    /// The state of the audience's token. The first call starts its refresher.
    fn state(&self, audience: &str) -> Result<Arc<watch::Sender<TokenState>>, Error> {
        let Handle { manager, alive } = &*self.0;
        let mut states = manager.states();
        // A refresher that ended with a former async runtime is replaced.
        if let Some(state) = states.get(audience).filter(|state| !state.borrow().is_stopped) {
            return Ok(Arc::clone(state));
        }
        if states.len() >= AUDIENCES_MAX && !states.contains_key(audience) {
            return Err(Error::TooManyAudiences { max: AUDIENCES_MAX });
        }
        let former = states.get(audience);
        let fresh = former.map_or_else(|| TokenState::new(audience), |state| state.borrow().successor());
        let state = Arc::new(watch::Sender::new(fresh));
        states.insert(audience.to_owned(), Arc::clone(&state));
        let refresher = Refresher {
            manager: Arc::clone(manager),
            audience: audience.to_owned(),
            state: Arc::clone(&state),
        };
        tokio::spawn(refresher.run(alive.subscribe()));
        Ok(state)
    }
}

impl TokenSource for Authority {
    /// # Panics
    /// Outside of a tokio runtime.
    fn token<'a>(&'a self, audience: &'a str) -> TokenFuture<'a> {
        Box::pin(self.wait(audience))
    }

    fn at_hand(&self, audience: &str) -> Option<Arc<OpTok>> {
        let manager = &self.0.manager;
        let state = Arc::clone(manager.states().get(audience)?);
        let state = state.borrow();
        state.usable(manager.now()).cloned()
    }

    fn reject(&self, token: &OpTok) {
        self.refused(token, None);
    }

    fn reject_with_reason(&self, token: &OpTok, reason: &str) {
        self.refused(token, Some(reason));
    }

    /// Counts the token in memory and the one on disk. A new one is requested at once.
    fn invalidate(&self, audience: &str) -> usize {
        let manager = &self.0.manager;
        manager.invalidate(audience, manager.clock.now())
    }
}

impl Authority {
    fn refused(&self, token: &OpTok, reason: Option<&str>) {
        let manager = &self.0.manager;
        let Some(state) = manager.states().get(token.audience()).cloned() else { return };
        let mut until = None;
        let dropped = state.send_if_modified(|state| {
            let dropped = state.reject(token.generation(), reason, manager.now(), random_fraction());
            until = state.dropped_at;
            dropped
        });
        if dropped {
            if let Some((cache, until)) = manager.cache.as_ref().zip(until) {
                cache.remove_until(token.audience(), until, manager.clock.now());
            }
            let (audience, generation) = (token.audience(), token.generation());
            tracing::warn!(
                scope = scope::TOKEN_INVALIDATE,
                audience,
                generation,
                reason,
                "OpTok was refused by its audience"
            );
        }
    }

    async fn wait(&self, audience: &str) -> Result<Arc<OpTok>, Error> {
        let manager = &self.0.manager;
        let state = self.state(audience)?;
        let mut changes = state.subscribe();
        loop {
            let served = changes.borrow_and_update().serve(manager.now());
            match served {
                Serve::Token(token) => return Ok(token),
                Serve::Refuse(error) => return manager.fall_back(audience, &state, error),
                Serve::Wait => {
                    state.send_if_modified(|state| state.expire(manager.now()));
                    changes.changed().await.map_err(|_| Error::Stopped)?;
                }
            }
        }
    }
}
