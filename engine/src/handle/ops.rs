//! What operators and their probes ask.

use tocsin_model::{AuditActor, Callback, OperatorName, Problem, ProviderName, TransactionId};
use tocsin_storage::{CallbackList, Redelivered};

use super::Handle;
use crate::error::store_problem;
use crate::limits::HEALTHY_WITHIN;
use crate::protocol::CallbackOwed;

/// Whether the process lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The storage's writer showed that it lives within the last five seconds.
    pub writer: bool,
    /// Every actor thread did.
    pub arbiters: bool,
}

impl Health {
    /// Whether everything lives.
    pub const fn is_healthy(&self) -> bool {
        self.writer && self.arbiters
    }
}

/// Whether the process takes work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// All that was open at the start has its actor again. Until then each gets it when it is asked for, so that work may
    /// be sent here.
    pub recovered: bool,
    /// The storage takes writes.
    pub storage: bool,
    /// A shutdown has begun.
    pub draining: bool,
    /// The state of each provider; shown, but an outage of a push network is not ours unless the configuration says so.
    pub providers: Vec<ProviderState>,
}

impl Readiness {
    /// Whether new work should be sent here.
    pub fn is_ready(&self) -> bool {
        self.storage && !self.draining && self.providers.iter().all(ProviderState::is_good_enough)
    }
}

/// The state of one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderState {
    /// Its name.
    pub name: ProviderName,
    /// Whether its breaker lets pushes through.
    pub available: bool,
    /// Whether it is among `ops.ready_requires`.
    pub required: bool,
}

impl ProviderState {
    const fn is_good_enough(&self) -> bool {
        self.available || !self.required
    }
}

/// One page of a list of callbacks, newest transactions first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackItems {
    /// The callbacks.
    pub items: Vec<Callback>,
    /// Behind which the next page starts; `None` at the end.
    pub next: Option<TransactionId>,
}

impl Handle {
    /// One page of the callbacks that are owed or dead, behind `after`, at most `limit`.
    pub async fn callbacks(
        &self,
        list: CallbackList,
        after: Option<TransactionId>,
        limit: usize,
    ) -> Result<CallbackItems, Problem> {
        let page = self.store().callbacks(list, after, limit).await.map_err(|error| store_problem(&error))?;
        Ok(CallbackItems { items: page.callbacks, next: page.next })
    }

    /// Makes the callback of this transaction due now: a dead one is owed again with a new window, an owed one is
    /// tried at once. It keeps its `webhook-id`. 404 when nothing is owed or dead under this id.
    pub async fn redeliver_callback(&self, by: OperatorName, id: TransactionId) -> Result<Callback, Problem> {
        let (by, at) = (AuditActor::Operator(by), self.clock().now());
        let redelivered = self.store().redeliver_callback(id, by, at).await;
        match redelivered.map_err(|error| store_problem(&error))? {
            Redelivered::Owed(callback) => {
                let (client, url) = (callback.client.clone(), callback.url.clone());
                (self.0.callbacks.owed)(CallbackOwed { client, url, at });
                Ok(*callback)
            }
            Redelivered::Absent => Err(Problem::not_found()),
        }
    }

    /// Whether the process lives.
    pub fn health(&self) -> Health {
        Health {
            writer: self.store().writer_idle_for() < HEALTHY_WITHIN,
            arbiters: self.0.ticks.all_within(HEALTHY_WITHIN),
        }
    }

    /// Whether the process takes work.
    pub fn readiness(&self) -> Readiness {
        let (now, config) = (self.clock().now(), self.config());
        let table = self.0.surroundings.providers();
        let mut providers: Vec<ProviderState> = table
            .providers
            .iter()
            .map(|(name, provider)| ProviderState {
                name: name.clone(),
                available: provider.availability.is_available(now),
                required: config.ready_requires.contains(name),
            })
            .collect();
        providers.sort_by(|left, right| left.name.cmp(&right.name));
        let (recovered, storage) =
            (!self.0.registry.dormant().may_be_any(), !*self.store().stopped().borrow());
        Readiness { recovered, storage, draining: self.is_draining(), providers }
    }

    /// All metrics in the text format of Prometheus, version 0.0.4.
    pub fn metrics_text(&self) -> String {
        let metrics = self.metrics();
        let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        metrics.transactions_in_flight.set(whole(self.0.registry.admission().in_flight()));
        metrics.transactions_dormant.set(whole(self.0.registry.dormant().count()));
        metrics.ready.set(i64::from(self.readiness().is_ready()));
        metrics.show_zeros(self.config().types.iter().map(|(name, kind)| (name, kind.method)));
        metrics.show_prefixes(&self.config().sms);
        metrics.waiters.set(whole(self.0.surroundings.waiters.count() + self.0.enrollment_waiters.count()));
        metrics.commit_queue.set(whole(self.store().queue_depth()));
        metrics.signature_queue.set(whole(self.0.signatures.queue_depth()));
        metrics.show_rows(&self.store().rows_kept());
        for (number, diary) in self.0.diaries.iter().enumerate() {
            let (worked, rested) = diary.spent();
            metrics.show_arbiter(number, worked, rested);
        }
        metrics.takeover_risk.reset();
        for (name, app) in &self.config().apps {
            metrics.takeover_risk.with_label_values(&[name.as_str()]).set(app.has_takeover_risk().into());
        }
        for (name, driver) in self.0.drivers.load().iter() {
            metrics.show_driver(name, &driver.snapshot());
        }
        metrics.to_text()
    }
}
