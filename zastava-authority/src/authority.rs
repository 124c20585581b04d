//! Tokens from Authority: requested once, shared, refreshed before they end, dropped on command.

mod answer;
mod audit;
mod backoff;
mod client;
mod discovery;
mod endpoint;
mod fallback;
mod form;
mod keeper;
mod keys;
mod life;
mod shared;
mod slot;

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
use self::keeper::Keeper;
use self::keys::Keys;
pub(crate) use self::shared::Shared;
use self::shared::{open_cache, random_fraction};
use self::slot::{Serve, Slot};
use crate::dpop::DpopKey;
use crate::error::Error;
use crate::moment::{Moment, SystemClocks};
use crate::token::{OpTok, TokenFuture, TokenSource};
use crate::transport::identity::Identity;
use crate::transport::{TransportOptions, https_with};

/// Each audience has a task and a label on metrics.
const AUDIENCES_MAX: usize = 64;

/// The source of tokens from an OAuth 2.0 server, by `client_credentials`.
///
/// The first call for an audience starts a task that requests a token and keeps it fresh until the
/// last clone of this handle is dropped. Whoever calls meanwhile shares the outcome, a failure too.
/// While refreshes fail the old token serves until it ends, and callers after that get the last
/// error at once. Clones share everything.
#[derive(Clone, Debug)]
pub struct Authority(Arc<Handle>);

/// Dropped with the last clone; tasks hold [`Shared`] only, and end when `alive` closes.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    alive: watch::Sender<()>,
}

impl Authority {
    /// A source with the keys, the certificates and the connection that the options name. Connects
    /// lazily: an outage is no error here.
    ///
    /// # Errors
    /// A file that cannot be used; see [`Error::is_configuration`].
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

    /// A source that sends through `http`, which shows the client certificate if one is required,
    /// and binds tokens to `key`; or to what stands in the options' key file, when that changes.
    ///
    /// Tokens are kept in the options' cache directory only when the key comes from a file: a
    /// token whose key ends with the process is of no use to the next.
    #[must_use]
    pub fn new(
        options: &AuthorityOptions,
        http: HttpService,
        key: Arc<DpopKey>,
        telemetry: &Telemetry,
    ) -> Self {
        Self::with_clock(options, http, key, telemetry, Arc::new(SystemClocks))
    }

