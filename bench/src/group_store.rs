//! Ours: callers that each wait for one durable create and then ask for the next.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tocsin_config::{Durability, Storage};
use tocsin_model::DurationMs;
use tocsin_storage::rocks::RocksStore;
use tocsin_storage::{Created, NewTransaction, Store, StoreObserver};
use tokio::runtime::{Builder, Runtime};

use crate::{Commits, Samples};

/// Memory for changes that are not yet in tables, as in the default configuration.
pub(crate) const WRITE_BUFFER_BYTES: usize = 128 * 1024 * 1024;

/// The store of the product, with a runtime for its callers.
pub struct GroupStore {
    store: RocksStore,
    commits: Arc<Commits>,
    samples: Samples,
    runtime: Runtime,
}

impl GroupStore {
    /// Opens a store under `folder` that syncs every commit.
    pub fn open(folder: &Path) -> Self {
        let commits = Arc::new(Commits::default());
        let observer: Arc<dyn StoreObserver> = commits.clone();
        let store = RocksStore::open(&configuration(folder), Arc::new(Samples::now), observer)
            .expect("a fresh folder can be opened");
        let runtime = Builder::new_current_thread().build().expect("a runtime can be made");
        Self { store, commits, samples: Samples::new(), runtime }
    }

    /// Stores no audit rows from now on.
    pub fn leave_out_audit_rows(&self) {
        self.store.leave_out_audit_rows();
    }

    /// What the writer did so far.
    pub fn commits(&self) -> &Commits {
        &self.commits
    }

    /// The time of `creates` durable creates, of which up to `waiting` are asked for at a time.
    pub fn create(&mut self, creates: u64, waiting: u64) -> Duration {
        let Self { store, samples, runtime, .. } = self;
        let mut ask = || {
            store.create(NewTransaction {
                transaction: samples.next_transaction(),
                idempotency: None,
                challenges: Vec::new(),
                otp: None,
            })
        };
        let began = Instant::now();
        runtime.block_on(async {
            let mut pending: FuturesUnordered<_> = (0..waiting.min(creates)).map(|_| ask()).collect();
            let mut left = creates.saturating_sub(waiting);
            while let Some(created) = pending.next().await {
                assert_eq!(created.expect("the disk takes it"), Created::New);
                if left > 0 {
                    left -= 1;
                    pending.push(ask());
                }
            }
        });
        began.elapsed()
    }
}

fn configuration(folder: &Path) -> Storage {
    Storage {
        path: folder.to_owned(),
        durability: Durability::Sync,
        commit_queue_max: 16_384,
        block_cache_bytes: 64 * 1024 * 1024,
        write_buffer_bytes: WRITE_BUFFER_BYTES,
        transaction_retention: DurationMs::from_seconds(86_400),
        enrollment_retention: DurationMs::from_seconds(86_400),
        audit_retention: DurationMs::from_seconds(34_560_000),
        disk_free_min_bytes: 0,
    }
}
