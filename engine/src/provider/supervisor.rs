//! The provider actor: owns one network's driver and supervises the transactions that it delivers for.
//!
//! It keeps the pushes in flight and a bounded table of transactions, and nothing of their state. A
//! transaction that falls is revived through the registry, with back-off and a limit. When the actor itself
//! falls, its pushes are cut, every transaction of the table hears `Down`, a fresh actor with a fresh breaker
//! takes the same mailbox, and every transaction hears `Up`. Table and driver outlive the fall: they are shared
//! state behind one-call interfaces, not part of the value that panicked.

use std::num::NonZeroU64;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use crate::by_id::ById;
use actix::fut::ActorFuture;
use actix::prelude::*;
use actix_rt::ArbiterHandle;
use arc_swap::ArcSwap;
use dashmap::Entry;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use prometheus::IntGauge;
use tocsin_config::ProviderLimits;
use tocsin_model::{DeliveryReason, DurationMs, ProviderName, PushKind, PushToken, TransactionId, UnixMs};
use tocsin_storage::{PushTargetVerdict, Store};
use tokio::task::JoinSet;

use super::{Breaker, Driver, DriverReport, PushVerdict};
use crate::clock::Clock;
use crate::limits::{
    CLOSING_SHARE_OF_QUEUE, LAST_REVIVALS_MAX, PROVIDER_RESTART_MAX, PROVIDER_RESTART_MIN, REVIVAL_BACKOFF,
    REVIVALS_MAX,
};
use crate::metrics::{Metrics, Stage};
use crate::protocol::{
    Availability, Deliver, DeliveryOutcome, Faulted, Install, Notify, Parcel, ProviderAddress, ProviderEvent,
    Push, PushContent, Release, Retire, Transactions,
};
use crate::supervise;

/// How often the table is tidied.
const FORGET_INTERVAL: Duration = Duration::from_secs(60);

/// How long the falls of a transaction are remembered after its deadline.
const FALLEN_KEPT: DurationMs = DurationMs::from_seconds(60);

/// How long a success speaks for the credential.
const SUCCESS_COUNTS_FOR: DurationMs = DurationMs::from_seconds(600);

/// Messages waiting in a provider's mailbox beyond its queue of pushes.
const MAILBOX_RESERVE: usize = 1_024;

/// How often a replaced driver and a retiring provider look whether they are idle.
const IDLE_POLL: Duration = Duration::from_millis(200);

/// What a provider actor is made of, again after each fall.
pub(crate) struct ProviderParts {
    pub(crate) name: ProviderName,
    pub(crate) clock: Clock,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) transactions: Arc<dyn Transactions>,
}

/// A driver and the bounds that belong to it.
struct Installed {
    driver: Arc<dyn Driver>,
    limits: ProviderLimits,
    /// Pushes that it has begun and not ended.
    in_flight: AtomicUsize,
}

impl Installed {
    fn new(driver: Arc<dyn Driver>, limits: ProviderLimits) -> Arc<Self> {
        Arc::new(Self { driver, limits, in_flight: AtomicUsize::new(0) })
    }

    /// Closes the driver once its last push has ended; each ends by its deadline.
    async fn close_when_idle(self: Arc<Self>) {
        while self.in_flight.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(IDLE_POLL).await;
        }
        self.driver.close();
    }
}

/// A push that counts as in flight until this is dropped, also by a panic or a cut.
struct InFlight(Arc<Installed>);

