//! Rows that are kept in memory, and reads of many rows in one go: they show what is stored, and nothing older.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tocsin_model::{AuditActor, DeviceStatus, UnixMs};
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
    [by_id, by_kid, listed].iter().map(|device| device.profile.name.parse().expect("a number")).collect()
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
        assert_eq!(names(&store).await, [number; 3]);
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
