//! Starts the parts of the engine in order, and drains them in the opposite one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_rt::{Arbiter, ArbiterHandle};
use arc_swap::ArcSwap;
use tocsin_config::{Config, ProviderLimits};
use tocsin_model::{DurationMs, ProviderName, TransactionId};
use tocsin_storage::{MetaKey, Store, StoreError};
use tokio::sync::{oneshot, watch};

use crate::arbiter::{self, Diary};
use crate::callback::{self, CallbackParts, Callbacks, Poster, RenderView};
use crate::clock::Clock;
use crate::code::CodeKeys;
use crate::device::{ReplayLimits, ReplayMemory, ServerKeys, SignaturePool, WrongCodes};
use crate::handle::{Core, DerivedCodes, Handle, NotedRefusals};
use crate::health::Ticks;
use crate::limits::{AUDIT_CUT_INTERVAL, CLOCK_FOLLOW_INTERVAL, DRAIN_POLL};
use crate::message::Origins;
use crate::metrics::Metrics;
use crate::protocol::{ProviderAddress, ProviderTable};
use crate::provider::{
    Driver, Drivers, LocalDriver, ProviderParts, ProviderSetupError, callback_route, start_provider,
};
use crate::registry::{Admission, EnrollmentWaiters, Registry, list_open, look_at_phones, recover};
use crate::surroundings::Surroundings;
use crate::transaction::PushIds;
use crate::transport::{Proxies, TlsSetupError};