impl InFlight {
    fn new(installed: Arc<Installed>) -> Self {
        installed.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(installed)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What outlives a fall.
struct Shared {
    parts: ProviderParts,
    installed: ArcSwap<Installed>,
    supervised: ById<Supervised>,
    /// How many they are, because counting them asks each part of the table.
    supervised_count: AtomicUsize,
    gauges: Gauges,
    availability: Arc<Availability>,
    last_relayed_ms: AtomicU64,
}

/// The gauges of this provider, looked up once.
struct Gauges {
    in_flight: IntGauge,
    supervised: IntGauge,
    breaker_open: IntGauge,
}

/// A supervised transaction. There is one of these for each open transaction, whose mailbox only the registry knows.
#[derive(Default)]
struct Supervised {
    /// While it is to be revived: when nobody asks for it any more.
    fallen_until: Option<NonZeroU64>,
    faults: u32,
}

/// The actor of one provider.
struct ProviderActor {
    shared: Arc<Shared>,
    breaker: Breaker,
    /// Polled by [`Landing`]. They fall with the actor: what it has in its hands is cut then.
    in_flight: FuturesUnordered<LocalBoxFuture<'static, Carried>>,
    /// Keep the drivers warm, until they are closed or the actor falls.
    warm: JoinSet<()>,
    restarted: bool,
}

/// A push that ended, and what the breaker learns from it.
struct Carried {
    healthy: Option<bool>,
}

/// Carries the actor's pushes in its own turn, so that neither their ends nor their starts cost a message or a task.
struct Landing;

impl ActorFuture<ProviderActor> for Landing {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut ProviderActor,
        _: &mut Context<ProviderActor>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let mut has_ended = false;
        while let Poll::Ready(Some(Carried { healthy })) = actor.in_flight.poll_next_unpin(task) {
            actor.learn(healthy);
            has_ended = true;
        }
        if has_ended {
            actor.show_counts();
        }
        // The set is looked at again after each message, and whenever one of its pushes wakes.
        Poll::Pending
    }
}

/// Starts a provider on `arbiter`; it lives until it is retired.
pub(crate) fn start(
    parts: ProviderParts,
    driver: Arc<dyn Driver>,
    limits: ProviderLimits,
    arbiter: &ArbiterHandle,
) -> ProviderAddress {
    let mailbox_max = limits.queue_max + MAILBOX_RESERVE;
    let availability = Arc::new(Availability::default());
    let shared = Arc::new(Shared {
        gauges: Gauges::of(&parts),
        parts,
        installed: ArcSwap::new(Installed::new(driver, limits)),
        supervised: ById::default(),
        supervised_count: AtomicUsize::new(0),
        availability: Arc::clone(&availability),
        last_relayed_ms: AtomicU64::new(0),
    });
    let (sender, receiver) = actix::dev::channel::channel(mailbox_max);
    let address: Addr<ProviderActor> = Addr::new(sender);
    arbiter.spawn_fn(move || {
        let actor = ProviderActor::fresh(Arc::clone(&shared), false);
        let running = Context::with_receiver(receiver).into_future(actor);
        actix_rt::spawn(supervise::run_restarting(running, move |faults| shared.fell(faults)));
    });
    ProviderAddress {
        deliver: address.clone().recipient(),
        notify: address.clone().recipient(),
        release: address.clone().recipient(),
        faulted: address.clone().recipient(),
        install: address.clone().recipient(),
        retire: address.clone().recipient(),
        #[cfg(feature = "fault-hook")]
        fault: address.clone().recipient(),
        availability,
    }
}

impl Gauges {
    fn of(parts: &ProviderParts) -> Self {
        let (metrics, name) = (&parts.metrics, [parts.name.as_str()]);
        Self {
            in_flight: metrics.pushes_in_flight.with_label_values(&name),
            supervised: metrics.supervised.with_label_values(&name),
            breaker_open: metrics.breaker_open.with_label_values(&name),
        }
    }
}

impl Shared {
    fn installed(&self) -> Arc<Installed> {
        self.installed.load_full()
    }

    fn fresh_breaker(&self) -> Breaker {
        let installed = self.installed.load();
        Breaker::new(installed.limits.breaker_faults, installed.limits.breaker_open)
    }

    fn has_room_to_supervise(&self) -> bool {
        self.supervised_count.load(Ordering::Relaxed) < self.installed.load().limits.supervised_max
    }

    /// Whether nothing is on its way and nobody is supervised.
    fn is_idle(&self) -> bool {
        self.forget_gone();
        self.supervised.is_empty() && self.installed.load().in_flight.load(Ordering::Relaxed) == 0
    }

    /// Tells the transactions that the actor fell, and answers with the back-off before it returns.
    fn fell(&self, faults: u32) -> Duration {
        let name = &self.parts.name;
        self.parts.metrics.actor_fault("provider");
        tracing::error!(provider = %name, faults, "a provider's actor fell; it restarts");
        self.tell_all(&ProviderEvent::Down { provider: name.clone() });
        let doubled = PROVIDER_RESTART_MIN.saturating_mul(1 << faults.saturating_sub(1).min(16));
        doubled.min(PROVIDER_RESTART_MAX)
    }

    /// A push whose driver panicked may have left the house.
    fn driver_fell(&self) -> DriverReport {
        self.parts.metrics.actor_fault("driver");
        tracing::error!(provider = %self.parts.name, "a push fell on its way; it may have been sent");
        let outcome = DeliveryOutcome::Unknown(DeliveryReason::Cut);
        DriverReport { outcome, verdict: None, healthy: None }
    }

    /// The ids are copied first: nothing is sent while the table is held. A transaction whose mailbox is full or gone
    /// asks its record instead.
    fn tell_all(&self, event: &ProviderEvent) {
        let alive = self.supervised.iter().filter(|entry| entry.fallen_until.is_none());
        let alive: Vec<TransactionId> = alive.map(|entry| *entry.key()).collect();
        alive.into_iter().for_each(|id| self.parts.transactions.tell_event(id, event.clone()));
    }

