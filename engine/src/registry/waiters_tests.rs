use tocsin_model::{Delivery, FailureReason, Partition, State, UnixMs};

use super::*;
use crate::device::testing::login;

fn id(number: u8) -> TransactionId {
    TransactionId::compose(UnixMs::new(1), Partition::default(), [number; 16])
}

fn client(name: &str) -> ClientId {
    name.parse().expect("valid")
}

fn waiters(all_max: usize, per_transaction: usize, streams: usize) -> Waiters {
    Waiters::new(&EngineLimits {
        waiters_max: all_max,
        waiters_per_transaction_max: per_transaction,
        event_streams_per_client_max: streams,
        ..crate::testing::engine_limits()
    })
}

fn at(revision: u32, state: State) -> Arc<Transaction> {
    Arc::new(Transaction { id: id(1), revision, state, ..login() })
}

fn wait(waiters: &Waiters, until: Until) -> Result<Waiting, Problem> {
    waiters.wait(waiters.reserve()?, id(1), until)
}

#[tokio::test]
async fn each_waiter_is_woken_by_what_it_waits_for_and_by_the_outcome() {
    let waiters = waiters(9, 9, 9);
    let mut change = wait(&waiters, Until::Change { after: 2 }).expect("room");
    let mut outcome = wait(&waiters, Until::Outcome).expect("room");
    waiters.publish(&at(2, State::Pending), Instant::now());
    waiters.publish(&at(3, State::Pending), Instant::now());
    waiters.publish(&at(4, State::Accepted), Instant::now());
    assert_eq!(change.changed().await.expect("woken").transaction.revision, 3);
    assert_eq!(outcome.changed().await.expect("woken").transaction.revision, 4);
}

#[test]
fn sent_is_any_word_of_a_provider_and_nothing_to_send() {
    let mut transaction = Transaction { keep_for_polling: true, ..login() };
    for (status, is_sent) in [
        (DeliveryStatus::Queued, false),
        (DeliveryStatus::Sent, false),
        (DeliveryStatus::Relayed, true),
        (DeliveryStatus::Fetched, true),
        (DeliveryStatus::Failed, true),
        (DeliveryStatus::Unknown, true),
    ] {
        let provider = "apns-main".parse().expect("valid");
        transaction.recipients[0].delivery = Some(Delivery { provider, status, reason: None });
        assert_eq!(Until::Sent.has_come(&transaction), is_sent, "{status:?}");
    }
    transaction.recipients[0].delivery = None;
    assert!(Until::Sent.has_come(&transaction));
}

#[test]
fn sent_awaits_the_end_that_refused_pushes_bring() {
    let provider = "apns-main".parse().expect("valid");
    let mut transaction = login();
    transaction.recipients[0].delivery =
        Some(Delivery { provider, status: DeliveryStatus::Failed, reason: None });
    assert!(!Until::Sent.has_come(&transaction));
    transaction.state = State::Failed(FailureReason::ProviderRejected);
    assert!(Until::Sent.has_come(&transaction));
}

#[tokio::test]
async fn a_listener_hears_the_newest_of_several_changes_and_nothing_behind_the_outcome() {
    let waiters = waiters(9, 9, 9);
    let mut listening = waiters.listen(&client("portal"), id(1)).expect("room");
    waiters.publish(&at(2, State::Pending), Instant::now());
    waiters.publish(&at(3, State::Pending), Instant::now());
    assert_eq!(listening.changed().await.expect("told").revision, 3);
    waiters.publish(&at(4, State::Declined), Instant::now());
    waiters.publish(&at(5, State::Declined), Instant::now());
    assert_eq!(listening.changed().await.expect("told").revision, 4);
    assert_eq!(listening.changed().await, None);
}

#[test]
fn each_bound_refuses_the_one_beyond_it_and_a_dropped_waiter_makes_room() {
    for (waiters, code) in [(waiters(1, 9, 9), ErrorCode::Busy), (waiters(9, 1, 9), ErrorCode::RateLimited)] {
        let first = wait(&waiters, Until::Outcome).expect("room for one");
        assert_eq!(wait(&waiters, Until::Outcome).expect_err("no room for two").code, code);
        assert_eq!(waiters.listen(&client("portal"), id(1)).expect_err("no room").code, code);
        drop(first);
        assert!(wait(&waiters, Until::Outcome).is_ok(), "{code}");
    }
}

#[test]
fn streams_are_bounded_by_client() {
    let waiters = waiters(9, 9, 1);
    let first = waiters.listen(&client("portal"), id(1)).expect("room for one");
    let refused = waiters.listen(&client("portal"), id(2)).expect_err("no room for two");
    assert_eq!(refused.code, ErrorCode::RateLimited);
    assert!(waiters.listen(&client("other"), id(2)).is_ok());
    drop(first);
    assert!(waiters.listen(&client("portal"), id(2)).is_ok());
}

#[test]
fn who_has_gone_leaves_nothing_behind() {
    let waiters = waiters(9, 9, 9);
    drop(wait(&waiters, Until::Outcome));
    drop(waiters.listen(&client("portal"), id(1)));
    assert_eq!(waiters.count(), 0);
    assert!(waiters.by_transaction.is_empty());
    assert!(waiters.streams_by_client.is_empty());
}

#[tokio::test]
async fn a_shutdown_lets_everybody_go() {
    let waiters = waiters(9, 9, 9);
    let mut waiting = wait(&waiters, Until::Outcome).expect("room");
    let mut listening = waiters.listen(&client("portal"), id(1)).expect("room");
    waiters.release_all();
    assert!(waiting.changed().await.is_none());
    assert_eq!(listening.changed().await, None);
}
