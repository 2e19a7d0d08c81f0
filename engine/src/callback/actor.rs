//! The callback actor: reads what is due, makes the tries, and has their ends stored.
//!
//! It keeps nothing that the storage does not have. When it falls, a fresh one reads the outbox again; a try that was
//! cut may be made twice, under the same `webhook-id`.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use actix::prelude::*;
use actix_rt::ArbiterHandle;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use http::HeaderValue;
use tocsin_config::{BasicCredentials, Config};
use tocsin_model::{Callback, CallbackFault, CallbackHost, TransactionId, UnixMs};
use tocsin_storage::{
    CallbackSettled, CallbackVerdict, DueCallbacks, Store, StoreError, StoreErrorKind, callback_host,
};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::allow::{NotAllowed, judge_start};
use super::body::{RenderView, body};
use super::census::{Census, Count};
use super::outbox::{Bounds, Look, Outbox};
use super::post::{Post, Poster};
use super::signatures;
use super::way::Destination;
use crate::clock::Clock;
use crate::limits::{CALLBACK_RESTART_MAX, CALLBACK_RESTART_MIN};
use crate::metrics::Metrics;
use crate::protocol::{CallbackOwed, SayOwed};
use crate::supervise;
use crate::transport::{Backoff, ProxyRoute, random_unit};

/// Words that wait in the mailbox; one that finds no room is made up for by the next walk.
const MAILBOX_MAX: usize = 4_096;
/// All hosts that are owed something are walked at the start, then where one was missed, and now and then in any case:
/// how often it is asked whether one was, how many times until it is done anyway, how many hosts are read at a time,
/// and the pause between two such pages.
const WALK_INTERVAL: Duration = Duration::from_secs(5);
const WALKS_SPARED_MAX: u32 = 12;
const WALK_PAGE: usize = 200;
const WALK_PAGE_PAUSE: Duration = Duration::from_millis(20);
/// Pause between two pages of the census, and between two of its walks.
const CENSUS_PAGE_PAUSE: Duration = Duration::from_millis(100);
const CENSUS_PAUSE: Duration = Duration::from_secs(1);
/// A census takes no more than one part of so many of the time.
const CENSUS_SHARE: u32 = 20;
/// How long after a failed read or write the storage is asked again, and how often a write is.
const STORE_PAUSE: Duration = Duration::from_secs(1);
const SETTLE_TRIES_MAX: u32 = 8;

/// The configuration of the moment.
pub(crate) type ConfigNow = Arc<dyn Fn() -> Arc<Config> + Send + Sync>;

/// What the actor is made of, again after each fall.
pub(crate) struct CallbackParts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) config: ConfigNow,
    pub(crate) poster: Poster,
    pub(crate) render: RenderView,
    pub(crate) draining: watch::Receiver<bool>,
}

/// What outlives a fall.
struct Shared {
    parts: CallbackParts,
    in_flight: AtomicUsize,
    /// A word found no room.
    lost_a_word: AtomicBool,
}

/// The way to the actor.
#[derive(Clone)]
pub(crate) struct Callbacks {
    /// Takes the word that something is owed. One that finds no room is made up for by the outbox.
    pub(crate) owed: SayOwed,
    /// Takes the order to panic.
    #[cfg(feature = "fault-hook")]
    pub(crate) fault: Recipient<crate::protocol::InjectFault>,
    shared: Arc<Shared>,
}

impl Callbacks {
    /// From now on tries go by this route.
    pub(crate) fn go_by(&self, route: Option<ProxyRoute>) {
        self.shared.parts.poster.go_by(route);
    }

    /// Tries that have not ended and been settled.
    pub(crate) fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::Acquire)
    }
}

/// Starts the actor on `arbiter`; it lives as long as the process.
pub(crate) fn start(parts: CallbackParts, arbiter: &ArbiterHandle) -> Callbacks {
    let shared =
        Arc::new(Shared { parts, in_flight: AtomicUsize::new(0), lost_a_word: AtomicBool::new(false) });
    let (sender, receiver) = actix::dev::channel::channel(MAILBOX_MAX);
    let address: Addr<CallbackActor> = Addr::new(sender);
    let actor = CallbackActor::fresh(Arc::clone(&shared));
    let kept = Arc::clone(&shared);
    arbiter.spawn_fn(move || {
        let running = Context::with_receiver(receiver).into_future(actor);
        actix_rt::spawn(supervise::run_restarting(running, move |faults| kept.fell(faults)));
    });
    Callbacks {
        owed: say_owed(address.clone().recipient(), Arc::clone(&shared)),
        #[cfg(feature = "fault-hook")]
        fault: address.recipient(),
        shared,
    }
}