    /// Enters a transaction; `false` when the table is full.
    fn supervise(&self, transaction_id: TransactionId) -> bool {
        match self.supervised.entry(transaction_id) {
            Entry::Occupied(mut known) => known.get_mut().fallen_until = None,
            Entry::Vacant(_) if !self.has_room_to_supervise() => return false,
            Entry::Vacant(free) => {
                free.insert(Supervised::default());
                self.supervised_count.fetch_add(1, Ordering::Relaxed);
            }
        }
        true
    }

    /// Supervises a transaction no longer.
    fn release(&self, transaction_id: TransactionId) {
        if self.supervised.remove(&transaction_id).is_some() {
            self.supervised_count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Counts the fall of a transaction; answers with its falls. A full table forgets them: a fall must not be lost
    /// for want of room to count it.
    fn note_fall(&self, fallen: Faulted) -> u32 {
        let fallen_until = Some(NonZeroU64::new(fallen.expires_at.get()).unwrap_or(NonZeroU64::MIN));
        match self.supervised.entry(fallen.transaction_id) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                (known.fallen_until, known.faults) = (fallen_until, known.faults + 1);
                known.faults
            }
            Entry::Vacant(_) if !self.has_room_to_supervise() => 1,
            Entry::Vacant(free) => {
                free.insert(Supervised { fallen_until, faults: 1 });
                self.supervised_count.fetch_add(1, Ordering::Relaxed);
                1
            }
        }
    }

    /// Forgets transactions whose actors have gone without a word, and fallen ones that are over.
    fn forget_gone(&self) {
        let now = self.parts.clock.now();
        self.supervised.retain(|id, known| {
            let is_kept = match known.fallen_until {
                None => self.parts.transactions.is_alive(*id),
                Some(until) => now <= UnixMs::new(until.get()).plus(FALLEN_KEPT),
            };
            if !is_kept {
                self.supervised_count.fetch_sub(1, Ordering::Relaxed);
            }
            is_kept
        });
    }

    /// Shows to starts what the breaker lets through.
    fn show_breaker(&self, open_until: Option<UnixMs>) {
        match open_until {
            Some(until) => {
                if self.availability.close_until(until) {
                    tracing::warn!(provider = %self.parts.name, "a provider's breaker is open");
                }
            }
            None => {
                if self.availability.open() {
                    tracing::info!(provider = %self.parts.name, "a provider's breaker is closed again");
                }
            }
        }
        self.gauges.breaker_open.set(i64::from(open_until.is_some()));
    }

    /// Whether pushes by this credential succeeded lately; then a refused address is more likely at fault than
    /// our own settings.
    fn others_succeed(&self) -> bool {
        let last = UnixMs::new(self.last_relayed_ms.load(Ordering::Relaxed));
        self.parts.clock.now().since(last) < SUCCESS_COUNTS_FOR
    }
}

fn show(gauge: &IntGauge, value: usize) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

impl ProviderActor {
    fn fresh(shared: Arc<Shared>, restarted: bool) -> Self {
        let breaker = shared.fresh_breaker();
        Self { shared, breaker, in_flight: FuturesUnordered::new(), warm: JoinSet::new(), restarted }
    }

    /// Why this push cannot be taken, if it cannot.
    fn refusal(&mut self, deliver: &Deliver) -> Option<DeliveryReason> {
        let now = self.shared.parts.clock.now();
        if now >= deliver.parcel.expires_at() {
            return Some(DeliveryReason::Late);
        }
        let known = self.shared.supervise(deliver.parcel.transaction_id());
        if !known { Some(DeliveryReason::Busy) } else { self.refusal_of_all(now) }
    }

    /// Why nothing can be taken at the moment, if that is so.
    fn refusal_of_all(&mut self, now: UnixMs) -> Option<DeliveryReason> {
        if self.in_flight.len() >= self.shared.installed.load().limits.queue_max {
            return Some(DeliveryReason::Busy);
        }
        let allowed = self.breaker.allows(now);
        // A push that tries puts off the next one, so starts must hear of it.
        self.shared.show_breaker(self.breaker.open_until());
        (!allowed).then_some(DeliveryReason::Unavailable)
    }

    /// Whether a closing push takes nothing that a prompt may need: neither room, nor the one try of an open breaker.
    fn has_room_to_close(&self) -> bool {
        let room = self.shared.installed.load().limits.queue_max.div_ceil(CLOSING_SHARE_OF_QUEUE);
        self.in_flight.len() < room && self.breaker.open_until().is_none()
    }

