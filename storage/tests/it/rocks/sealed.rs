//! Sealed under a master key: nothing readable in the files, and no row but the sealed one in its place.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rocksdb::{DB, Options};
use tocsin_model::{KeyUse, State};
use tocsin_storage::rocks::RocksStore;
use tocsin_storage::{MasterKey, MetaKey, NoObserver, Sealer, Store, StoreError, StoreErrorKind};

use super::storage;
use crate::fixture::*;

/// A sealer with the key made of this byte, and older ones.
fn sealer(byte: u8, older: &[u8]) -> Option<Arc<Sealer>> {
    let key = |byte: &u8| MasterKey::new(&[*byte; 32]);
    Some(Arc::new(Sealer::new(key(&byte), older.iter().map(key).collect()).expect("different keys")))
}

fn open(folder: &Path, sealer: Option<Arc<Sealer>>) -> Result<RocksStore, StoreError> {
    RocksStore::open_sealed(&storage(folder), sealer, TestClock::new().as_clock(), Arc::new(NoObserver))
}

const PROVIDER_TOKEN: &str = "bearer of-a-provider";

/// Texts that only people and phones should read, and what pushes are sent with.
fn secrets() -> Vec<Vec<u8>> {
    let device = device(1);
    let keys = device.keys.iter().map(|key| key.public_key.y.to_vec());
    ["user-1", "Log in", "Firefox on Linux", "Anna's phone", token(1).expose(), "the issuer", PROVIDER_TOKEN]
        .into_iter()
        .map(|text| text.as_bytes().to_vec())
        .chain(keys)
        .collect()
}

async fn fill(store: &RocksStore) {
    let _ = store.open_enrollment(new_enrollment(1)).await.expect("stored");
    let _ = store.enrol(code_hash(1), device(1), RULES, START).await.expect("stored");
    let _ = store.create(new_transaction(1)).await.expect("stored");
    let _ = store.create(new_transaction(2)).await.expect("stored");
    store.keep_meta(MetaKey::Issuer, b"the issuer".to_vec()).await.expect("stored");
    let provider = "apns-main".parse().expect("a name");
    store.keep_provider_token(provider, provider_token(PROVIDER_TOKEN)).await.expect("stored");
}

async fn assert_whole(store: &RocksStore) {
    assert_eq!(store.transaction(transaction_id(1)).await.expect("read"), Some(transaction(1)));
    let found = store.device(device_id(1)).await.expect("read").expect("there");
    assert!(found.key(&KeyUse::Biometric).is_some());
    assert_eq!(store.devices_of(&user(1)).await.expect("read").len(), 1);
    assert!(store.enrollment_by_code(code_hash(1)).await.expect("read").is_some());
    assert_eq!(store.keep_meta(MetaKey::Issuer, vec![]).await.expect("read"), b"the issuer");
}

/// The secrets that stand in some file of the database.
fn readable(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder.join("db")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let bytes = fs::read(&path).expect("read");
        for secret in secrets() {
            if bytes.windows(secret.len()).any(|window| window == secret) {
                found.push(format!("{} in {}", String::from_utf8_lossy(&secret), path.display()));
            }
        }
    }
    found
}

/// Changes rows behind the store's back.
fn tamper(folder: &Path, change: impl FnOnce(&DB)) {
    let path = folder.join("db");
    let families = DB::list_cf(&Options::default(), &path).expect("listed");
    change(&DB::open_cf(&Options::default(), &path, families).expect("opened"));
}

fn transaction_key(salt: u64) -> Vec<u8> {
    [&[1, 1][..], transaction_id(salt).as_bytes()].concat()
}

fn row_of(db: &DB, salt: u64) -> Vec<u8> {
    let family = db.cf_handle("transaction").expect("there");
    db.get_cf(family, transaction_key(salt)).expect("read").expect("there")
}

fn put_row(db: &DB, salt: u64, row: &[u8]) {
    db.put_cf(db.cf_handle("transaction").expect("there"), transaction_key(salt), row).expect("written");
}

async fn assert_refused(folder: &Path, what: &str) {
    let store = open(folder, sealer(1, &[])).expect("opened");
    let refused = store.transaction(transaction_id(2)).await.expect_err("refused");
    assert_eq!(refused.kind(), StoreErrorKind::Corrupt, "{refused}");
    assert!(refused.to_string().contains(what), "{refused}");
    let refused = store.end(ended(transaction(2), State::Accepted)).await.expect_err("refused");
    assert_eq!(refused.kind(), StoreErrorKind::Corrupt, "the writer looks too: {refused}");
    assert!(store.transaction(transaction_id(1)).await.expect("read").is_some());
}