fn say_owed(owed: Recipient<CallbackOwed>, shared: Arc<Shared>) -> SayOwed {
    Arc::new(move |word| {
        if owed.try_send(word).is_err() {
            shared.lost_a_word.store(true, Ordering::Release);
        }
    })
}

struct CallbackActor {
    shared: Arc<Shared>,
    outbox: Outbox,
    walks_spared: u32,
    tries: JoinSet<()>,
    wake: Option<SpawnHandle>,
}

impl CallbackActor {
    fn fresh(shared: Arc<Shared>) -> Self {
        Self { shared, outbox: Outbox::default(), walks_spared: 0, tries: JoinSet::new(), wake: None }
    }

    /// Reads what may be tried now, and sleeps until the next is due. A drain takes nothing more.
    fn pump(&mut self, context: &mut Context<Self>) {
        while self.tries.try_join_next().is_some() {}
        if *self.shared.parts.draining.borrow() {
            return;
        }
        let now = self.shared.parts.clock.now();
        let bounds = self.shared.bounds();
        while let Some(look) = self.outbox.next(now, bounds) {
            self.look(look, now, context);
        }
        if let Some(wake) = self.wake.take() {
            context.cancel_future(wake);
        }
        self.wake = self.outbox.wake_at(now).map(|at| {
            context.run_later(at.since(now).to_std(), |actor, context| {
                actor.wake = None;
                actor.pump(context);
            })
        });
    }

    fn look(&self, look: Look, now: UnixMs, context: &mut Context<Self>) {
        let store = Arc::clone(&self.shared.parts.store);
        let reading = async move { store.due_callbacks(look.host, look.from..=now, look.limit).await };
        context.spawn(actix::fut::wrap_future::<_, Self>(reading).map(move |due, actor, context| {
            actor.read(look.host, due, context);
            actor.pump(context);
        }));
    }

    fn read(
        &mut self,
        host: CallbackHost,
        due: Result<DueCallbacks, StoreError>,
        context: &mut Context<Self>,
    ) {
        let now = self.shared.parts.clock.now();
        match due {
            Ok(due) => {
                let bounds = self.shared.bounds();
                for callback in self.outbox.read(host, due, now, bounds) {
                    self.begin(host, callback, context);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "owed callbacks cannot be read yet");
                self.outbox.unread(host, now.plus(STORE_PAUSE.into()));
            }
        }
    }

    fn begin(&mut self, host: CallbackHost, callback: Callback, context: &mut Context<Self>) {
        let place = Place::take(&self.shared);
        let (shared, actor) = (Arc::clone(&self.shared), context.address());
        self.tries.spawn(async move {
            let id = callback.transaction_id;
            let carried = AssertUnwindSafe(shared.carry(callback)).catch_unwind().await;
            let (is_reached, next_try_at) = carried.unwrap_or_else(|_| shared.try_fell());
            drop(place);
            // Waits for room: a try that was never heard of would keep its host's place.
            let _ = actor.send(Ended { host, id, is_reached, next_try_at }).await;
        });
    }

    /// Walks where there may be a host that was missed.
    fn walk_if_due(&mut self, context: &mut Context<Self>) {
        let lost_a_word = self.shared.lost_a_word.swap(false, Ordering::AcqRel);
        if self.outbox.take_misses() || lost_a_word || self.walks_spared == WALKS_SPARED_MAX {
            self.walks_spared = 0;
            self.walk(None, context);
        } else {
            self.walks_spared += 1;
            context.run_later(WALK_INTERVAL, Self::walk_if_due);
        }
    }

    /// Finds hosts whose word was lost, and at the start all of them.
    fn walk(&self, after: Option<CallbackHost>, context: &mut Context<Self>) {
        let store = Arc::clone(&self.shared.parts.store);
        let reading = async move { store.callback_hosts(after, WALK_PAGE).await };
        context.spawn(actix::fut::wrap_future::<_, Self>(reading).map(|found, actor, context| {
            let found = found.unwrap_or_else(|error| {
                tracing::warn!(%error, "the outbox cannot be read yet");
                actor.shared.lost_a_word.store(true, Ordering::Release);
                Vec::new()
            });
            let now = actor.shared.parts.clock.now();
            found.iter().for_each(|(host, at)| actor.outbox.owed(*host, *at, now));
            actor.pump(context);
            match found.last() {
                Some((last, _)) if found.len() == WALK_PAGE => {
                    let last = *last;
                    context.run_later(WALK_PAGE_PAUSE, move |actor, context| actor.walk(Some(last), context))
                }
                Some(_) | None => context.run_later(WALK_INTERVAL, Self::walk_if_due),
            };
        }));
    }

