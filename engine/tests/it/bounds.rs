//! Every bound answers, and room comes back.

use tocsin_engine::Until;
use tocsin_engine::protocol::DeliveryOutcome;
use tocsin_model::{
    DeliveryChoice, DeliveryReason, DeliveryStatus, DurationMs, EmailAddress, ErrorCode, Method,
    StartRequest, State, Transaction, TransactionId,
};

use crate::fixture::{Bank, SOON, Script, login, request, run, user};

fn portal() -> tocsin_model::ClientId {
    "portal".parse().expect("valid")
}

#[test]
fn one_start_too_many_is_told_when_to_come_back_and_leaves_nothing() {
    run(async {
        let bank = Bank::open("[engine]\ntransactions_in_flight_max = 1").await;
        let phone = bank.enrol("alice").await;
        let id = bank.start_login("alice").await.id;
        let busy = bank.handle.start(login("alice")).await.expect_err("no room");
        assert_eq!(busy.code, ErrorCode::Busy);
        assert!(busy.retry_after.is_some());
        assert_eq!(phone.answer(&bank, id, "accept").await, Ok(State::Accepted));
        assert!(bank.handle.start(login("alice")).await.is_ok(), "room has come back");
    });
}

#[test]
fn one_waiter_too_many_is_told_so() {
    run(async {
        let bank = Bank::open("[engine]\nwaiters_per_transaction_max = 1").await;
        bank.enrol("alice").await;
        let id = bank.start_login("alice").await.id;
        let handle = bank.handle.clone();
        let first = actix_rt::spawn(async move {
            handle.wait(&portal(), id, Until::Outcome, DurationMs::from_seconds(60)).await
        });
        while !bank.handle.metrics_text().contains("tocsin_waiters 1") {
            tokio::task::yield_now().await;
        }
        let refused = bank.handle.wait(&portal(), id, Until::Outcome, DurationMs::from_seconds(60)).await;
        assert!(refused.is_err_and(|problem| problem.code == ErrorCode::RateLimited));
        bank.handle.cancel(&portal(), id).await.expect("cancelled");
        assert_eq!(first.await.expect("ended").expect("a view").state, State::Cancelled);
    });
}

#[test]
fn a_waiter_is_told_of_any_change_when_it_asks_for_one_and_of_the_end_only_when_not() {
    run(async {
        let bank = Bank::open("").await;
        bank.enrol("alice").await;
        bank.network.set(Script::Hang);
        let started = bank.start_login("alice").await;
        let longest = DurationMs::from_seconds(30);
        let changed = bank
            .handle
            .wait(&portal(), started.id, Until::Change { after: started.revision }, longest)
            .await
            .expect("a view");
        assert!(changed.revision > started.revision && changed.state == State::Pending);
        let unchanged = bank
            .handle
            .wait(&portal(), started.id, Until::Outcome, DurationMs::new(50))
            .await
            .expect("a view");
        assert_eq!(unchanged.state, State::Pending);
    });
}

#[test]
fn an_answer_whose_signature_finds_no_thread_is_told_busy_and_changes_nothing() {
    run(async {
        let bank = Bank::open("[engine]\nsignature_threads = 2\nsignature_queue_max = 3").await;
        let phone = bank.enrol("alice").await;
        let id = bank.start_login("alice").await.id;
        let challenge = phone.fetch(&bank, id).await.expect("a challenge");
        let accept = phone.answer_to(&bank, &challenge, "accept");
        let hold = bank.handle.occupy_signature_threads().await;
        let busy = phone.send(&bank, id, &accept).await.expect_err("no thread is free");
        assert_eq!(busy.code, ErrorCode::Busy);
        assert_eq!(bank.view(id).await.state, State::Pending, "actors go on meanwhile");
        drop(hold);
        let deadline = std::time::Instant::now() + SOON;
        while phone.send(&bank, id, &accept).await != Ok(State::Accepted) {
            assert!(std::time::Instant::now() < deadline, "the threads are free again");
        }
    });
}

#[test]
fn a_full_provider_refuses_the_push_at_once() {
    run(async {
        let bank =
            Bank::open_with(|text| text.replace("breaker_faults", "queue_max = 1\nbreaker_faults")).await;
        bank.enrol("alice").await;
        bank.network.set(Script::Hang);
        let first = bank.start_login("alice").await.id;
        bank.until_pushed(1).await;
        let second = bank.start_login("alice").await.id;
        let ended = bank.until(second, |view| view.state.is_final()).await;
        let reason = ended.recipients[0].delivery.as_ref().and_then(|delivery| delivery.reason);
        assert_eq!(reason, Some(DeliveryReason::Busy));
        assert_eq!(bank.view(first).await.state, State::Pending);
    });
}

