//! Rows that are kept in memory, and reads of many rows in one go: they show what is stored, and nothing older.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tocsin_model::{AuditActor, DeliveryStatus, DeviceStatus, UnixMs};
use tocsin_storage::rocks::RocksStore;
use tocsin_storage::{DeviceChange, DeviceChanged, MasterKey, NoObserver, Sealer, Store};

use super::{open, storage};
use crate::fixture::*;

const RENAMES: u32 = 300;

/// Threads that read all the time.
const READERS: usize = 3;

async fn enrol(store: &RocksStore, salt: u64) {
    store.open_enrollment(new_enrollment(salt)).await.expect("stored");
    assert!(is_stored(&store.enrol(code_hash(salt), device(salt), RULES, START).await.expect("stored")));
}

async fn rename(store: &RocksStore, name: &str) {
    let change = DeviceChange::Manage { name: Some(name.into()), suspended: None };
    let changed = store.change_device(device_id(1), change, AuditActor::Console, START).await;
    assert!(matches!(changed.expect("stored"), DeviceChanged::Stored(_)));
}

async fn names(store: &RocksStore) -> Vec<u32> {
    let by_id = store.device(device_id(1)).await.expect("read").expect("there");
    let by_kid = store.device_by_kid(by_id.keys[0].kid).await.expect("read").expect("there");
    let listed = store.devices_of(&user(1)).await.expect("read").remove(0);
    let phone = store.phones_of(&user(1)).await.expect("read").remove(0);
    [&by_id, &*by_kid, &listed, &*phone].map(|device| device.profile.name.parse().expect("a number")).into()
}

/// Each acknowledged change is seen at once, while others read the same rows all the time.
async fn is_never_stale(sealer: Option<Arc<Sealer>>) {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = storage(folder.path());
    let store = RocksStore::open_sealed(&storage, sealer, TestClock::new().as_clock(), Arc::new(NoObserver));
    let store = Arc::new(store.expect("opened"));
    enrol(&store, 1).await;
    rename(&store, "0").await;
    let acknowledged = Arc::new(AtomicU32::new(0));
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let (store, acknowledged) = (Arc::clone(&store), Arc::clone(&acknowledged));
            tokio::spawn(async move {
                let mut known = 0;
                while known < RENAMES {
                    known = acknowledged.load(Ordering::SeqCst);
                    for name in names(&store).await {
                        assert!(name >= known, "{name} was seen though {known} was acknowledged");
                    }
                }
            })
        })
        .collect();
    for number in 1..=RENAMES {
        rename(&store, &number.to_string()).await;
        acknowledged.store(number, Ordering::SeqCst);
        assert_eq!(names(&store).await, [number; 4]);
    }
    for reader in readers {
        reader.await.expect("nothing stale");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_reader_sees_what_was_before_an_acknowledged_change() {
    is_never_stale(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn nor_where_rows_are_sealed() {
    let sealer = Sealer::new(MasterKey::new(&[7; 32]), vec![]).expect("one key");
    is_never_stale(Some(Arc::new(sealer))).await;
}

#[tokio::test]
async fn devices_that_come_and_go_change_the_list_that_was_read_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&storage(folder.path()), &TestClock::new()).expect("opened");
    assert_eq!(store.devices_of(&user(1)).await.expect("read"), []);
    assert_eq!(store.device(device_id(1)).await.expect("read"), None);
    enrol(&store, 1).await;
    let status = |devices: Vec<tocsin_model::Device>| devices.iter().map(|it| it.status).collect::<Vec<_>>();
    assert_eq!(status(store.devices_of(&user(1)).await.expect("read")), [DeviceStatus::Active]);
    store.revoke_device(device_id(1), AuditActor::Console, START).await.expect("stored");
    assert_eq!(status(store.devices_of(&user(1)).await.expect("read")), [DeviceStatus::Revoked]);
    assert_eq!(store.device(device_id(1)).await.expect("read").expect("there").status, DeviceStatus::Revoked);
}

#[tokio::test]
async fn the_time_of_an_answer_is_seen_on_a_device_that_was_read_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&storage(folder.path()), &TestClock::new()).expect("opened");
    enrol(&store, 1).await;
    assert_eq!(store.device(device_id(1)).await.expect("read").expect("there").last_used_at, START);
    for later in [5, 9] {
        let (salt, at) = (later, UnixMs::new(START.get() + later));
        store.create(new_transaction(salt)).await.expect("stored");
        store.end(answered(transaction(salt), device_id(1), at)).await.expect("stored");
        assert_eq!(store.device(device_id(1)).await.expect("read").expect("there").last_used_at, at);
    }
}

/// Ids in another order than deadlines, with ended ones and marks in between, before and behind a restart.
#[tokio::test]
async fn open_transactions_are_read_whole_whatever_stands_between_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = storage(folder.path());
    let mut expected = Vec::new();
    let store = open(&storage, &TestClock::new()).expect("opened");
    for salt in 0..60 {
        let mut new = new_transaction(salt);
        new.transaction.expires_at = UnixMs::new(START.get() + 60_000 + (salt * 37) % 60);
        let made = new.transaction.clone();
        store.create(new).await.expect("stored");
        match salt % 12 {
            0 | 5 => {
                let marked = marked(made, 3, DeliveryStatus::Relayed);
                store.mark(marked.clone()).await.expect("stored");
                expected.push(marked);
            }
            1 | 7 => expected.push(made),
            _ => drop(store.end(ended(made, tocsin_model::State::Declined)).await.expect("stored")),
        }
    }
    expected.sort_by_key(|open| (open.expires_at, open.id));
    assert_eq!(in_pages(&store).await, expected);
    store.close().expect("closed");
    drop(store);
    let store = open(&storage, &TestClock::new()).expect("opened");
    assert_eq!(in_pages(&store).await, expected);
}

async fn in_pages(store: &RocksStore) -> Vec<tocsin_model::Transaction> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.open_transactions(after, 7).await.expect("read");
        found.extend(page.transactions);
        match page.next {
            Some(next) => after = Some(next),
            None => return found,
        }
    }
}

/// Nobody waits for these marks: they are written with the next group, or a moment later.
#[tokio::test]
async fn marks_that_nobody_waits_for_are_stored_with_what_comes_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&storage(folder.path()), &TestClock::new()).expect("opened");
    store.create(new_transaction(1)).await.expect("stored");
    store.create(new_transaction(2)).await.expect("stored");
    drop(store.mark(marked(transaction(1), 4, DeliveryStatus::Fetched)));
    drop(store.mark(marked(transaction(1), 3, DeliveryStatus::Relayed)));
    drop(store.mark(marked(transaction(2), 3, DeliveryStatus::Relayed)));
    store.end(ended(transaction(2), tocsin_model::State::Declined)).await.expect("stored");
    let stored = store.transaction(transaction_id(1)).await.expect("read").expect("there");
    assert_eq!(stored, marked(transaction(1), 4, DeliveryStatus::Fetched));
    drop(store.mark(marked(transaction(1), 5, DeliveryStatus::Relayed)));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while store.transaction(transaction_id(1)).await.expect("read").expect("there").revision < 5 {
        assert!(std::time::Instant::now() < deadline, "the mark was never stored");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
