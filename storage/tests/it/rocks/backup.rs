//! Checkpoints of a running database.

use tocsin_model::{AuditActor, State};
use tocsin_storage::{AuditChecked, AuditCheckpoint, AuditQuery, Erasure, Store};

use super::{open, storage};
use crate::fixture::*;

#[tokio::test]
async fn a_checkpoint_has_what_was_acknowledged_and_nothing_later() {
    let (folder, copy) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let clock = TestClock::new();
    let store = open(&storage(folder.path()), &clock).expect("a new database");
    for salt in 1..=30 {
        let _ = store.create(new_transaction(salt)).await.expect("stored");
    }
    store.checkpoint(&copy.path().join("db")).expect("a copy");
    let _ = store.end(ended(transaction(1), State::Accepted)).await.expect("stored");
    let _ = store.create(new_transaction(31)).await.expect("stored");
    assert!(store.checkpoint(&copy.path().join("db")).is_err(), "nothing is written over");

    let copied = open(&storage(copy.path()), &clock).expect("opened beside the running one");
    let first = copied.transaction(transaction_id(1)).await.expect("read").expect("there");
    assert_eq!(first.state, State::Pending);
    assert_eq!(copied.transaction(transaction_id(30)).await.expect("read"), Some(transaction(30)));
    assert_eq!(copied.transaction(transaction_id(31)).await.expect("read"), None);
}

#[tokio::test]
async fn every_enrolment_and_device_is_found_page_by_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&storage(folder.path()), &TestClock::new()).expect("a new database");
    let pending: Vec<_> = (1..=1_001).map(|salt| store.open_enrollment(new_enrollment(salt))).collect();
    for opened in pending {
        let _ = opened.await.expect("stored");
    }
    let (first, next) = store.enrollment_ids(None).expect("read");
    let (second, end) = store.enrollment_ids(next).expect("read");
    assert_eq!((first.len(), second.len(), end), (1_000, 1, None));
    let _ = store.enrol(code_hash(1), device(1), RULES, START).await.expect("stored");
    assert_eq!(store.device_ids(None).expect("read"), (vec![device_id(1)], None));
}

/// A backup from before an erasure knows the user again, until he is erased once more.
#[tokio::test]
async fn an_erasure_is_repeated_behind_a_backup() {
    let (folder, copy) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let clock = TestClock::new();
    let store = open(&storage(folder.path()), &clock).expect("a new database");
    let _ = store.create(new_transaction(1)).await.expect("stored");
    let _ = store.create(new_transaction(2)).await.expect("stored");
    let _ = store.end(ended(transaction(2), State::Accepted)).await.expect("stored");
    store.checkpoint(&copy.path().join("db")).expect("a copy");
    let erasures = async |store: &dyn Store| {
        for salt in [1, 2] {
            let (user, open) = (user(salt), vec![transaction_id(salt)]);
            let erasure = Erasure { user: user.clone(), open, by: AuditActor::Server, now: clock.now() };
            store.erase_user(erasure).await.expect("erased");
            assert_eq!(store.redact_ended(user, None).await.expect("taken out"), None);
        }
    };
    let told = async |store: &dyn Store| {
        let rows = store.audit(AuditQuery { limit: 100, ..AuditQuery::default() }).await.expect("read").rows;
        rows.iter().filter(|row| row.event.user.is_some()).count()
    };
    erasures(&store).await;
    assert_eq!(told(&store).await, 0);
    drop(store);

    let restored = open(&storage(copy.path()), &clock).expect("opened");
    assert_eq!(told(&restored).await, 3, "two starts and an end");
    erasures(&restored).await;
    assert_eq!(told(&restored).await, 0);
    for salt in [1, 2] {
        let left = restored.transaction(transaction_id(salt)).await.expect("read").expect("there");
        assert!(left.state.is_final() && left.content == tocsin_model::Content::default(), "{left:?}");
    }
    let checked = restored.check_audit(AuditCheckpoint::default()).await.expect("checked");
    assert!(matches!(checked, AuditChecked::Sound(_)), "{checked:?}");
}
