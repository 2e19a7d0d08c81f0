//! Closing pushes: sent when there is room, and the first to be left out.

use tocsin_engine::protocol::{DeliveryOutcome, PushContent};
use tocsin_model::{DeliveryReason, DeliveryStatus, State, Transaction, TransactionId};

use crate::fixture::{Bank, SOON, Script, login, request, run};

fn portal() -> tocsin_model::ClientId {
    "portal".parse().expect("valid")
}

/// The closing pushes that the network was given.
fn closings(bank: &Bank) -> Vec<State> {
    let closed = |push: &tocsin_engine::protocol::Push| match push.content {
        PushContent::Closed(state) => Some(state),
        PushContent::Ask | PushContent::AskInClear { .. } | PushContent::DeviceAdded => None,
    };
    bank.network.pushes().iter().filter_map(closed).collect()
}

/// A login whose push was taken.
async fn prompted(bank: &Bank, user_id: &str) -> TransactionId {
    let id = bank.start_login(user_id).await.id;
    let is_taken = |view: &Transaction| {
        view.recipients[0].delivery.as_ref().is_some_and(|push| push.status == DeliveryStatus::Relayed)
    };
    bank.until(id, is_taken).await;
    id
}

async fn until_text(bank: &Bank, line: &str) {
    let deadline = tokio::time::Instant::now() + SOON;
    while !bank.handle.metrics_text().lines().any(|found| found == line) {
        assert!(tokio::time::Instant::now() < deadline, "no {line:?} in\n{}", bank.handle.metrics_text());
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_withdrawn_request_is_cleared_under_its_own_collapse_id() {
    run(async {
        let bank = Bank::open("").await;
        bank.enrol("alice").await;
        let id = prompted(&bank, "alice").await;
        bank.handle.cancel(&portal(), id).await.expect("cancelled");
        bank.until_pushed(2).await;
        assert_eq!(closings(&bank), [State::Cancelled]);
        let pushes = bank.network.pushes();
        assert_eq!(pushes[0].transaction_id, pushes[1].transaction_id);
        assert_ne!(pushes[0].push_id, pushes[1].push_id);
    });
}

/// With a quarter of the queue in hand no closing push is taken, and every prompt still is.
#[test]
fn closing_pushes_are_the_first_to_be_left_out() {
    run(async {
        let bank =
            Bank::open_with(|text| text.replace("breaker_faults", "queue_max = 4\nbreaker_faults")).await;
        for user in ["alice", "bob", "carol"] {
            bank.enrol(user).await;
        }
        let id = prompted(&bank, "alice").await;
        bank.network.set(Script::Hang);
        bank.start_login("bob").await;
        bank.until_pushed(2).await;
        bank.handle.cancel(&portal(), id).await.expect("cancelled");
        until_text(&bank, "tocsin_closing_pushes_shed_total 1").await;
        assert!(closings(&bank).is_empty());
        assert!(!bank.handle.metrics_text().contains("reason=\"busy\""), "no push has failed");
        bank.handle.start(login("carol")).await.expect("started");
        bank.until_pushed(3).await;
    });
}

/// The one try that an open breaker lets through when its time has passed is for a prompt.
#[test]
fn a_closing_push_takes_no_prompts_try() {
    run(async {
        let bank = Bank::open("").await;
        bank.enrol("alice").await;
        let id = prompted(&bank, "alice").await;
        bank.network.set(Script::End(DeliveryOutcome::Failed(DeliveryReason::Unavailable), Some(false)));
        let is_open = || !bank.handle.readiness().providers[0].available;
        let deadline = tokio::time::Instant::now() + SOON;
        while !is_open() {
            let _ = bank.handle.start(login("alice")).await;
            assert!(tokio::time::Instant::now() < deadline, "the breaker never opened");
        }
        while is_open() {
            assert!(tokio::time::Instant::now() < deadline, "the breaker's time never passed");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        bank.network.set(Script::End(DeliveryOutcome::Relayed, Some(true)));
        bank.handle.cancel(&portal(), id).await.expect("cancelled");
        until_text(&bank, "tocsin_closing_pushes_shed_total 1").await;
        assert!(closings(&bank).is_empty());
        prompted(&bank, "alice").await;
    });
}

/// The network takes the closing push and never says a word of it.
#[test]
fn nobody_waits_for_a_closing_push() {
    run(async {
        let bank =
            Bank::open_with(|text| text.replace("[apps.bank]\n", "[apps.bank]\nmode = \"multiple\"\n")).await;
        let (deciding, _other) = (bank.enrol("alice").await, bank.enrol("alice").await);
        // The first phone is told of the second.
        bank.until_pushed(1).await;
        let id = bank.start_login("alice").await.id;
        let is_taken = |view: &Transaction| {
            let mut pushes = view.recipients.iter().filter_map(|phone| phone.delivery.as_ref());
            pushes.all(|push| push.status == DeliveryStatus::Relayed)
        };
        bank.until(id, is_taken).await;
        bank.network.set(Script::Hang);
        assert_eq!(deciding.answer(&bank, id, "accept").await, Ok(State::Accepted));
        bank.until_pushed(4).await;
        assert_eq!(closings(&bank), [State::Accepted]);
        assert_eq!(bank.view(id).await.state, State::Accepted);
        bank.handle.start(login("alice")).await.expect("started beside it");
        bank.until_pushed(6).await;
    });
}

/// A phone knows the deadline, and what never reached it shows nothing.
#[test]
fn nothing_is_cleared_after_a_deadline_or_where_nothing_is_shown() {
    run(async {
        let bank = Bank::open("").await;
        bank.enrol("alice").await;
        let late = bank.handle.start(request("alice", "blink")).await.expect("started").transaction;
        bank.until(late.id, |view| view.state == State::Timeout).await;
        bank.network.set(Script::End(DeliveryOutcome::Failed(DeliveryReason::RequestRefused), Some(true)));
        let failed = bank.handle.start(request("alice", "patient")).await.expect("started").transaction;
        bank.until(failed.id, |view| {
            view.recipients[0].delivery.as_ref().is_some_and(|push| push.status == DeliveryStatus::Failed)
        })
        .await;
        bank.handle.cancel(&portal(), failed.id).await.expect("cancelled");
        bank.network.set(Script::End(DeliveryOutcome::Relayed, Some(true)));
        let shown = prompted(&bank, "alice").await;
        bank.handle.cancel(&portal(), shown).await.expect("cancelled");
        bank.until_pushed(4).await;
        let closed: Vec<_> = bank.network.pushes().iter().skip(2).map(|push| push.transaction_id).collect();
        assert_eq!((closed, closings(&bank)), (vec![shown, shown], vec![State::Cancelled]));
    });
}
