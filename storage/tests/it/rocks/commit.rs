//! The writer: groups, the full queue, the nearly full disk.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tocsin_config::Durability;
use tocsin_model::State;
use tocsin_storage::rocks::{RocksStore, Statistics};
use tocsin_storage::{
    AuditChecked, AuditCheckpoint, CommitReport, Created, Ended, Store, StoreErrorKind, StoreObserver,
};

use super::{open, storage};
use crate::fixture::*;

/// Longest wait for another thread before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// An observer at whose gate the writer can be kept, behind its first commit.
#[derive(Default)]
struct Gate {
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Default)]
struct Seen {
    shut: bool,
    waiting: bool,
    reports: Vec<CommitReport>,
    refused: usize,
}

impl StoreObserver for Gate {
    fn committed(&self, report: CommitReport) {
        let mut seen = self.seen.lock().expect("no panic");
        seen.reports.push(report);
        seen.waiting = true;
        self.changed.notify_all();
        let (mut seen, late) =
            self.changed.wait_timeout_while(seen, PATIENCE, |seen| seen.shut).expect("no panic");
        assert!(!late.timed_out(), "the gate was never opened");
        seen.waiting = false;
    }

    fn refused(&self) {
        self.seen.lock().expect("no panic").refused += 1;
    }
}

impl Gate {
    fn shut(&self) {
        self.seen.lock().expect("no panic").shut = true;
    }

    fn open(&self) {
        self.seen.lock().expect("no panic").shut = false;
        self.changed.notify_all();
    }

    /// Waits until the writer stands at the gate.
    fn wait_for_the_writer(&self) {
        let seen = self.seen.lock().expect("no panic");
        let (_seen, late) =
            self.changed.wait_timeout_while(seen, PATIENCE, |seen| !seen.waiting).expect("no panic");
        assert!(!late.timed_out(), "the writer never came");
    }

    fn reports(&self) -> Vec<CommitReport> {
        self.seen.lock().expect("no panic").reports.clone()
    }
}

fn gated(queue_max: usize, durability: Durability) -> (tempfile::TempDir, Arc<Gate>, RocksStore) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut storage = storage(folder.path());
    storage.commit_queue_max = queue_max;
    storage.durability = durability;
    let gate = Arc::new(Gate::default());
    let observer: Arc<dyn StoreObserver> = gate.clone();
    let store = RocksStore::open_with(&storage, TestClock::new().as_clock(), observer, Statistics::On);
    (folder, gate, store.expect("a new database"))
}

/// Fewer than are enough for a write of their own.
#[tokio::test]
async fn what_waits_is_committed_as_one_group_with_one_sync() {
    let (_folder, gate, store) = gated(1_024, Durability::Sync);
    gate.shut();
    let first = store.create(new_transaction(1));
    gate.wait_for_the_writer();
    let syncs = store.wal_syncs();
    let waiting: Vec<_> = (2..=31).map(|salt| store.create(new_transaction(salt))).collect();
    assert_eq!(store.queue_depth(), 30);
    gate.open();
    assert_eq!(first.await.expect("answered"), Created::New);
    for pending in waiting {
        assert_eq!(pending.await.expect("answered"), Created::New);
    }
    let reports = gate.reports();
    assert_eq!(reports.iter().map(|report| report.verbs).collect::<Vec<_>>(), [1, 30]);
    assert!(reports.iter().all(|report| report.synced && report.bytes > 0));
    assert_eq!(store.wal_syncs(), syncs + 1);
    assert_eq!(store.queue_depth(), 0);
}

#[tokio::test]
async fn what_is_decided_during_a_write_sees_what_is_written() {
    let (_folder, gate, store) = gated(1_024, Durability::Sync);
    gate.shut();
    let created = store.create(new_transaction(1));
    gate.wait_for_the_writer();
    let again = store.create(new_transaction(1));
    let accepted = store.end(ended(transaction(1), State::Accepted));
    let declined = store.end(ended(transaction(1), State::Declined));
    gate.open();
    assert_eq!(created.await.expect("answered"), Created::New);
    assert_eq!(again.await.expect("answered"), Created::Existing(transaction_id(1)));
    assert_eq!(accepted.await.expect("answered"), Ended::Stored);
    let lost = declined.await.expect("answered");
    assert_eq!(lost, Ended::Lost(Box::new(ended(transaction(1), State::Accepted))));
}

/// Many callers at once keep both writers at work, so that groups are decided over rows that are being written.
#[tokio::test]
async fn one_of_many_ends_stands_while_groups_overtake_nobody() {
    let (_folder, _gate, store) = gated(16_384, Durability::Sync);
    let store = Arc::new(store);
    let lives = (1..=400).map(|salt| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            assert_eq!(store.create(new_transaction(salt)).await.expect("answered"), Created::New);
            let accepted = store.end(ended(transaction(salt), State::Accepted));
            let declined = store.end(ended(transaction(salt), State::Declined));
            let again = store.create(new_transaction(salt));
            assert_eq!(accepted.await.expect("answered"), Ended::Stored);
            assert!(matches!(declined.await.expect("answered"), Ended::Lost(stands) if stands.state == State::Accepted));
            assert_eq!(again.await.expect("answered"), Created::Existing(transaction_id(salt)));
        })
    });
    for life in lives.collect::<Vec<_>>() {
        life.await.expect("no life panics");
    }
    let checked = store.check_audit(AuditCheckpoint::default()).await.expect("read");
    assert!(matches!(checked, AuditChecked::Sound(trail) if trail.rows == 800), "{checked:?}");
}

