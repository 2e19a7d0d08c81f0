//! The audit trail on a disk that somebody else can write to.

use std::path::Path;

use rocksdb::{DB, Options};
use tocsin_model::{AuditActor, AuditEvent, AuditKind};
use tocsin_storage::{AuditChecked, AuditCheckpoint, AuditFault, AuditSummary, Store, StoreErrorKind};

use super::{open, storage};
use crate::fixture::*;

/// A closed database whose trail has ten rows.
async fn with_ten_rows() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&storage(folder.path()), &TestClock::new()).expect("a new database");
    for salt in 1..=10 {
        let _ = store.create(new_transaction(salt)).await.expect("stored");
    }
    store.close().expect("closed");
    folder
}

fn key(number: u64) -> Vec<u8> {
    [&[0x0c, 0x01], &number.to_be_bytes()[..]].concat()
}

/// Lets `change` loose on the rows of the trail.
fn tamper(folder: &Path, change: impl Fn(&dyn Fn(&[u8]) -> Vec<u8>, &dyn Fn(&[u8], Option<&[u8]>))) {
    let path = folder.join("db");
    let options = Options::default();
    let families = DB::list_cf(&options, &path).expect("a database");
    let database = DB::open_cf(&options, &path, families).expect("opened");
    let audit = database.cf_handle("audit").expect("the family");
    let get = |key: &[u8]| database.get_cf(audit, key).expect("read").expect("a row");
    let put = |key: &[u8], row: Option<&[u8]>| match row {
        Some(row) => database.put_cf(audit, key, row).expect("written"),
        None => database.delete_cf(audit, key).expect("written"),
    };
    change(&get, &put);
}

async fn check(folder: &Path) -> Result<AuditSummary, AuditFault> {
    let store = open(&storage(folder), &TestClock::new()).expect("opened");
    let mut checkpoint = AuditCheckpoint::default();
    loop {
        match store.check_audit(checkpoint).await.expect("read") {
            AuditChecked::More(next) => checkpoint = next,
            AuditChecked::Sound(summary) => return Ok(summary),
            AuditChecked::Broken(fault) => return Err(fault),
        }
    }
}

async fn fault_after(change: impl Fn(&dyn Fn(&[u8]) -> Vec<u8>, &dyn Fn(&[u8], Option<&[u8]>))) -> u64 {
    let folder = with_ten_rows().await;
    tamper(folder.path(), change);
    check(folder.path()).await.expect_err("it must be found").number
}

#[tokio::test]
async fn the_trail_goes_on_after_a_restart() {
    let folder = with_ten_rows().await;
    let before = check(folder.path()).await.expect("sound");
    assert_eq!((before.first, before.last, before.rows), (1, 10, 10));
    let store = open(&storage(folder.path()), &TestClock::new()).expect("opened");
    store.note(AuditEvent::new(AuditKind::DrainAsked, AuditActor::Console)).await.expect("stored");
    store.close().expect("closed");
    drop(store);
    let after = check(folder.path()).await.expect("sound");
    assert_eq!((after.last, after.rows), (11, 11));
    assert_ne!(after.hash, before.hash);
}

#[tokio::test]
async fn a_changed_row_is_found() {
    // A letter of the user's realm, and a bit of the hash.
    let found = fault_after(|get, put| {
        let mut row = get(&key(4));
        let place = row.windows(6).position(|bytes| bytes == b"retail").expect("the user's realm");
        row[place] = b'R';
        put(&key(4), Some(&row));
    });
    assert_eq!(found.await, 4);
    let found = fault_after(|get, put| {
        let mut row = get(&key(7));
        *row.last_mut().expect("a byte") ^= 1;
        put(&key(7), Some(&row));
    });
    assert_eq!(found.await, 7);
    let garbage = fault_after(|_, put| put(&key(5), Some(b"garbage")));
    assert!(garbage.await <= 5);
}

#[tokio::test]
async fn a_missing_row_is_found_wherever_it_stood() {
    for gone in [1, 5, 10] {
        assert_eq!(fault_after(|_, put| put(&key(gone), None)).await, gone);
    }
}

#[tokio::test]
async fn reordered_and_copied_rows_are_found() {
    let swapped = fault_after(|get, put| {
        let (third, fourth) = (get(&key(3)), get(&key(4)));
        put(&key(3), Some(&fourth));
        put(&key(4), Some(&third));
    });
    assert_eq!(swapped.await, 3);
    let moved_up = fault_after(|get, put| {
        for number in 5..10 {
            put(&key(number), Some(&get(&key(number + 1))));
        }
        put(&key(10), None);
    });
    assert_eq!(moved_up.await, 5);
    assert_eq!(fault_after(|get, put| put(&key(11), Some(&get(&key(10))))).await, 11);
}

#[tokio::test]
async fn a_forged_cut_is_found() {
    // The prefix is gone, and the anchor claims that it was cut: its bytes are those of the trail's end at row 3.
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&storage(folder.path()), &TestClock::new()).expect("a new database");
    for salt in 1..=3 {
        let _ = store.create(new_transaction(salt)).await.expect("stored");
    }
    store.close().expect("closed");
    drop(store);
    let end_at_3 = std::cell::RefCell::new(Vec::new());
    tamper(folder.path(), |get, _| end_at_3.replace(get(&[0x0c, 0x02])).clear());
    let store = open(&storage(folder.path()), &TestClock::new()).expect("opened");
    let _ = store.create(new_transaction(4)).await.expect("stored");
    store.close().expect("closed");
    drop(store);
    tamper(folder.path(), |_, put| {
        (1..=3).for_each(|number| put(&key(number), None));
        put(&[0x0c, 0x03], Some(&end_at_3.borrow()));
    });
    let fault = check(folder.path()).await.expect_err("it must be found");
    assert!(fault.what.contains("no row of the trail tells of a cut"), "{fault:?}");
}

#[tokio::test]
async fn a_trail_without_its_end_is_not_gone_on_with() {
    let folder = with_ten_rows().await;
    tamper(folder.path(), |_, put| put(&[0x0c, 0x02], None));
    let refused = open(&storage(folder.path()), &TestClock::new()).expect_err("refused");
    assert_eq!(refused.kind(), StoreErrorKind::Corrupt, "{refused}");
    assert!(refused.to_string().contains("the record of its end is gone"), "{refused}");
}
