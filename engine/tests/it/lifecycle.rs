//! A transaction from its start to its end, through restarts.

use std::time::{Duration, Instant};

use tocsin_engine::protocol::DeliveryOutcome;
use tocsin_engine::{Drained, Heard, Until};
use tocsin_model::{
    AuditActor, DeliveryReason, DeviceId, DurationMs, ErrorCode, FailureReason, State, TransactionId,
};
use tocsin_storage::{Revoked, Store as _};

use crate::fixture::{Bank, SOON, Script, is_relayed, login, request, run, with_key};

fn portal() -> tocsin_model::ClientId {
    "portal".parse().expect("valid")
}

#[test]
fn an_approval_reaches_the_portal_that_waits() {
    run(async {
        let bank = Bank::open("").await;
        let phone = bank.enrol("alice").await;
        let transaction = bank.start_login("alice").await;
        assert_eq!(transaction.state, State::Pending);
        bank.until_pushed(1).await;
        let handle = bank.handle.clone();
        let (client, id) = (portal(), transaction.id);
        let waiting = actix_rt::spawn(async move {
            handle.wait(&client, id, Until::Outcome, DurationMs::from_seconds(30)).await
        });
        assert_eq!(phone.answer(&bank, transaction.id, "accept").await, Ok(State::Accepted));
        let told = waiting.await.expect("ended").expect("a view");
        assert_eq!(told.state, State::Accepted);
        assert!(told.answer.as_ref().is_some_and(|answer| answer.device_id.to_string() == phone.device_id));
        assert_eq!(bank.network.pushes().len(), 1);
    });
}

#[test]
fn the_winning_answer_again_is_answered_alike_and_another_one_is_refused() {
    run(async {
        let bank = Bank::open("").await;
        let phone = bank.enrol("alice").await;
        let id = bank.start_login("alice").await.id;
        let challenge = phone.fetch(&bank, id).await.expect("a challenge");
        let decline = phone.answer_to(&bank, &challenge, "decline");
        assert_eq!(phone.send(&bank, id, &decline).await, Ok(State::Declined));
        assert_eq!(phone.send(&bank, id, &decline).await, Ok(State::Declined));
        let again = phone.answer_to(&bank, &challenge, "decline");
        assert_ne!(again, decline, "other bytes of the same answer");
        assert_eq!(phone.send(&bank, id, &again).await, Ok(State::Declined));
        let accept = phone.answer_to(&bank, &challenge, "accept");
        let refused = phone.send(&bank, id, &accept).await.expect_err("too late");
        assert_eq!((refused.code, refused.state), (ErrorCode::TransactionFinal, Some(State::Declined)));
    });
}

#[test]
fn who_observes_a_transaction_is_told_of_silence_once_each_interval() {
    run(async {
        const INTERVAL: Duration = Duration::from_millis(50);
        let bank = Bank::open("").await;
        let phone = bank.enrol("alice").await;
        let id = bank.start_login("alice").await.id;
        bank.until(id, is_relayed).await;
        let mut observation = bank.handle.observe(&portal(), id, None).await.expect("its own");
        assert!(
            matches!(observation.next(INTERVAL).await, Heard::State(view) if view.state == State::Pending)
        );
        for _ in 0..3 {
            let begun = Instant::now();
            assert!(matches!(observation.next(INTERVAL).await, Heard::Nothing));
            assert!(begun.elapsed() >= INTERVAL);
        }
        assert_eq!(phone.answer(&bank, id, "accept").await, Ok(State::Accepted));
        assert!(matches!(observation.next(SOON).await, Heard::State(view) if view.state == State::Accepted));
        assert!(matches!(observation.next(SOON).await, Heard::End));
    });
}

#[test]
fn an_answer_is_repeated_alike_after_its_actor_has_gone() {
    run(async {
        let bank = Bank::open("[engine]\nlinger_ms = 0").await;
        let phone = bank.enrol("alice").await;
        let id = bank.start_login("alice").await.id;
        let challenge = phone.fetch(&bank, id).await.expect("a challenge");
        let accept = phone.answer_to(&bank, &challenge, "accept");
        assert_eq!(phone.send(&bank, id, &accept).await, Ok(State::Accepted));
        let bank = bank.restart().await;
        assert_eq!(phone.send(&bank, id, &accept).await, Ok(State::Accepted));
        assert!(
            phone.fetch(&bank, id).await.is_err_and(|problem| problem.code == ErrorCode::TransactionFinal)
        );
    });
}