#[tokio::test]
async fn nothing_readable_is_in_the_files_neither_log_nor_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path(), sealer(1, &[])).expect("a new database");
    fill(&store).await;
    assert_eq!(readable(folder.path()), Vec::<String>::new(), "in the log");
    store.close().expect("closed");
    drop(store);
    assert_eq!(readable(folder.path()), Vec::<String>::new(), "in the tables");
    let plain = tempfile::tempdir().expect("a folder");
    let store = open(plain.path(), None).expect("a new database");
    fill(&store).await;
    store.close().expect("closed");
    assert!(readable(plain.path()).len() >= secrets().len() - 1, "the search finds what is there");
}

#[tokio::test]
async fn what_was_sealed_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    fill(&open(folder.path(), sealer(1, &[])).expect("a new database")).await;
    assert_whole(&open(folder.path(), sealer(1, &[])).expect("opened")).await;
}

#[tokio::test]
async fn a_sealed_database_opens_neither_without_nor_with_another_key() {
    let folder = tempfile::tempdir().expect("a folder");
    fill(&open(folder.path(), sealer(1, &[])).expect("a new database")).await;
    let id = MasterKey::new(&[1; 32]).id().to_string();
    for (sealer, what) in [(None, "none is configured"), (sealer(2, &[]), "and configured are only")] {
        let refused = open(folder.path(), sealer).expect_err("refused");
        assert_eq!(refused.kind(), StoreErrorKind::MasterKey, "{refused}");
        assert!(refused.to_string().contains(what) && refused.to_string().contains(&id), "{refused}");
    }
    assert_whole(&open(folder.path(), sealer(1, &[])).expect("opened")).await;
}

#[tokio::test]
async fn even_an_empty_database_is_bound_to_its_key() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(folder.path(), sealer(1, &[])).expect("a new database"));
    assert_eq!(open(folder.path(), None).expect_err("refused").kind(), StoreErrorKind::MasterKey);
}

#[tokio::test]
async fn a_plain_database_is_sealed_at_the_first_opening_with_a_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path(), None).expect("a new database");
    fill(&store).await;
    store.close().expect("closed");
    drop(store);
    let store = open(folder.path(), sealer(1, &[])).expect("opened");
    assert_whole(&store).await;
    drop(store);
    assert_eq!(readable(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn an_old_key_opens_until_all_rows_are_sealed_by_the_new_one() {
    let folder = tempfile::tempdir().expect("a folder");
    fill(&open(folder.path(), sealer(1, &[])).expect("a new database")).await;
    let refused = open(folder.path(), sealer(2, &[3])).expect_err("refused");
    assert_eq!(refused.kind(), StoreErrorKind::MasterKey, "{refused}");
    assert_whole(&open(folder.path(), sealer(2, &[1])).expect("opened")).await;
    assert_whole(&open(folder.path(), sealer(2, &[])).expect("the old one is not needed any more")).await;
    let refused = open(folder.path(), sealer(1, &[])).expect_err("refused");
    assert_eq!(refused.kind(), StoreErrorKind::MasterKey, "{refused}");
}

#[tokio::test]
async fn a_row_that_was_moved_does_not_open() {
    let folder = tempfile::tempdir().expect("a folder");
    fill(&open(folder.path(), sealer(1, &[])).expect("a new database")).await;
    tamper(folder.path(), |db| put_row(db, 2, &row_of(db, 1)));
    assert_refused(folder.path(), "does not open").await;
}

#[tokio::test]
async fn a_row_that_was_changed_does_not_open() {
    let folder = tempfile::tempdir().expect("a folder");
    fill(&open(folder.path(), sealer(1, &[])).expect("a new database")).await;
    tamper(folder.path(), |db| {
        let mut row = row_of(db, 2);
        *row.last_mut().expect("not empty") ^= 1;
        put_row(db, 2, &row);
    });
    assert_refused(folder.path(), "does not open").await;
}

#[tokio::test]
async fn a_plain_row_among_sealed_ones_is_refused() {
    let other = tempfile::tempdir().expect("a folder");
    fill(&open(other.path(), None).expect("a new database")).await;
    let mut plain = Vec::new();
    tamper(other.path(), |db| plain = row_of(db, 2));
    let folder = tempfile::tempdir().expect("a folder");
    fill(&open(folder.path(), sealer(1, &[])).expect("a new database")).await;
    tamper(folder.path(), |db| put_row(db, 2, &plain));
    assert_refused(folder.path(), "it is not sealed").await;
}