#[tokio::test]
async fn a_full_queue_is_answered_busy_and_counted() {
    let (_folder, gate, store) = gated(4, Durability::Os);
    gate.shut();
    let first = store.create(new_transaction(1));
    gate.wait_for_the_writer();
    let waiting: Vec<_> = (2..=5).map(|salt| store.create(new_transaction(salt))).collect();
    let refused = store.create(new_transaction(6)).await.expect_err("refused");
    assert_eq!(refused.kind(), StoreErrorKind::Busy);
    assert!(refused.is_retryable());
    assert_eq!(gate.seen.lock().expect("no panic").refused, 1);
    gate.open();
    assert_eq!(first.await.expect("answered"), Created::New);
    for pending in waiting {
        assert_eq!(pending.await.expect("answered"), Created::New);
    }
    assert_eq!(store.create(new_transaction(6)).await.expect("answered"), Created::New);
}

#[tokio::test]
async fn a_mark_alone_is_not_synced() {
    let (_folder, gate, store) = gated(16, Durability::Sync);
    let _ = store.create(new_transaction(1)).await.expect("stored");
    let syncs = store.wal_syncs();
    let mut marked = transaction(1);
    marked.revision = 2;
    store.mark(marked).await.expect("stored");
    assert_eq!(store.wal_syncs(), syncs);
    let _ = store.end(ended(transaction(1), State::Accepted)).await.expect("stored");
    assert_eq!(store.wal_syncs(), syncs + 1);
    let synced: Vec<_> = gate.reports().iter().map(|report| report.synced).collect();
    assert_eq!(synced, [true, false, true]);
}

#[tokio::test]
async fn a_sweep_spares_what_was_created_behind_its_look() {
    let folder = tempfile::tempdir().expect("a folder");
    let (gate, clock) = (Arc::new(Gate::default()), TestClock::new());
    let observer: Arc<dyn StoreObserver> = gate.clone();
    let store =
        RocksStore::open(&storage(folder.path()), clock.as_clock(), observer).expect("a new database");
    let _ = store.create(new_transaction(1)).await.expect("stored");
    let _ = store.end(ended(transaction(1), State::Timeout)).await.expect("stored");
    clock.advance(RETENTION.transaction);
    gate.shut();
    let first = store.open_enrollment(new_enrollment(1));
    gate.wait_for_the_writer();
    let created = store.create(new_transaction(2));
    assert_eq!(store.sweep().expect("read"), 1);
    gate.open();
    let _ = first.await.expect("answered");
    assert_eq!(created.await.expect("answered"), Created::New);
    // A verb behind the sweep is answered when the sweep is done, or in the same turn before it.
    for salt in 3..=4 {
        let _ = store.create(new_transaction(salt)).await.expect("stored");
    }
    assert_eq!(store.transaction(transaction_id(2)).await.expect("read"), Some(transaction(2)));
    assert_eq!(store.sweep().expect("read"), 0, "the old one is gone");
}

#[tokio::test]
async fn with_durability_os_nothing_is_synced() {
    let (_folder, gate, store) = gated(16, Durability::Os);
    let syncs = store.wal_syncs();
    let _ = store.create(new_transaction(1)).await.expect("stored");
    assert_eq!(store.wal_syncs(), syncs);
    assert!(!gate.reports()[0].synced);
}

#[tokio::test]
async fn a_nearly_full_disk_refuses_creates_and_stores_outcomes() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = TestClock::new();
    let mut storage = storage(folder.path());
    let store = open(&storage, &clock).expect("a new database");
    let _ = store.create(new_transaction(1)).await.expect("stored");
    drop(store);
    storage.disk_free_min_bytes = u64::MAX;
    let store = open(&storage, &clock).expect("opened");
    let refused = store.create(new_transaction(2)).await.expect_err("refused");
    assert_eq!(refused.kind(), StoreErrorKind::DiskFull);
    let refused = store.open_enrollment(new_enrollment(2)).await.expect_err("refused");
    assert_eq!(refused.kind(), StoreErrorKind::DiskFull);
    let stored = store.end(ended(transaction(1), State::Accepted)).await.expect("answered");
    assert_eq!(stored, Ended::Stored);
}

#[tokio::test]
async fn an_idle_writer_shows_that_it_lives() {
    let (_folder, _gate, store) = gated(16, Durability::Os);
    assert!(store.writer_idle_for() < PATIENCE);
    assert!(!*store.stopped().borrow());
}

#[tokio::test]
async fn a_caller_that_hangs_up_cancels_nothing() {
    let (_folder, _gate, store) = gated(16, Durability::Os);
    drop(store.create(new_transaction(1)));
    let _ = store.create(new_transaction(2)).await.expect("stored");
    assert!(store.transaction(transaction_id(1)).await.expect("read").is_some());
}
