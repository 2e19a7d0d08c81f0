//! What only the back end with a disk can show.

mod audit;
mod backup;
mod commit;
mod format;
mod memory;
mod opening;
mod sealed;

use std::path::Path;
use std::sync::Arc;

use tocsin_config::{Durability, Storage};
use tocsin_model::DurationMs;
use tocsin_storage::rocks::RocksStore;
use tocsin_storage::{NoObserver, StoreError};

use crate::fixture::{RETENTION, TestClock};

/// The smallest sensible configuration, without a minimum of free space.
pub fn storage(path: &Path) -> Storage {
    Storage {
        path: path.to_owned(),
        durability: Durability::Os,
        commit_queue_max: 1_024,
        block_cache_bytes: 4 << 20,
        write_buffer_bytes: 4 << 20,
        transaction_retention: RETENTION.transaction,
        enrollment_retention: RETENTION.enrollment,
        audit_retention: DurationMs::from_seconds(34_560_000),
        disk_free_min_bytes: 0,
    }
}

/// Opens a database that nobody observes.
pub fn open(storage: &Storage, clock: &TestClock) -> Result<RocksStore, StoreError> {
    RocksStore::open(storage, clock.as_clock(), Arc::new(NoObserver))
}
