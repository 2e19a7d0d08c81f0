//! What every transaction of a process shares.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tocsin_config::Config;
use tocsin_model::Transaction;
use tocsin_storage::Store;

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::protocol::ProviderTable;
use crate::registry::Waiters;
use crate::transaction::PushIds;

/// What every transaction of a process shares.
pub(crate) struct Surroundings {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) config: Arc<Config>,
    pub(crate) push_ids: PushIds,
    pub(crate) waiters: Waiters,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) linger: Duration,
    providers: ArcSwap<ProviderTable>,
}

impl Surroundings {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Clock,
        config: Arc<Config>,
        push_ids: PushIds,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            store,
            clock,
            push_ids,
            waiters: Waiters::new(&config.engine),
            metrics,
            linger: config.engine.linger.to_std(),
            config,
            providers: ArcSwap::from_pointee(ProviderTable::default()),
        }
    }

    /// Providers are started after the registry that they revive transactions through.
    pub(crate) fn set_providers(&self, table: ProviderTable) {
        self.providers.store(Arc::new(table));
    }

    pub(crate) fn providers(&self) -> Guard<Arc<ProviderTable>> {
        self.providers.load()
    }

    /// Tells everybody who waits for this transaction.
    pub(crate) fn published(&self, transaction: &Arc<Transaction>) {
        self.waiters.publish(transaction);
    }
}