    /// What the breaker learns from the end of a push.
    fn learn(&mut self, healthy: Option<bool>) {
        if let Some(healthy) = healthy {
            self.breaker.record(healthy, self.shared.parts.clock.now());
            self.shared.show_breaker(self.breaker.open_until());
        }
    }

    fn show_counts(&self) {
        let Shared { gauges, supervised_count, .. } = &*self.shared;
        show(&gauges.in_flight, self.in_flight.len());
        show(&gauges.supervised, supervised_count.load(Ordering::Relaxed));
    }

    fn keep_warm(&mut self) {
        let driver = Arc::clone(&self.shared.installed.load().driver);
        while self.warm.try_join_next().is_some() {}
        self.warm.spawn(async move { driver.keep_warm().await });
    }
}

impl Actor for ProviderActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.run_interval(FORGET_INTERVAL, |actor, _| actor.shared.forget_gone());
        context.spawn(Landing);
        self.keep_warm();
        // A fresh actor has a fresh breaker, whatever the fallen one had shown.
        self.shared.show_breaker(self.breaker.open_until());
        if self.restarted {
            self.shared.tell_all(&ProviderEvent::Up { provider: self.shared.parts.name.clone() });
        }
    }
}

impl actix::Supervised for ProviderActor {
    fn restarting(&mut self, _: &mut Context<Self>) {
        *self = Self::fresh(Arc::clone(&self.shared), true);
    }
}

impl Handler<Deliver> for ProviderActor {
    type Result = ();

    fn handle(&mut self, deliver: Deliver, _: &mut Context<Self>) {
        if let Some(reason) = self.refusal(&deliver) {
            let outcome = DeliveryOutcome::Failed(reason);
            self.shared.parts.metrics.pushed(&self.shared.parts.name, outcome);
            let ended = ProviderEvent::Ended { addressee: deliver.parcel.addressee(), outcome };
            let _ = deliver.reply_to.try_send(ended);
            return;
        }
        self.in_flight.push(Box::pin(carry(Arc::clone(&self.shared), deliver)));
    }
}

impl Handler<Install> for ProviderActor {
    type Result = ();

    /// The new credential begins with a closed breaker: what the old one met says nothing about it.
    fn handle(&mut self, install: Install, context: &mut Context<Self>) {
        let Install { driver, limits } = install;
        context.set_mailbox_capacity(limits.queue_max + MAILBOX_RESERVE);
        let installed = Installed::new(driver, limits);
        let replaced = self.shared.installed.swap(installed);
        self.keep_warm();
        actix_rt::spawn(replaced.close_when_idle());
        self.breaker = self.shared.fresh_breaker();
        self.shared.show_breaker(self.breaker.open_until());
        tracing::info!(provider = %self.shared.parts.name, "a provider was set up anew");
    }
}

impl Handler<Retire> for ProviderActor {
    type Result = ();

    fn handle(&mut self, _: Retire, context: &mut Context<Self>) {
        context.run_interval(IDLE_POLL, |actor, context| {
            if actor.shared.is_idle() {
                tracing::info!(provider = %actor.shared.parts.name, "a provider that is configured no more has ended");
                actor.shared.installed().driver.close();
                context.stop();
            }
        });
    }
}

impl Handler<Notify> for ProviderActor {
    type Result = ();

    /// A notice that cannot be taken is dropped and counted: nobody waits for it.
    fn handle(&mut self, Notify { push }: Notify, _: &mut Context<Self>) {
        if matches!(push.content, PushContent::Closed(_)) {
            if !self.has_room_to_close() {
                return self.shared.parts.metrics.closings_shed(1);
            }
        } else if let Some(reason) = self.refusal_of_all(self.shared.parts.clock.now()) {
            return self
                .shared
                .parts
                .metrics
                .pushed(&self.shared.parts.name, DeliveryOutcome::Failed(reason));
        }
        let (shared, parcel) = (Arc::clone(&self.shared), Parcel::Push(Box::new(push)));
        self.in_flight.push(Box::pin(async move {
            let report = send(&shared, &parcel, &|| {}).await;
            judge_report(&shared, &parcel, &report).await;
            Carried { healthy: report.healthy }
        }));
    }
}