    fn count(&self, census: Census, context: &mut Context<Self>) {
        let store = Arc::clone(&self.shared.parts.store);
        let began_at = self.shared.parts.clock.now();
        let counting = async move { census.advance(&*store).await };
        context.spawn(actix::fut::wrap_future::<_, Self>(counting).map(move |counted, actor, context| {
            let (census, pause) = match counted {
                Ok(Ok(count)) => {
                    actor.shared.show(count);
                    (Census::default(), CENSUS_PAUSE)
                }
                Ok(Err(census)) => (census, CENSUS_PAGE_PAUSE),
                Err(_) => (Census::default(), CENSUS_PAUSE),
            };
            let spent = actor.shared.parts.clock.now().since(began_at).to_std();
            let pause = pause.max(spent.saturating_mul(CENSUS_SHARE));
            context.run_later(pause, |actor, context| actor.count(census, context));
        }));
    }
}

impl Shared {
    fn fell(&self, faults: u32) -> Duration {
        self.parts.metrics.actor_fault("callback");
        tracing::error!(faults, "the callback actor fell; it restarts");
        let doubled = CALLBACK_RESTART_MIN.saturating_mul(1 << faults.saturating_sub(1).min(16));
        doubled.min(CALLBACK_RESTART_MAX)
    }

    /// The row is as it was, so the callback is tried again.
    fn try_fell(&self) -> (bool, Option<UnixMs>) {
        self.parts.metrics.actor_fault("callback_try");
        tracing::error!("a try to deliver a callback fell; it is made again");
        (false, Some(self.parts.clock.now().plus(STORE_PAUSE.into())))
    }

    fn bounds(&self) -> Bounds {
        let config = (self.parts.config)();
        Bounds {
            total_max: config.callbacks.tries_in_flight_max,
            per_host_max: config.callbacks.tries_per_host_max,
        }
    }

    fn show(&self, count: Count) {
        let age = count.oldest_owed_at.map(|since| self.parts.clock.now().since(since));
        self.parts.metrics.show_callbacks(count.owed, count.dead, age.unwrap_or_default());
    }

    /// One try from its row to its row: whether the host was reached, and when the callback is tried again.
    async fn carry(&self, callback: Callback) -> (bool, Option<UnixMs>) {
        let config = (self.parts.config)();
        let outcome = self.post(&callback, &config).await;
        self.parts.metrics.callback_tried(outcome.err());
        let is_reached = outcome.err().is_none_or(|fault| !fault.is_of_the_host());
        let verdict = self.verdict(&callback, outcome, &config);
        let next_try_at = self.settle(&callback, verdict).await;
        (is_reached, next_try_at)
    }

    async fn post(&self, callback: &Callback, config: &Config) -> Result<(), CallbackFault> {
        let client = config.clients.get(&callback.client).ok_or(CallbackFault::Configuration)?;
        judge_start(&callback.url, &client.callbacks).map_err(fault_of)?;
        let secrets = &client.callbacks.webhook_secrets;
        let entry = client.callbacks.entry(&callback.url);
        let kind = entry.map(|entry| entry.body).unwrap_or_default();
        let body = body(callback, kind, &*self.parts.store, &self.parts.render).await;
        let webhook_id = callback.transaction_id.to_string();
        let timestamp_s = self.parts.clock.now().seconds();
        let signatures = signatures(secrets, &webhook_id, timestamp_s, &body);
        let post = Post {
            to: Destination {
                url: &callback.url,
                networks: &client.callbacks.networks,
                is_listed: entry.is_some(),
            },
            webhook_id: &webhook_id,
            timestamp_s,
            signatures: &signatures,
            authorization: entry.and_then(|entry| entry.basic.as_ref()).and_then(basic),
            body: body.into(),
        };
        self.parts.poster.post(&post, config.callbacks.try_timeout.to_std()).await
    }

    fn verdict(
        &self,
        callback: &Callback,
        outcome: Result<(), CallbackFault>,
        config: &Config,
    ) -> CallbackVerdict {
        let Err(fault) = outcome else { return CallbackVerdict::Delivered };
        let settings = &config.callbacks;
        let backoff = Backoff::new(settings.backoff_first.to_std(), settings.backoff_longest.to_std());
        let now = self.parts.clock.now();
        if fault.is_final() {
            return CallbackVerdict::Dead { since: now, fault };
        }
        let at = now.plus(backoff.delay(callback.tries.saturating_add(1), random_unit()).into());
        if at < callback.owed_at.plus(settings.window) {
            return CallbackVerdict::TryAgain { at, fault };
        }
        CallbackVerdict::Dead { since: now, fault }
    }

