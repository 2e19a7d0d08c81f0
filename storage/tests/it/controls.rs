//! The controls that the memory back end has for tests of the layers above.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tocsin_model::State;
use tocsin_storage::memory::{MemoryOptions, MemoryStore};
use tocsin_storage::{Created, Ended, Pending, Store, StoreError, StoreErrorKind};

use crate::fixture::*;

fn store(queue_max: usize) -> MemoryStore {
    let mut options = MemoryOptions::new(TestClock::new().as_clock());
    options.commit_queue_max = queue_max;
    MemoryStore::new(options)
}

/// The answer, if it is there without waiting.
fn now<T>(pending: Pending<T>) -> Option<Result<T, StoreError>> {
    match pin!(pending).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

fn kind<T: std::fmt::Debug>(answer: Option<Result<T, StoreError>>) -> StoreErrorKind {
    answer.expect("answered at once").expect_err("refused").kind()
}

#[test]
fn an_answer_is_there_when_submit_returns() {
    assert_eq!(now(store(1).create(new_transaction(1))).expect("at once").expect("stored"), Created::New);
}

#[tokio::test]
async fn held_writes_wait_and_are_committed_in_their_order() {
    let store = store(2);
    store.hold_writes();
    let created = store.create(new_transaction(1));
    let ended = store.end(ended(transaction(1), State::Accepted));
    assert_eq!(store.queue_depth(), 2);
    assert_eq!(kind(now(store.create(new_transaction(2)))), StoreErrorKind::Busy);
    assert_eq!(store.transaction(transaction_id(1)).await.expect("reads go on"), None);
    store.release_writes();
    assert_eq!(now(created).expect("at once").expect("stored"), Created::New);
    assert_eq!(now(ended).expect("at once").expect("stored"), Ended::Stored);
    assert_eq!(store.queue_depth(), 0);
}

#[tokio::test]
async fn a_failed_write_stores_nothing_and_only_once() {
    let store = store(1);
    store.fail_next_write(StoreErrorKind::Busy);
    store.mark(transaction(9)).await.expect("a mark is not meant");
    assert_eq!(kind(now(store.create(new_transaction(1)))), StoreErrorKind::Busy);
    assert_eq!(store.transaction(transaction_id(1)).await.expect("read"), None);
    assert_eq!(store.create(new_transaction(1)).await.expect("answered"), Created::New);
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_stored() {
    let store = store(1);
    store.lose_next_answer();
    assert_eq!(kind(now(store.create(new_transaction(1)))), StoreErrorKind::Unknown);
    assert!(store.transaction(transaction_id(1)).await.expect("read").is_some());
}

#[tokio::test]
async fn a_stopped_store_refuses_what_waits_and_what_comes() {
    let store = store(2);
    store.hold_writes();
    let waiting = store.create(new_transaction(1));
    assert!(!*store.stopped().borrow());
    store.stop();
    assert!(*store.stopped().borrow());
    assert_eq!(kind(now(waiting)), StoreErrorKind::Stopped);
    assert_eq!(kind(now(store.create(new_transaction(2)))), StoreErrorKind::Stopped);
    assert_eq!(store.transaction(transaction_id(1)).await.expect("reads go on"), None);
}

#[test]
fn a_failed_sync_stops_the_store() {
    let store = store(1);
    store.fail_next_write(StoreErrorKind::Stopped);
    assert_eq!(kind(now(store.create(new_transaction(1)))), StoreErrorKind::Stopped);
    assert!(*store.stopped().borrow());
}

#[tokio::test]
async fn a_nearly_full_disk_refuses_only_what_is_new() {
    let store = store(1);
    let _ = store.create(new_transaction(1)).await.expect("stored");
    store.set_disk_full(true);
    assert_eq!(kind(now(store.create(new_transaction(2)))), StoreErrorKind::DiskFull);
    let stored = store.end(ended(transaction(1), State::Accepted)).await.expect("answered");
    assert_eq!(stored, Ended::Stored);
}
