//! Handlers that panic, writes that get lost: nothing acknowledged is lost, nobody is left waiting.

use tocsin_engine::Until;
use tocsin_engine::protocol::DeliveryOutcome;
use tocsin_model::{DeliveryStatus, DurationMs, ErrorCode, State, Transaction};
use tocsin_storage::StoreErrorKind;

use crate::fixture::{Bank, SOON, Script, login, run};

fn portal() -> tocsin_model::ClientId {
    "portal".parse().expect("valid")
}

fn status(view: &Transaction) -> Option<DeliveryStatus> {
    view.recipients.first().and_then(|recipient| recipient.delivery.as_ref()).map(|delivery| delivery.status)
}

/// Waits until the actor has fallen so often.
pub async fn until_faults(bank: &Bank, actor: &str, count: usize) {
    let line = format!("tocsin_actor_faults_total{{actor=\"{actor}\"}} {count}");
    let deadline = std::time::Instant::now() + SOON;
    while !bank.handle.metrics_text().contains(&line) {
        assert!(std::time::Instant::now() < deadline, "it never fell");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

#[test]
fn a_fallen_transaction_comes_back_with_state_counters_deadline_and_waiters() {
    run(async {
        let bank = Bank::open("").await;
        let phone = bank.enrol("alice").await;
        let started = bank.start_login("alice").await;
        let id = started.id;
        bank.until(id, |view| status(view) == Some(DeliveryStatus::Relayed)).await;
        assert_eq!(bank.handle.try_wrong(&portal(), id).await, Ok(2));
        let handle = bank.handle.clone();
        let waiting = actix_rt::spawn(async move {
            handle.wait(&portal(), id, Until::Outcome, DurationMs::from_seconds(60)).await
        });
        assert!(bank.handle.inject_transaction_fault(id));
        until_faults(&bank, "transaction", 1).await;
        let view = bank.view(id).await;
        assert_eq!((view.state, view.expires_at), (State::Pending, started.expires_at));
        assert_eq!(view.attempts.used, 1);
        assert_eq!(bank.network.pushes().len(), 1, "what was relayed is not pushed again");
        assert_eq!(phone.answer(&bank, id, "accept").await, Ok(State::Accepted));
        assert_eq!(waiting.await.expect("ended").expect("a view").state, State::Accepted);
    });
}

#[test]
fn a_transaction_that_falls_with_its_push_in_flight_pushes_once_more_under_the_same_id() {
    run(async {
        let bank = Bank::open("").await;
        bank.enrol("alice").await;
        bank.network.set(Script::Hang);
        let id = bank.start_login("alice").await.id;
        bank.until_pushed(1).await;
        bank.network.set(Script::End(DeliveryOutcome::Relayed, Some(true)));
        assert!(bank.handle.inject_transaction_fault(id));
        // Nobody asks for it: its supervisor brings it back.
        bank.until_pushed(2).await;
        bank.until(id, |view| status(view) == Some(DeliveryStatus::Relayed)).await;
        let pushes = bank.network.pushes();
        assert_eq!(pushes.len(), 2);
        assert_eq!(
            (pushes[0].push_id, pushes[0].transaction_id),
            (pushes[1].push_id, pushes[1].transaction_id)
        );
    });
}

#[test]
fn a_transaction_that_keeps_falling_still_ends_at_its_deadline() {
    run(async {
        let bank = Bank::open("").await;
        bank.enrol("alice").await;
        let request = crate::fixture::request("alice", "blink");
        let id = bank.handle.start(request).await.expect("started").transaction.id;
        // One more than it is revived for; the last time nobody asks for it.
        for count in 1..=6 {
            bank.view(id).await;
            assert!(bank.handle.inject_transaction_fault(id));
            until_faults(&bank, "transaction", count).await;
        }
        let timed_out = "tocsin_transactions_ended_total{method=\"push\",state=\"timeout\",type=\"blink\"} 1";
        let deadline = std::time::Instant::now() + SOON;
        while !bank.handle.metrics_text().contains(timed_out) {
            assert!(
                std::time::Instant::now() < deadline,
                "nobody looked at it\n{}",
                bank.handle.metrics_text()
            );
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        assert_eq!(bank.until(id, |view| view.state.is_final()).await.state, State::Timeout);
    });
}

#[test]
fn an_actor_that_falls_before_its_create_is_answered_still_tells_its_caller() {
    run(async {
        let bank = Bank::open("").await;
        bank.enrol("alice").await;
        bank.store.hold_writes();
        let handle = bank.handle.clone();
        let starting = actix_rt::spawn(async move { handle.start(login("alice")).await });
        let user = crate::fixture::user("alice");
        let deadline = std::time::Instant::now() + SOON;
        let id = loop {
            if let Some(id) = bank.handle.open_transactions_of(&user).first().copied() {
                break id;
            }
            assert!(std::time::Instant::now() < deadline, "it never began");
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        };
        while !bank.handle.inject_transaction_fault(id) {
            tokio::task::yield_now().await;
        }
        until_faults(&bank, "transaction", 1).await;
        // The revival has looked for it more than once, and found nothing.
        let before = bank.store.looks();
        while bank.store.looks() < before + 3 {
            assert!(std::time::Instant::now() < deadline, "nobody looked for it");
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        bank.store.release_writes();
        bank.until_pushed(1).await;
        match starting.await.expect("ended") {
            Ok(started) => assert_eq!(bank.view(started.transaction.id).await.state, State::Pending),
            Err(problem) => assert_eq!(problem.code, ErrorCode::Busy, "unknown: read first, then try again"),
        }
    });
}

#[test]
fn a_fallen_provider_comes_back_and_its_transactions_hear_of_both() {
    run(async {
        let bank = Bank::open("").await;
        let phone = bank.enrol("alice").await;
        bank.network.set(Script::Hang);
        let id = bank.start_login("alice").await.id;
        bank.until_pushed(1).await;
        bank.until(id, |view| status(view) == Some(DeliveryStatus::Sent)).await;
        assert!(bank.handle.inject_provider_fault(&"apns-main".parse().expect("valid")));
        bank.until(id, |view| status(view) == Some(DeliveryStatus::Unknown)).await;
        bank.network.set(Script::End(DeliveryOutcome::Relayed, Some(true)));
        bank.until(id, |view| status(view) == Some(DeliveryStatus::Relayed)).await;
        let pushes = bank.network.pushes();
        assert_eq!(pushes.len(), 2, "once more, under the same ids");
        assert_eq!(pushes[0].push_id, pushes[1].push_id);
        assert_eq!(phone.answer(&bank, id, "accept").await, Ok(State::Accepted));
        let next = bank.start_login("alice").await.id;
        bank.until(next, |view| status(view) == Some(DeliveryStatus::Relayed)).await;
    });
}

#[test]
fn a_driver_that_panics_leaves_the_push_unknown_and_the_transaction_answerable() {
    run(async {
        let bank = Bank::open("").await;
        let phone = bank.enrol("alice").await;
        bank.network.set(Script::Panic);
        let id = bank.start_login("alice").await.id;
        bank.until(id, |view| status(view) == Some(DeliveryStatus::Unknown)).await;
        until_faults(&bank, "driver", 1).await;
        assert_eq!(phone.answer(&bank, id, "accept").await, Ok(State::Accepted));
    });
}

#[test]
fn an_outcome_whose_acknowledgement_was_lost_is_read_back() {
    run(async {
        let bank = Bank::open("").await;
        let phone = bank.enrol("alice").await;
        let id = bank.start_login("alice").await.id;
        bank.until(id, |view| status(view) == Some(DeliveryStatus::Relayed)).await;
        let challenge = phone.fetch(&bank, id).await.expect("a challenge");
        bank.store.lose_next_answer();
        let accept = phone.answer_to(&bank, &challenge, "accept");
        assert_eq!(phone.send(&bank, id, &accept).await, Ok(State::Accepted));
        assert_eq!(bank.view(id).await.state, State::Accepted);
    });
}

#[test]
fn a_refused_write_tells_its_caller_and_leaves_the_transaction_open() {
    run(async {
        let bank = Bank::open("").await;
        let phone = bank.enrol("alice").await;
        let id = bank.start_login("alice").await.id;
        bank.until(id, |view| status(view) == Some(DeliveryStatus::Relayed)).await;
        let challenge = phone.fetch(&bank, id).await.expect("a challenge");
        bank.store.fail_next_write(StoreErrorKind::Busy);
        let accept = phone.answer_to(&bank, &challenge, "accept");
        let busy = phone.send(&bank, id, &accept).await.expect_err("the storage is busy");
        assert_eq!(busy.code, ErrorCode::Busy);
        assert!(busy.retry_after.is_some());
        assert_eq!(phone.send(&bank, id, &accept).await, Ok(State::Accepted));
    });
}

#[test]
fn a_stopped_store_acknowledges_nothing_and_is_not_ready() {
    run(async {
        let bank = Bank::open("").await;
        bank.enrol("alice").await;
        bank.store.stop();
        let refused = bank.handle.start(login("alice")).await.expect_err("nothing can be stored");
        assert_eq!(refused.code, ErrorCode::StorageUnavailable);
        assert!(!bank.handle.readiness().is_ready());
    });
}