    /// As [`Authority::new`], with another clock.
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
        let shared = Shared {
            slots: Mutex::default(),
            cache: open_cache(options, identity.is_some()),
            keys: Keys::new(key, options.dpop_key_path.clone(), identity),
            require_dpop: options.require_dpop,
            request_timeout: options.request_timeout,
            endpoint: Endpoint::new(options, http, Arc::clone(&clock), telemetry),
            fallback: fallback
                .map(|token| Fallback::new(token, &options.audience, Moment::now(&*clock), telemetry)),
            refresh_skew: options.refresh_skew,
            generation: AtomicU64::new(1),
            clock,
            expiry: telemetry.gauge(TOKEN_EXPIRY),
        };
        Self(Arc::new(Handle { shared: Arc::new(shared), alive: watch::Sender::new(()) }))
    }

    /// A client for a resource server that shows the same certificate as the one for Authority, and
    /// changes it at the same time (RFC 8705 section 3). The options' own identity does not count.
    ///
    /// # Errors
    /// As [`https`](crate::https).
    pub fn https(&self, options: &TransportOptions) -> Result<HttpService, Error> {
        https_with(options, self.0.shared.keys.identity().cloned())
    }

    /// Looks at the files of key and certificate now, and not within the next second. True when
    /// there is something new: tokens for it are requested then.
    pub fn reload(&self) -> bool {
        self.0.shared.reload()
    }

    /// The key that new tokens are bound to.
    #[must_use]
    pub fn dpop_key(&self) -> Arc<DpopKey> {
        self.0.shared.keys.current().dpop
    }

    /// Starts to keep a token for the audience, before anybody asks for it.
    ///
    /// # Errors
    /// [`Error::TooManyAudiences`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(&self, audience: &str) -> Result<(), Error> {
        self.slot(audience).map(drop)
    }

    /// What is known about each audience's token, without the tokens, for a status page.
    #[must_use]
    pub fn status(&self) -> Value {
        let now = self.0.shared.now();
        let slots = self.0.shared.slots();
        let mut status: Vec<_> = slots.values().map(|slot| slot.borrow().status(now)).collect();
        status.sort_by(|left, right| left["audience"].as_str().cmp(&right["audience"].as_str()));
        status.into()
    }

    /// What other tasks need to drop tokens, and the sign that they should end.
    pub(crate) fn shared(&self) -> (Arc<Shared>, watch::Receiver<()>) {
        (Arc::clone(&self.0.shared), self.0.alive.subscribe())
    }

    /// The audience's slot; its keeper is started at the first call.
    fn slot(&self, audience: &str) -> Result<Arc<watch::Sender<Slot>>, Error> {
        let Handle { shared, alive } = &*self.0;
        let mut slots = shared.slots();
        // A keeper that a former runtime took down with it is replaced.
        if let Some(slot) = slots.get(audience).filter(|slot| !slot.borrow().stopped) {
            return Ok(Arc::clone(slot));
        }
        if slots.len() >= AUDIENCES_MAX && !slots.contains_key(audience) {
            return Err(Error::TooManyAudiences { max: AUDIENCES_MAX });
        }
        let fresh = slots.get(audience).map_or_else(|| Slot::new(audience), |gone| gone.borrow().successor());
        let slot = Arc::new(watch::Sender::new(fresh));
        slots.insert(audience.to_owned(), Arc::clone(&slot));
        let keeper =
            Keeper { shared: Arc::clone(shared), audience: audience.to_owned(), slot: Arc::clone(&slot) };
        tokio::spawn(keeper.run(alive.subscribe()));
        Ok(slot)
    }
}

impl TokenSource for Authority {
    /// # Panics
    /// Outside of a tokio runtime.
    fn token<'a>(&'a self, audience: &'a str) -> TokenFuture<'a> {
        Box::pin(self.wait(audience))
    }

    fn at_hand(&self, audience: &str) -> Option<Arc<OpTok>> {
        let shared = &self.0.shared;
        let slot = Arc::clone(shared.slots().get(audience)?);
        let slot = slot.borrow();
        slot.usable(shared.now()).cloned()
    }

    fn reject(&self, token: &OpTok) {
        let shared = &self.0.shared;
        let Some(slot) = shared.slots().get(token.audience()).cloned() else { return };
        let mut until = None;
        let dropped = slot.send_if_modified(|slot| {
            let dropped = slot.reject(token.generation(), shared.now(), random_fraction());
            until = slot.dropped_at;
            dropped
        });
        if dropped {
            if let Some((cache, until)) = shared.cache.as_ref().zip(until) {
                cache.remove_until(token.audience(), until, shared.clock.now());
            }
            let (audience, generation) = (token.audience(), token.generation());
            tracing::warn!(
                scope = scope::TOKEN_INVALIDATE,
                audience,
                generation,
                "OpTok was refused by its audience"
            );
        }
    }

    /// Counts the token in memory and the one on disk. A new one is requested at once.
    fn invalidate(&self, audience: &str) -> usize {
        let shared = &self.0.shared;
        shared.invalidate(audience, shared.clock.now())
    }
}

impl Authority {
    async fn wait(&self, audience: &str) -> Result<Arc<OpTok>, Error> {
        let shared = &self.0.shared;
        let slot = self.slot(audience)?;
        let mut changes = slot.subscribe();
        loop {
            let served = changes.borrow_and_update().serve(shared.now());
            match served {
                Serve::Use(token) => return Ok(token),
                Serve::Refuse(error) => return shared.fall_back(audience, &slot, error),
                Serve::Wait => {
                    slot.send_if_modified(|slot| slot.expire(shared.now()));
                    changes.changed().await.map_err(|_| Error::Stopped)?;
                }
            }
        }
    }
}