#[test]
fn nobody_answering_ends_in_a_timeout_not_before_the_deadline() {
    run(async {
        let bank = Bank::open("").await;
        let phone = bank.enrol("alice").await;
        let id = bank.handle.start(request("alice", "blink")).await.expect("started").transaction.id;
        let challenge = phone.fetch(&bank, id).await.expect("a challenge");
        let late = phone.answer_to(&bank, &challenge, "accept");
        let ended = bank.until(id, |view| view.state.is_final()).await;
        assert_eq!(ended.state, State::Timeout);
        assert!(ended.ended_at.is_some_and(|ended_at| ended_at >= ended.expires_at));
        let refused = phone.send(&bank, id, &late).await.expect_err("too late");
        assert_eq!((refused.code, refused.state), (ErrorCode::TransactionFinal, Some(State::Timeout)));
    });
}

#[test]
fn a_cancelled_transaction_takes_no_answer() {
    run(async {
        let bank = Bank::open("").await;
        let phone = bank.enrol("alice").await;
        let id = bank.start_login("alice").await.id;
        let challenge = phone.fetch(&bank, id).await.expect("a challenge");
        let cancelled = bank.handle.cancel(&portal(), id).await.expect("cancelled");
        assert_eq!(cancelled.state, State::Cancelled);
        let accept = phone.answer_to(&bank, &challenge, "accept");
        assert!(phone.send(&bank, id, &accept).await.is_err_and(|p| p.code == ErrorCode::TransactionFinal));
        let again = bank.handle.cancel(&portal(), id).await.expect_err("final");
        assert_eq!((again.code, again.state), (ErrorCode::TransactionFinal, Some(State::Cancelled)));
    });
}

#[test]
fn another_clients_transaction_looks_unknown() {
    run(async {
        let bank = Bank::open("").await;
        bank.enrol("alice").await;
        let id = bank.start_login("alice").await.id;
        let stranger = "stranger".parse().expect("valid");
        assert!(bank.handle.transaction(&stranger, id).await.is_err_and(|p| p.code == ErrorCode::NotFound));
        assert!(bank.handle.cancel(&stranger, id).await.is_err_and(|p| p.code == ErrorCode::NotFound));
        assert_eq!(bank.view(id).await.state, State::Pending);
    });
}

#[test]
fn one_idempotency_key_is_one_transaction_and_one_push_however_many_call_at_once() {
    run(async {
        let bank = Bank::open("").await;
        bank.enrol("alice").await;
        bank.store.hold_writes();
        let calls: Vec<_> = (0..5)
            .map(|_| {
                let handle = bank.handle.clone();
                actix_rt::spawn(async move { handle.start(with_key(login("alice"), "order-1", 1)).await })
            })
            .collect();
        tokio::task::yield_now().await;
        bank.store.release_writes();
        let mut ids = std::collections::HashSet::new();
        let mut new = 0;
        for call in calls {
            let started = call.await.expect("ended").expect("started");
            new += usize::from(!started.seen_before);
            ids.insert(started.transaction.id);
        }
        assert_eq!((ids.len(), new), (1, 1));
        let mismatch =
            bank.handle.start(with_key(login("alice"), "order-1", 2)).await.expect_err("another body");
        assert_eq!(mismatch.code, ErrorCode::IdempotencyMismatch);
        let again = bank.handle.start(with_key(login("alice"), "order-1", 1)).await.expect("started");
        assert!(again.seen_before);
        bank.until_pushed(1).await;
        assert_eq!(bank.network.pushes().len(), 1);
    });
}

#[test]
fn a_challenge_keeps_its_nonce_over_a_restart() {
    run(async {
        let bank = Bank::open("").await;
        let phone = bank.enrol("alice").await;
        let id = bank.start_login("alice").await.id;
        let before = phone.fetch(&bank, id).await.expect("a challenge");
        let bank = bank.restart().await;
        let after = phone.fetch(&bank, id).await.expect("a challenge");
        assert_eq!(after["nonce"], before["nonce"]);
        assert_eq!(
            phone.send(&bank, id, &phone.answer_to(&bank, &before, "accept")).await,
            Ok(State::Accepted)
        );
    });
}