#[test]
fn an_open_breaker_refuses_starts_and_lets_one_try_after_its_time() {
    run(async {
        let bank = Bank::open("").await;
        bank.enrol("alice").await;
        bank.network.set(Script::End(DeliveryOutcome::Failed(DeliveryReason::Unavailable), Some(false)));
        for _ in 0..2 {
            let id = bank.start_login("alice").await.id;
            bank.until(id, |view| view.state.is_final()).await;
        }
        let deadline = std::time::Instant::now() + SOON;
        let refused = loop {
            match bank.handle.start(login("alice")).await {
                Err(problem) => break problem,
                Ok(_) => assert!(std::time::Instant::now() < deadline, "the breaker never opened"),
            }
        };
        assert_eq!(refused.code, ErrorCode::ProviderUnavailable);
        assert!(refused.retry_after.is_some());
        // The network is still down: the one that tries fails, and the next starts are refused again.
        let tried = until_let_through(&bank).await;
        bank.until(tried, |view| view.state.is_final()).await;
        let refused = bank.handle.start(login("alice")).await.expect_err("open again");
        assert_eq!(refused.code, ErrorCode::ProviderUnavailable);
        assert!(!bank.handle.readiness().providers[0].available);
        assert!(
            bank.handle.metrics_text().contains("tocsin_provider_breaker_open{provider=\"apns-main\"} 1")
        );

        bank.network.set(Script::End(DeliveryOutcome::Relayed, Some(true)));
        let good = until_let_through(&bank).await;
        bank.until(good, |view| delivered(view) == Some(DeliveryStatus::Relayed)).await;
        while !bank.handle.metrics_text().contains("tocsin_provider_breaker_open{provider=\"apns-main\"} 0") {
            assert!(std::time::Instant::now() < deadline, "the breaker never closed");
            tokio::task::yield_now().await;
        }
        assert!(bank.handle.start(login("alice")).await.is_ok());
    });
}

#[test]
fn a_provider_that_is_down_makes_the_server_unready_only_where_it_is_required() {
    run(async {
        for (required, is_ready) in [("[]", true), ("[\"apns-main\"]", false)] {
            let ops = format!("breaker_open_ms = 60000\n[ops]\nready_requires = {required}\n");
            let bank = Bank::open_with(|text| text.replace("breaker_open_ms = 200\n", &ops)).await;
            bank.enrol("alice").await;
            assert!(bank.handle.readiness().is_ready(), "nothing has been pushed yet");
            bank.network.set(Script::End(DeliveryOutcome::Failed(DeliveryReason::Unavailable), Some(false)));
            let deadline = std::time::Instant::now() + SOON;
            while bank.handle.readiness().providers[0].available {
                let _ = bank.handle.start(login("alice")).await;
                assert!(std::time::Instant::now() < deadline, "the breaker never opened");
            }
            let readiness = bank.handle.readiness();
            assert_eq!((readiness.providers[0].required, readiness.is_ready()), (!is_ready, is_ready));
            let shown = format!("tocsin_ready {}", u8::from(is_ready));
            assert!(bank.handle.metrics_text().contains(&shown), "{shown}");
        }
    });
}

/// The first transaction that an open breaker lets through to try.
async fn until_let_through(bank: &Bank) -> TransactionId {
    let deadline = std::time::Instant::now() + SOON;
    loop {
        if let Ok(started) = bank.handle.start(login("alice")).await {
            return started.transaction.id;
        }
        assert!(std::time::Instant::now() < deadline, "the breaker never let one try");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

fn delivered(view: &Transaction) -> Option<DeliveryStatus> {
    view.recipients.first()?.delivery.as_ref().map(|delivery| delivery.status)
}

/// Whoever fills the bound of a user with codes keeps no login of his out.
#[test]
fn what_supersedes_is_started_although_its_user_has_as_many_as_he_may() {
    run(async {
        let types = "[types.mail]\nmethod = \"email\"\nattempts_max = 3\n[types.own]\npurpose = \"login\"";
        let bank = Bank::open(types).await;
        bank.enrol("alice").await;
        let mail = || {
            let email = EmailAddress::parse("alice@example.com");
            bank.handle.start(StartRequest { email, ..request("alice", "mail") })
        };
        for _ in 0..10 {
            mail().await.expect("room");
        }
        assert_eq!(mail().await.expect_err("full").code, ErrorCode::RateLimited);
        for _ in 0..2 {
            let own = bank.handle.start(request("alice", "own")).await.expect("started").transaction;
            assert_eq!((own.state, own.method), (State::Pending, Method::Push));
        }
        let deadline = std::time::Instant::now() + SOON;
        while bank.handle.open_transactions_of(&user("alice")).len() > 11 {
            assert!(std::time::Instant::now() < deadline, "more than one login stays open");
            tokio::task::yield_now().await;
        }
        let handed = StartRequest { delivery: DeliveryChoice::RequestMessage, ..request("alice", "own") };
        let refused = bank.handle.start(handed).await.expect_err("it supersedes nothing");
        assert_eq!(refused.code, ErrorCode::RateLimited);
    });
}
