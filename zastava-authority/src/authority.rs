//! Tokens from Authority: requested once, shared, refreshed before they end, dropped on command.

mod backoff;
mod discovery;
mod endpoint;
mod fallback;
mod keeper;
mod slot;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::watch;
use zastava_core::clock::{Clock, SystemClock, Timestamp};
use zastava_core::http_service::HttpService;
use zastava_core::options::AuthorityOptions;
use zastava_core::secret::Secret;
use zastava_core::telemetry::{Gauge, TOKEN_EXPIRY, Telemetry, scope};

use self::endpoint::Endpoint;
use self::fallback::Fallback;
use self::keeper::Keeper;
use self::slot::{Serve, Slot};
use crate::cache_dir::{self, TokenCache};
use crate::dpop::DpopKey;
use crate::encoding::random_fraction;
use crate::error::Error;
use crate::token::{OpTok, TokenSource};

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

#[derive(Debug)]
pub(crate) struct Shared {
    slots: Mutex<HashMap<String, Arc<watch::Sender<Slot>>>>,
    endpoint: Endpoint,
    fallback: Option<Fallback>,
    cache: Option<TokenCache>,
    refresh_skew: Duration,
    generation: AtomicU64,
    clock: Arc<dyn Clock>,
    expiry: Gauge,
}

impl Authority {
    /// A source that sends through `http`, which shows the client certificate if one is required,
    /// and binds tokens to `key`.
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
        Self::with_clock(options, http, key, telemetry, Arc::new(SystemClock))
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
        if !options.require_mutual_tls {
            tracing::warn!(scope = scope::TOKEN_ISSUE, "Mutual TLS requirement disabled");
        }
        let fallback = options.static_token.clone();
        let shared = Shared {
            slots: Mutex::default(),
            cache: open_cache(options, key.thumbprint()),
            endpoint: Endpoint::new(options, http, key, Arc::clone(&clock), telemetry),
            fallback: fallback.map(|token| Fallback::new(token, &options.audience, clock.now(), telemetry)),
            refresh_skew: options.refresh_skew,
            generation: AtomicU64::new(1),
            clock,
            expiry: telemetry.gauge(TOKEN_EXPIRY),
        };
        Self(Arc::new(Handle { shared: Arc::new(shared), alive: watch::Sender::new(()) }))
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
        let now = self.0.shared.clock.now();
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
        let slot = Arc::new(watch::Sender::new(Slot::new(audience)));
        slots.insert(audience.to_owned(), Arc::clone(&slot));
        let keeper =
            Keeper { shared: Arc::clone(shared), audience: audience.to_owned(), slot: Arc::clone(&slot) };
        tokio::spawn(keeper.run(alive.subscribe()));
        Ok(slot)
    }
}

#[async_trait]
impl TokenSource for Authority {
    /// # Panics
    /// Outside of a tokio runtime.
    async fn token(&self, audience: &str) -> Result<Arc<OpTok>, Error> {
        let shared = &self.0.shared;
        let slot = self.slot(audience)?;
        let mut changes = slot.subscribe();
        loop {
            let served = changes.borrow_and_update().serve(shared.clock.now());
            match served {
                Serve::Use(token) => return Ok(token),
                Serve::Refuse(error) => return shared.fall_back(audience, &slot, error),
                Serve::Wait => {
                    slot.send_if_modified(|slot| slot.expire(shared.clock.now()));
                    changes.changed().await.map_err(|_| Error::Stopped)?;
                }
            }
        }
    }

    fn reject(&self, token: &OpTok) {
        let shared = &self.0.shared;
        let Some(slot) = shared.slots().get(token.audience()).cloned() else { return };
        let now = shared.clock.now();
        let dropped = slot.send_if_modified(|slot| slot.reject(token.generation(), now, random_fraction()));
        if dropped {
            if let Some(cache) = &shared.cache {
                cache.remove(token.audience());
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
        self.0.shared.invalidate(audience)
    }
}

impl Shared {
    pub(crate) fn invalidate(&self, audience: &str) -> usize {
        let slot = self.slots().get(audience).cloned();
        let mut in_memory = false;
        if let Some(slot) = slot {
            slot.send_modify(|slot| in_memory = slot.invalidate());
        }
        let on_disk = self.cache.as_ref().is_some_and(|cache| cache.remove(audience));
        tracing::info!(
            scope = scope::TOKEN_INVALIDATE,
            audience,
            in_memory,
            on_disk,
            "OpToks were invalidated"
        );
        usize::from(in_memory) + usize::from(on_disk)
    }

    /// The static token instead of `error`, where that is allowed and Authority never answered.
    fn fall_back(
        &self,
        audience: &str,
        slot: &watch::Sender<Slot>,
        error: Error,
    ) -> Result<Arc<OpTok>, Error> {
        match &self.fallback {
            Some(fallback) if !slot.borrow().succeeded => {
                fallback.token(audience, &error, self.clock.now()).ok_or(error)
            }
            _ => Err(error),
        }
    }

    fn op_tok(
        &self,
        audience: &str,
        token: Secret,
        thumbprint: Option<String>,
        expires_at: Timestamp,
    ) -> OpTok {
        let generation = self.generation.fetch_add(1, Ordering::Relaxed);
        OpTok { token, audience: audience.to_owned(), expires_at, thumbprint, generation, is_static: false }
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<watch::Sender<Slot>>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without the directory everything works but restarts cost a request.
fn open_cache(options: &AuthorityOptions, thumbprint: &str) -> Option<TokenCache> {
    if options.dpop_key_path.is_none() || !options.require_dpop {
        return None;
    }
    match cache_dir::prepare(&options.cache_dir) {
        Ok(()) => Some(TokenCache::new(options, thumbprint)),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "OpToks are not cached on disk");
            None
        }
    }
}
