//! Opening: what is there comes back, what is damaged is refused with a hint.

use std::fs;
use std::path::{Path, PathBuf};

use tocsin_model::{DeliveryStatus, DurationMs, State};
use tocsin_storage::rocks::RocksStore;
use tocsin_storage::{Store, StoreError, StoreErrorKind};

use super::{open, storage};
use crate::fixture::*;

/// A folder with a closed database that holds the transaction 1, still in the write-ahead log.
async fn with_a_transaction() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&storage(folder.path()), &TestClock::new()).expect("a new database");
    for salt in 1..=50 {
        let _ = store.create(new_transaction(salt)).await.expect("stored");
    }
    folder
}

fn reopen(folder: &Path) -> Result<RocksStore, StoreError> {
    open(&storage(folder), &TestClock::new())
}

fn files(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder.join("db")).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(&wanted)).collect()
}

fn refused_as_corrupt(folder: &Path) {
    let refused = reopen(folder).expect_err("refused");
    assert_eq!(refused.kind(), StoreErrorKind::Corrupt, "{refused}");
    assert!(refused.to_string().contains("restore the last backup"), "{refused}");
}

#[tokio::test]
async fn what_was_stored_comes_back_after_a_drop_and_after_a_close() {
    let folder = with_a_transaction().await;
    let store = reopen(folder.path()).expect("opened");
    let _ = store.end(ended(transaction(1), State::Accepted)).await.expect("stored");
    store.close().expect("closed");
    let refused = store.create(new_transaction(2)).await.expect_err("closed");
    assert_eq!(refused.kind(), StoreErrorKind::Stopped);
    drop(store);
    let store = reopen(folder.path()).expect("opened");
    let stored = store.transaction(transaction_id(1)).await.expect("read").expect("there");
    assert_eq!(stored.state, State::Accepted);
    assert_eq!(store.transaction(transaction_id(50)).await.expect("read"), Some(transaction(50)));
}

#[tokio::test]
async fn a_second_opening_is_told_that_the_server_is_running() {
    let folder = tempfile::tempdir().expect("a folder");
    let _running = reopen(folder.path()).expect("a new database");
    let refused = reopen(folder.path()).expect_err("refused");
    assert_eq!(refused.kind(), StoreErrorKind::Locked, "{refused}");
    assert!(refused.to_string().contains("the server is running"), "{refused}");
}

#[tokio::test]
async fn a_damaged_manifest_is_refused() {
    let folder = with_a_transaction().await;
    for manifest in files(folder.path(), |name| name.starts_with("MANIFEST-")) {
        let mut bytes = fs::read(&manifest).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        fs::write(&manifest, bytes).expect("written");
    }
    refused_as_corrupt(folder.path());
}

#[tokio::test]
async fn a_database_without_its_head_is_refused_not_begun_anew() {
    let folder = with_a_transaction().await;
    fs::remove_file(folder.path().join("db/CURRENT")).expect("removed");
    refused_as_corrupt(folder.path());
}

#[tokio::test]
async fn a_missing_table_is_refused() {
    let folder = with_a_transaction().await;
    reopen(folder.path()).expect("opened").close().expect("closed");
    let tables = files(folder.path(), |name| name.ends_with(".sst"));
    assert!(!tables.is_empty());
    tables.iter().for_each(|table| fs::remove_file(table).expect("removed"));
    refused_as_corrupt(folder.path());
}

#[tokio::test]
async fn a_flipped_bit_inside_the_log_is_refused_not_forgotten() {
    let folder = with_a_transaction().await;
    let logs = files(folder.path(), |name| name.ends_with(".log"));
    let log = logs.iter().max_by_key(|log| fs::metadata(log).expect("there").len()).expect("a log");
    let mut bytes = fs::read(log).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x01;
    fs::write(log, bytes).expect("written");
    refused_as_corrupt(folder.path());
}

#[tokio::test]
async fn a_torn_end_of_the_log_costs_only_what_was_torn() {
    let folder = with_a_transaction().await;
    let logs = files(folder.path(), |name| name.ends_with(".log"));
    let log = logs.iter().max_by_key(|log| fs::metadata(log).expect("there").len()).expect("a log");
    let bytes = fs::read(log).expect("read");
    fs::write(log, &bytes[..bytes.len() - 20]).expect("written");
    let store = reopen(folder.path()).expect("opened");
    assert!(store.transaction(transaction_id(49)).await.expect("read").is_some());
    assert_eq!(store.transaction(transaction_id(50)).await.expect("read"), None);
}

#[tokio::test]
async fn a_cold_read_comes_from_the_disk() {
    let folder = with_a_transaction().await;
    reopen(folder.path()).expect("opened").close().expect("closed");
    // Nothing of the tables is in the cache of a store that was just opened.
    let store = reopen(folder.path()).expect("opened");
    assert_eq!(store.transaction(transaction_id(7)).await.expect("read"), Some(transaction(7)));
    assert_eq!(store.open_transactions(None, 100).await.expect("read").transactions.len(), 50);
}

#[tokio::test]
async fn a_sweep_drops_the_oldest_up_to_the_first_that_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = TestClock::new();
    let store = open(&storage(folder.path()), &clock).expect("a new database");
    for salt in 1..=5 {
        let _ = store.create(new_transaction(salt)).await.expect("stored");
    }
    for salt in [1, 2, 4, 5] {
        let _ = store.end(ended(transaction(salt), State::Timeout)).await.expect("stored");
    }
    clock.advance(DurationMs::new(RETENTION.transaction.get() - 1));
    assert_eq!(store.sweep().expect("read"), 0);
    clock.advance(DurationMs::new(1));
    assert_eq!(store.sweep().expect("read"), 2);
    // A verb behind the sweep is answered when the sweep is done, or in the same turn before it.
    for _ in 0..2 {
        let _ = store.create(new_transaction(9)).await.expect("stored");
    }
    assert_eq!(store.sweep().expect("read"), 0, "the pending one stands in front");
    assert_eq!(store.transaction(transaction_id(3)).await.expect("read"), Some(transaction(3)));
}

#[tokio::test]
async fn a_sweep_drops_the_marks_with_their_transaction() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = TestClock::new();
    let store = open(&storage(folder.path()), &clock).expect("a new database");
    let _ = store.create(new_transaction(1)).await.expect("stored");
    store.mark(marked(transaction(1), 2, DeliveryStatus::Relayed)).await.expect("stored");
    let _ = store.end(ended(transaction(1), State::Timeout)).await.expect("stored");
    clock.advance(RETENTION.transaction);
    assert_eq!(store.sweep().expect("read"), 1);
    // Marks that were left would show on a new transaction of the same id.
    for salt in [2, 3, 1] {
        let _ = store.create(new_transaction(salt)).await.expect("stored");
    }
    assert_eq!(store.transaction(transaction_id(1)).await.expect("read"), Some(transaction(1)));
}