/// What an engine is made of.
pub struct EngineParts {
    /// The configuration.
    pub config: Arc<Config>,
    /// The storage, open.
    pub store: Arc<dyn Store>,
    /// The clock.
    pub clock: Clock,
    /// The metrics, which the storage may observe with already.
    pub metrics: Arc<Metrics>,
    /// The keys that challenges are signed with.
    pub server_keys: ServerKeys,
    /// The code keys.
    pub code_keys: CodeKeys,
    /// The issuer of the device protocol.
    pub issuer: String,
    /// The network of each configured provider.
    pub drivers: Drivers,
    /// Who tells where calls come from.
    pub origins: Origins,
    /// The proxies on the way out; the drivers were built with the same.
    pub proxies: Proxies,
    /// Writes the view that callbacks with `body = "full"` carry.
    pub render_view: RenderView,
}

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineStartError {
    /// The storage failed.
    #[error("the storage cannot be read: {0}")]
    Store(#[from] StoreError),
    /// The database belongs to another issuer; enrolled phones would refuse this one.
    #[error("this database belongs to the issuer {kept}; the device door's public_url must not change")]
    OtherIssuer {
        /// The one that phones know.
        kept: String,
    },
    /// The authorities that callbacks trust cannot be read.
    #[error("callbacks: {0}")]
    CallbackTls(#[from] TlsSetupError),
    /// The proxy that callbacks go through cannot be set up.
    #[error(transparent)]
    CallbackProxy(#[from] ProviderSetupError),
    /// Open transactions could not be given their actors.
    #[error("open transactions could not be revived; start the server again, and report what it has logged")]
    Recovery,
    /// The random number generator failed.
    #[error("the random number generator failed")]
    Random,
    /// A thread could not be started.
    #[error("a thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// A running engine.
pub struct Engine {
    handle: Handle,
    arbiters: Vec<Arbiter>,
    drain: watch::Sender<bool>,
    grace: Duration,
    /// How the recovery ends, until somebody was told.
    recovery: Option<oneshot::Receiver<Result<(), EngineStartError>>>,
}

/// How a drain went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every held call returned within the grace period.
    Complete,
    /// Some were still waiting when it ended.
    GraceEnded {
        /// How many.
        waiting: usize,
    },
}

impl Engine {
    /// Starts an engine: keys and names from the storage, actor threads, providers. What was left open is at work again
    /// from then on, and gets its actors behind that: [`Engine::recovered`]. Must be called inside an actix system.
    pub async fn start(parts: EngineParts) -> Result<Self, EngineStartError> {
        keep_issuer(&*parts.store, &parts.issuer).await?;
        let derivation_key = keep_derivation_key(&*parts.store).await?;
        let (arbiters, diaries): (Vec<Arbiter>, Vec<Diary>) =
            (0..parts.config.engine.arbiters.max(1)).map(arbiter::start).unzip();
        let threads: Vec<ArbiterHandle> = arbiters.iter().map(Arbiter::handle).collect();
        let surroundings = Arc::new(Surroundings::new(
            Arc::clone(&parts.store),
            parts.clock.clone(),
            Arc::clone(&parts.config),
            PushIds::new(&derivation_key),
            parts.code_keys.clone(),
            Arc::clone(&parts.metrics),
            threads.len(),
        ));
        let admission = Admission::new(&parts.config.engine);
        let registry = Arc::new(Registry::new(threads.clone(), admission, Arc::clone(&surroundings)));
        registry.keep_alarms();
        let starter = Starter::new(&parts, &registry, &threads);
        surroundings.set_providers(starter.start_all(&parts));
        let (drain, draining) = watch::channel(false);
        let callbacks = start_callbacks(&parts, &surroundings, &threads, &draining)?;
        surroundings.set_origins(parts.origins);
        let open = list_open(&registry, &*parts.store).await?;
        let recovery = revive(open, &registry, &surroundings, (&threads[0], &draining));
        let core = Core {
            registry,
            issuer: parts.issuer,
            server_keys: parts.server_keys,
            signatures: SignaturePool::start(
                parts.config.engine.signature_threads,
                parts.config.engine.signature_queue_max,
            )?,
            replay: ReplayMemory::new(parts.config.device_clock_skew, ReplayLimits::default()),
            codes: DerivedCodes::new(&derivation_key),
            wrong_codes: WrongCodes::default(),
            noted_refusals: NotedRefusals::default(),
            enrollment_waiters: EnrollmentWaiters::new(&parts.config.engine),
            draining,
            ticks: Ticks::start(&threads),
            diaries,
            drivers: ArcSwap::from_pointee(parts.drivers),
            callbacks,
            starter,
            reloading: tokio::sync::Mutex::new(()),
            surroundings,
        };
        let handle = Handle(Arc::new(core));
        threads[0].spawn(keep_house(handle.clone()));
        let grace = parts.config.engine.drain_grace.to_std();
        Ok(Self { handle, arbiters, drain, grace, recovery: Some(recovery) })
    }

    /// Comes back when all that was open at the start has its actor again. After an error some have none; what it says is
    /// said once.
    pub async fn recovered(&mut self) -> Result<(), EngineStartError> {
        match self.recovery.as_mut() {
            None => Ok(()),
            Some(recovery) => {
                let recovered = recovery.await;
                self.recovery = None;
                recovered.unwrap_or(Err(EngineStartError::Recovery))
            }
        }
    }

    /// The door into this engine.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Takes no new work, lets held calls return and callbacks in flight end, and stops. What is open stays in
    /// the storage and lives again at the next start.
    pub async fn drain(self) -> Drained {
        let drained = self.settle().await;
        self.stop();
        drained
    }

    /// The same without the stop, for doors that still write replies on the engine's threads.
    pub async fn settle(&self) -> Drained {
        self.drain.send_replace(true);
        let waiters = &self.handle.0.surroundings.waiters;
        waiters.release_all();
        let deadline = tokio::time::Instant::now() + self.grace;
        // A callback's try that is cut is made again after the next start.
        let callbacks = &self.handle.0.callbacks;
        while (waiters.count() > 0 || callbacks.in_flight() > 0) && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(DRAIN_POLL).await;
        }
        match waiters.count() {
            0 => Drained::Complete,
            waiting => Drained::GraceEnded { waiting },
        }
    }

    /// Stops the threads, with all that lives on them.
    pub fn stop(self) {
        for driver in self.handle.0.drivers.load().values() {
            driver.close();
        }
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
    }
}

/// Gives those that were open their actors again, and looks at their phones on this thread behind that, unless a drain
/// begins first. Answers how it ends.
fn revive(
    open: Vec<TransactionId>,
    registry: &Arc<Registry>,
    surroundings: &Arc<Surroundings>,
    (thread, draining): (&ArbiterHandle, &watch::Receiver<bool>),
) -> oneshot::Receiver<Result<(), EngineStartError>> {
    let (ended, recovery) = oneshot::channel();
    let (registry, surroundings) = (Arc::clone(registry), Arc::clone(surroundings));
    let (thread, mut draining) = (thread.clone(), draining.clone());
    actix_rt::spawn(async move {
        let recovered = tokio::select! {
            biased;
            _ = draining.wait_for(|is_draining| *is_draining) => return,
            recovered = recover(&registry, &surroundings, open) => recovered,
        };
        let recovered = recovered.map(|recovered| {
            tracing::info!(transactions = recovered.transactions, "open transactions live again");
            thread.spawn(look_at_phones(registry, surroundings, recovered.asked));
        });
        // Whoever has let the engine go does not ask.
        let _ = ended.send(recovered);
    });
    recovery
}

/// They are on the last thread, the provider with the first name on the first.
fn start_callbacks(
    parts: &EngineParts,
    surroundings: &Arc<Surroundings>,
    threads: &[ArbiterHandle],
    draining: &watch::Receiver<bool>,
) -> Result<Callbacks, EngineStartError> {
    let config = Arc::clone(surroundings);
    let poster = Poster::new(parts.config.callbacks.ca_file.as_deref())?;
    poster.go_by(callback_route(&parts.config, &parts.proxies)?);
    let callback_parts = CallbackParts {
        store: Arc::clone(&parts.store),
        clock: parts.clock.clone(),
        metrics: Arc::clone(&parts.metrics),
        config: Arc::new(move || config.config()),
        poster,
        render: Arc::clone(&parts.render_view),
        draining: draining.clone(),
    };
    let callbacks = callback::start(callback_parts, &threads[threads.len() - 1]);
    surroundings.set_callbacks(callbacks.owed.clone());
    Ok(callbacks)
}

/// Starts providers, each with its driver; kept so that a reload can start more.
pub(crate) struct Starter {
    clock: Clock,
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    registry: Arc<Registry>,
    threads: Vec<ArbiterHandle>,
    /// Providers started so far: they go to the threads in turn.
    started: AtomicUsize,
}

impl Starter {
    fn new(parts: &EngineParts, registry: &Arc<Registry>, threads: &[ArbiterHandle]) -> Self {
        Self {
            clock: parts.clock.clone(),
            store: Arc::clone(&parts.store),
            metrics: Arc::clone(&parts.metrics),
            registry: Arc::clone(registry),
            threads: threads.to_vec(),
            started: AtomicUsize::new(0),
        }
    }

    /// The engine's threads.
    pub(crate) fn threads(&self) -> &[ArbiterHandle] {
        &self.threads
    }

    /// Starts one provider.
    pub(crate) fn start(
        &self,
        name: &ProviderName,
        driver: Arc<dyn Driver>,
        limits: ProviderLimits,
    ) -> ProviderAddress {
        let parts = ProviderParts {
            name: name.clone(),
            clock: self.clock.clone(),
            store: Arc::clone(&self.store),
            metrics: Arc::clone(&self.metrics),
            transactions: Arc::new(Arc::clone(&self.registry)),
        };
        let turn = self.started.fetch_add(1, Ordering::Relaxed);
        start_provider(parts, driver, limits, &self.threads[turn % self.threads.len()])
    }

    /// All providers of the start and the local one.
    fn start_all(&self, parts: &EngineParts) -> ProviderTable {
        let configured =
            |(name, driver)| Some((name, driver, parts.config.providers.get::<ProviderName>(name)?));
        let started = parts.drivers.iter().filter_map(configured).map(|(name, driver, configured)| {
            (name.clone(), self.start(name, Arc::clone(driver), configured.limits.clone()))
        });
        let providers: HashMap<ProviderName, ProviderAddress> = started.collect();
        let local = "local".parse().ok();
        let local = local.map(|name| self.start(&name, Arc::new(LocalDriver), local_limits(&parts.config)));
        ProviderTable { providers, retiring: HashMap::new(), local }
    }
}

/// The local provider supervises whatever is open, so its bound is that of the whole.
fn local_limits(config: &Config) -> ProviderLimits {
    ProviderLimits {
        connections_max: 0,
        queue_max: 1_024,
        supervised_max: config.engine.transactions_in_flight_max,
        request_timeout: DurationMs::from_seconds(1),
        connect_timeout: DurationMs::from_seconds(1),
        ping_interval: DurationMs::from_seconds(60),
        ping_timeout: DurationMs::from_seconds(10),
        breaker_faults: u32::MAX,
        breaker_open: DurationMs::from_seconds(1),
    }
}

async fn keep_issuer(store: &dyn Store, issuer: &str) -> Result<(), EngineStartError> {
    let kept = store.keep_meta(MetaKey::Issuer, issuer.as_bytes().to_vec()).await?;
    if kept == issuer.as_bytes() {
        return Ok(());
    }
    Err(EngineStartError::OtherIssuer { kept: String::from_utf8_lossy(&kept).into_owned() })
}

/// The key that push ids and activation codes are derived with, made at the first start.
async fn keep_derivation_key(store: &dyn Store) -> Result<Vec<u8>, EngineStartError> {
    let mut fresh = vec![0; 32];
    aws_lc_rs::rand::fill(&mut fresh).map_err(|_| EngineStartError::Random)?;
    Ok(store.keep_meta(MetaKey::DerivationKey, fresh).await?)
}

/// Small work of every few seconds, until the thread stops.
async fn keep_house(handle: Handle) {
    let mut audit_cut_at = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(CLOCK_FOLLOW_INTERVAL).await;
        if let Some(step) = handle.clock().follow_system() {
            handle.metrics().clock_steps.inc();
            tracing::warn!(step_ms = step.get(), "the system clock was stepped; its time was taken over");
        }
        handle.0.replay.forget_expired(handle.clock().now());
        handle.0.wrong_codes.forget_expired(handle.clock().now());
        // On a task of its own: where the system has no thread left, the look is lost and the house is kept on.
        if let Err(error) = tokio::task::spawn_local(follow_server_keys(handle.clone())).await {
            tracing::error!(%error, "whether the server keys were changed could not be looked at");
        }
        if audit_cut_at.elapsed() >= AUDIT_CUT_INTERVAL {
            audit_cut_at = tokio::time::Instant::now();
            handle.cut_audit().await;
        }
    }
}

/// Takes over keys that `tocsin keys` has changed. The file is looked at on a thread that may block.
async fn follow_server_keys(handle: Handle) {
    let core = handle.0;
    match tokio::task::spawn_blocking(move || core.server_keys.follow_file()).await {
        Ok(Ok(true)) => tracing::info!("the server keys were changed and are taken over"),
        Ok(Ok(false)) => {}
        Ok(Err(error)) => tracing::error!(%error, "the server keys are kept as they were"),
        Err(error) => tracing::error!(%error, "the server keys are kept as they were"),
    }
}