#[test]
fn open_transactions_live_again_after_a_restart_with_their_deadline() {
    run(async {
        let bank = Bank::open("").await;
        let phone = bank.enrol("alice").await;
        let open = bank.start_login("alice").await;
        let blink = bank.handle.start(request("alice", "blink")).await.expect("started").transaction;
        bank.until(open.id, is_relayed).await;
        bank.until(blink.id, is_relayed).await;
        let bank = bank.restart().await;
        let view = bank.view(open.id).await;
        assert_eq!((view.state, view.expires_at), (State::Pending, open.expires_at));
        assert_eq!(phone.answer(&bank, open.id, "accept").await, Ok(State::Accepted));
        assert_eq!(bank.until(blink.id, |view| view.state.is_final()).await.state, State::Timeout);
        assert_eq!(bank.network.pushes().len(), 2, "what was relayed is not pushed again");
    });
}

#[test]
fn a_push_cut_by_the_restart_is_repeated_under_the_same_id() {
    run(async {
        let bank = Bank::open("").await;
        bank.enrol("alice").await;
        bank.network.set(Script::Hang);
        let id = bank.start_login("alice").await.id;
        bank.until_pushed(1).await;
        bank.network.set(Script::End(DeliveryOutcome::Relayed, Some(true)));
        let bank = bank.restart().await;
        bank.until(id, is_relayed).await;
        let pushes = bank.network.pushes();
        assert_eq!(pushes.len(), 2);
        assert_eq!(pushes[0].push_id, pushes[1].push_id);
    });
}

#[test]
fn refused_pushes_fail_it_and_a_patient_type_waits_for_the_phone() {
    run(async {
        let bank = Bank::open("").await;
        let phone = bank.enrol("alice").await;
        bank.network.set(Script::End(DeliveryOutcome::Failed(DeliveryReason::TokenSuspect), None));
        let id = bank.start_login("alice").await.id;
        let ended = bank.until(id, |view| view.state.is_final()).await;
        assert_eq!(ended.state, State::Failed(FailureReason::ProviderRejected));
        let patient = bank.handle.start(request("alice", "patient")).await.expect("started").transaction.id;
        assert_eq!(phone.answer(&bank, patient, "accept").await, Ok(State::Accepted));
    });
}

#[test]
fn a_removed_phone_ends_its_transactions_and_is_refused() {
    run(async {
        let bank = Bank::open("").await;
        let phone = bank.enrol("alice").await;
        let id = bank.start_login("alice").await.id;
        let device_id = phone.device_id.parse().expect("an id");
        bank.handle
            .revoke_device(AuditActor::Server, &crate::fixture::user("alice"), device_id)
            .await
            .expect("revoked");
        let ended = bank.until(id, |view| view.state.is_final()).await;
        assert_eq!(ended.state, State::Failed(FailureReason::DeviceRevoked));
        assert!(phone.fetch(&bank, id).await.is_err_and(|problem| problem.code == ErrorCode::DeviceRevoked));
        let refused = bank.handle.start(login("alice")).await.expect_err("no phone is left");
        assert_eq!(refused.code, ErrorCode::NoDevice);
    });
}

/// A login of Alice with two phones, of which the second has gone from it.
async fn login_that_one_phone_left(
    go: impl AsyncFn(&Bank, DeviceId),
) -> (Bank, TransactionId, [crate::fixture::Phone; 2]) {
    let several = |text: &str| text.replace("[apps.bank]", "[apps.bank]\nmode = \"multiple\"");
    let bank = Bank::open_with(several).await;
    let phones = [bank.enrol("alice").await, bank.enrol("alice").await];
    let id = bank.start_login("alice").await.id;
    bank.until(id, |view| view.recipients.len() == 2).await;
    go(&bank, phones[1].device_id.parse().expect("an id")).await;
    bank.until(id, |view| view.recipients.len() == 1).await;
    (bank, id, phones)
}

#[test]
fn one_of_several_phones_that_was_removed_stays_gone_after_a_restart() {
    run(async {
        let (bank, id, [stays, gone]) = login_that_one_phone_left(async |bank, device_id| {
            let user = crate::fixture::user("alice");
            bank.handle.revoke_device(AuditActor::Server, &user, device_id).await.expect("revoked");
        })
        .await;
        let stored = bank.store.transaction(id).await.expect("read").expect("there");
        assert_eq!(stored.recipients.len(), 1, "it is stored, not only known");
        let bank = bank.restart().await;
        let view = bank.view(id).await;
        assert_eq!((view.state, view.recipients.len()), (State::Pending, 1));
        let refused = gone.answer(&bank, id, "accept").await.expect_err("it was removed");
        assert_eq!(refused.code, ErrorCode::DeviceRevoked);
        assert_eq!(stays.answer(&bank, id, "accept").await, Ok(State::Accepted));
    });
}