    /// Stores how the try ended. A delivery that cannot be stored is made again, under the same id.
    async fn settle(&self, callback: &Callback, verdict: CallbackVerdict) -> Option<UnixMs> {
        let id = callback.transaction_id;
        for _ in 0..SETTLE_TRIES_MAX {
            match self.parts.store.settle_callback(id, callback.tries, verdict).await {
                Ok(CallbackSettled::Stored) => return self.settled(callback, verdict),
                // Somebody else changed the row, whose word may have come while it was being tried.
                Ok(CallbackSettled::Lost) => return Some(self.parts.clock.now()),
                Err(error) if error.kind() == StoreErrorKind::Stopped => return None,
                Err(error) => tracing::warn!(%error, "the end of a callback's try cannot be stored yet"),
            }
            tokio::time::sleep(STORE_PAUSE).await;
        }
        Some(self.parts.clock.now().plus(STORE_PAUSE.into()))
    }

    fn settled(&self, callback: &Callback, verdict: CallbackVerdict) -> Option<UnixMs> {
        let (id, origin) = (callback.transaction_id, callback.url.origin());
        match verdict {
            CallbackVerdict::Delivered => None,
            CallbackVerdict::TryAgain { at, fault } => {
                tracing::info!(transaction = %id, origin, fault = fault.as_str(), tries = callback.tries + 1, "a callback failed and is tried again");
                Some(at)
            }
            CallbackVerdict::Dead { fault, .. } => {
                self.parts.metrics.callback_died();
                tracing::error!(transaction = %id, client = %callback.client, origin, fault = fault.as_str(), "a callback is dead and tried no more; an operator can redeliver it");
                None
            }
        }
    }
}

/// The configuration may have changed since the start was judged.
const fn fault_of(why: NotAllowed) -> CallbackFault {
    match why {
        NotAllowed::NoSecret => CallbackFault::Configuration,
        NotAllowed::Unlisted => CallbackFault::NotAllowed,
        NotAllowed::Address => CallbackFault::AddressRefused,
    }
}

/// A password that fits no header was refused with the configuration.
fn basic(credentials: &BasicCredentials) -> Option<HeaderValue> {
    let BasicCredentials { username, password } = credentials;
    let pair = zeroize::Zeroizing::new(format!("{username}:{}", password.expose()));
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(&*pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Counts a try until it is settled, however it ends.
struct Place(Arc<Shared>);

impl Place {
    fn take(shared: &Arc<Shared>) -> Self {
        shared.in_flight.fetch_add(1, Ordering::AcqRel);
        shared.parts.metrics.callback_tries_in_flight.inc();
        Self(Arc::clone(shared))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
        self.0.parts.metrics.callback_tries_in_flight.dec();
    }
}

impl Actor for CallbackActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.walk(None, context);
        self.count(Census::default(), context);
    }
}

impl actix::Supervised for CallbackActor {
    fn restarting(&mut self, _: &mut Context<Self>) {
        *self = Self::fresh(Arc::clone(&self.shared));
    }
}

impl Handler<CallbackOwed> for CallbackActor {
    type Result = ();

    fn handle(&mut self, CallbackOwed { client, url, at }: CallbackOwed, context: &mut Context<Self>) {
        self.outbox.owed(callback_host(&client, &url), at, self.shared.parts.clock.now());
        self.pump(context);
    }
}

/// A try ended and is settled.
#[derive(Message)]
#[rtype(result = "()")]
struct Ended {
    host: CallbackHost,
    id: TransactionId,
    is_reached: bool,
    next_try_at: Option<UnixMs>,
}

impl Handler<Ended> for CallbackActor {
    type Result = ();

    fn handle(&mut self, ended: Ended, context: &mut Context<Self>) {
        self.outbox.ended(ended.host, ended.id, ended.is_reached, ended.next_try_at);
        self.pump(context);
    }
}

#[cfg(feature = "fault-hook")]
impl Handler<crate::protocol::InjectFault> for CallbackActor {
    type Result = ();

    fn handle(&mut self, _: crate::protocol::InjectFault, _: &mut Context<Self>) {
        std::panic::panic_any("a fault injected by a test");
    }
}