/// Delivers one parcel, tells the transaction, and has the storage judge the address.
async fn carry(shared: Arc<Shared>, Deliver { parcel, reply_to }: Deliver) -> Carried {
    let addressee = parcel.addressee();
    let (clock, metrics) = (&shared.parts.clock, &shared.parts.metrics);
    let (taken_at, written_at) = (clock.instant(), OnceLock::new());
    let written = || {
        let now = clock.instant();
        if written_at.set(now).is_ok() {
            metrics.observe(Stage::Queue, now.saturating_duration_since(taken_at));
        }
        let _ = reply_to.try_send(ProviderEvent::Written { addressee });
    };
    let report = send(&shared, &parcel, &written).await;
    if let Some(written_at) = written_at.get() {
        metrics.observe(Stage::Provider, clock.instant().saturating_duration_since(*written_at));
    }
    tell_end(&reply_to, ProviderEvent::Ended { addressee, outcome: report.outcome }).await;
    judge_report(&shared, &parcel, &report).await;
    Carried { healthy: report.healthy }
}

/// Waits for room only where there is none: the outcome of a push must not be lost while its transaction lives.
async fn tell_end(reply_to: &Recipient<ProviderEvent>, ended: ProviderEvent) {
    if let Err(SendError::Full(ended)) = reply_to.try_send(ended) {
        let _gone = Box::pin(reply_to.send(ended)).await;
    }
}

/// Hands one parcel to the network and counts its end.
async fn send(shared: &Shared, parcel: &Parcel, written: &(dyn Fn() + Send + Sync)) -> DriverReport {
    let flight = InFlight::new(shared.installed());
    let delivering = AssertUnwindSafe(flight.0.driver.deliver(parcel, written)).catch_unwind();
    let report = delivering.await.unwrap_or_else(|_| shared.driver_fell());
    drop(flight);
    shared.parts.metrics.pushed(&shared.parts.name, report.outcome);
    if let Parcel::Code(message) = parcel
        && let Some(prefix) = &message.prefix
        && matches!(report.outcome, DeliveryOutcome::Relayed | DeliveryOutcome::Unknown(_))
    {
        shared.parts.metrics.sms_sent(prefix);
    }
    if report.outcome == DeliveryOutcome::Relayed {
        shared.last_relayed_ms.store(shared.parts.clock.now().get(), Ordering::Relaxed);
    }
    report
}

/// Has the storage judge the address, where the network said something of it.
async fn judge_report(shared: &Shared, parcel: &Parcel, report: &DriverReport) {
    let Parcel::Push(push) = parcel else { return };
    if let (Some(verdict), Some(token)) = (report.verdict, &push.target.token) {
        judge(shared, push, token, verdict).await;
    }
}

/// A taken push says nothing new of an address that was never doubted, so it is not written down.
async fn judge(shared: &Shared, push: &Push, token: &PushToken, verdict: PushVerdict) {
    let verdict = match verdict {
        PushVerdict::Dead { since } => PushTargetVerdict::Dead { since },
        PushVerdict::Suspect => PushTargetVerdict::Suspect { others_succeed: shared.others_succeed() },
        PushVerdict::Good if push.suspected => PushTargetVerdict::Good,
        PushVerdict::Good => return,
    };
    let kind: PushKind = push.target.kind;
    match shared.parts.store.judge_push_target(kind, token.clone(), verdict).await {
        Ok(changed) if !changed.is_empty() => {
            tracing::info!(provider = %shared.parts.name, devices = changed.len(), "push addresses were judged");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "a push address could not be judged"),
    }
}

impl Handler<Release> for ProviderActor {
    type Result = ();

    fn handle(&mut self, release: Release, _: &mut Context<Self>) {
        self.shared.release(release.transaction_id);
        self.show_counts();
    }
}

impl Handler<Faulted> for ProviderActor {
    type Result = ();

    fn handle(&mut self, fallen: Faulted, context: &mut Context<Self>) {
        let id = fallen.transaction_id;
        let faults = self.shared.note_fall(fallen);
        if faults > LAST_REVIVALS_MAX {
            tracing::error!(transaction = %id, faults, "a transaction falls even at its deadline; the next start ends it");
            return;
        }
        let mut wait = REVIVAL_BACKOFF.saturating_mul(1 << faults.saturating_sub(1).min(16));
        if faults > REVIVALS_MAX {
            tracing::error!(transaction = %id, faults, "a transaction keeps falling; it is revived at its deadline");
            wait = wait.max(fallen.expires_at.since(self.shared.parts.clock.now()).to_std());
        }
        context.run_later(wait, move |actor, _| actor.shared.parts.transactions.bring_back(id));
    }
}

#[cfg(feature = "fault-hook")]
impl Handler<crate::protocol::InjectFault> for ProviderActor {
    type Result = ();

    fn handle(&mut self, _: crate::protocol::InjectFault, _: &mut Context<Self>) {
        std::panic::panic_any("a fault injected by a test");
    }
}