#[test]
fn a_phone_that_was_suspended_for_a_while_is_not_asked_again_after_a_restart() {
    run(async {
        let user = crate::fixture::user("alice");
        let manage = async |bank: &Bank, device_id, suspended| {
            let by = AuditActor::Server;
            bank.handle.manage_device(by, &user, device_id, None, Some(suspended)).await.expect("changed");
        };
        let (bank, id, [stays, gone]) =
            login_that_one_phone_left(async |bank, device_id| manage(bank, device_id, true).await).await;
        manage(&bank, gone.device_id.parse().expect("an id"), false).await;
        let bank = bank.restart().await;
        assert_eq!(bank.view(id).await.recipients.len(), 1);
        let refused = gone.fetch(&bank, id).await.expect_err("it has left");
        assert_eq!(refused.code, ErrorCode::NotFound);
        assert_eq!(stays.answer(&bank, id, "accept").await, Ok(State::Accepted));
    });
}

/// As when the process ends between the removal and the word of it.
#[test]
fn a_phone_whose_removal_was_told_to_nobody_is_noticed_after_a_restart() {
    run(async {
        let bank = Bank::open("").await;
        let removed = bank.enrol("alice").await;
        bank.enrol("bob").await;
        let (asks_nobody, stays) = (bank.start_login("alice").await.id, bank.start_login("bob").await.id);
        // A push that is not known to be with the network is made again, and may find the phone gone before the look does.
        bank.until(asks_nobody, is_relayed).await;
        let (device_id, now) = (removed.device_id.parse().expect("an id"), bank.clock.now());
        let revoked = bank.store.revoke_device(device_id, AuditActor::Server, now).await;
        assert_eq!(revoked.expect("answered"), Revoked::Stored);
        let bank = bank.restart().await;
        let ended = bank.until(asks_nobody, |view| view.state.is_final()).await;
        assert_eq!(ended.state, State::Failed(FailureReason::DeviceRevoked));
        assert_eq!(bank.view(stays).await.state, State::Pending);
    });
}

#[test]
fn a_drain_lets_waiters_go_and_takes_nothing_new() {
    run(async {
        let bank = Bank::open("").await;
        bank.enrol("alice").await;
        let id = bank.start_login("alice").await.id;
        let handle = bank.handle.clone();
        let waiting = actix_rt::spawn(async move {
            handle.wait(&portal(), id, Until::Outcome, DurationMs::from_seconds(60)).await
        });
        let deadline = std::time::Instant::now() + SOON;
        while !bank.handle.metrics_text().contains("tocsin_waiters 1") {
            assert!(std::time::Instant::now() < deadline, "it never waited");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let handle = bank.handle.clone();
        assert_eq!(bank.engine.drain().await, Drained::Complete);
        assert_eq!(waiting.await.expect("ended").expect("a view").state, State::Pending);
        let refused = handle.start(login("alice")).await.expect_err("draining");
        assert_eq!(refused.code, ErrorCode::Draining);
    });
}

/// More than the start lists in one go, and many times what it reads in one.
#[test]
fn a_restart_leaves_none_of_many_open_ones_out() {
    const OPEN: usize = 12_345;
    run(async {
        let settings = "[types.many]\nttl_s = 300\npending_push = \"many\"\n\
                        [engine]\ntransactions_per_user_max = 10000\n";
        let bank = Bank::open(settings).await;
        bank.enrol("alice").await;
        bank.enrol("bob").await;
        for user in ["alice", "bob"].into_iter().cycle().take(OPEN) {
            bank.handle.start(request(user, "many")).await.expect("started");
        }
        bank.until_pushed(OPEN).await;
        let mut bank = bank.restart().await;
        assert_eq!(bank.in_flight(), OPEN, "their places are kept");
        bank.engine.recovered().await.expect("all live again");
        assert_eq!(bank.in_flight(), OPEN, "those who live again are counted, and nobody is expected");
    });
}
