//! The doors are open while those that were open at the start get their actors back.

use tocsin_engine::Drained;
use tocsin_model::{AuditActor, ErrorCode, FailureReason, State, TransactionId};
use tocsin_storage::Store as _;

use crate::fixture::{Bank, Phone, is_relayed, login, request, run, user};

/// An engine over what was left open, whose recovery has read all of it and waits with that until looks are released.
async fn recovering(bank: Bank) -> Bank {
    // The list of what is open.
    bank.store.hold_looks_at_many_behind(1);
    let bank = bank.restart().await;
    while bank.store.looks_held() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!bank.handle.readiness().recovered);
    bank
}

async fn until_recovered(bank: &mut Bank) {
    bank.store.release_looks();
    bank.engine.recovered().await.expect("all live again");
    assert!(bank.handle.readiness().recovered);
}

/// What a phone's list of challenges shows.
async fn listed(bank: &Bank, phone: &Phone) -> Vec<TransactionId> {
    let device = bank.store.phone(phone.device_id.parse().expect("an id")).await.expect("read");
    let challenges = bank.handle.challenges(&device.expect("there")).await.expect("a list");
    challenges.iter().map(|challenge| challenge.id).collect()
}

#[test]
fn an_engine_takes_new_work_and_answers_for_old_before_all_is_revived() {
    run(async {
        let bank = Bank::open("[engine]\nlinger_ms = 0").await;
        let [alice, bob] = [bank.enrol("alice").await, bank.enrol("bob").await];
        let [old, untouched] = [bank.start_login("alice").await.id, bank.start_login("bob").await.id];
        bank.until(old, is_relayed).await;
        bank.until(untouched, is_relayed).await;
        let mut bank = recovering(bank).await;
        assert!(bank.handle.readiness().is_ready());
        assert_eq!(bank.in_flight(), 2, "nobody is given their places");
        assert!(bank.handle.metrics_text().contains("tocsin_transactions_dormant 2\n"));
        assert_eq!(listed(&bank, &bob).await, [untouched], "his phone lists what is open");
        assert_eq!(alice.answer(&bank, old, "accept").await, Ok(State::Accepted));
        let new = bank.handle.start(request("alice", "blink")).await.expect("started");
        assert_eq!(new.transaction.state, State::Pending);
        until_recovered(&mut bank).await;
        assert!(bank.handle.metrics_text().contains("tocsin_transactions_dormant 0\n"));
        assert_eq!(bank.view(old).await.state, State::Accepted);
        assert_eq!(bob.answer(&bank, untouched, "decline").await, Ok(State::Declined));
        bank.until_pushed(3).await;
        assert_eq!(bank.network.pushes().len(), 3, "what was relayed is not pushed again");
    });
}

/// The recovery has read it while it was open, and it has no actor any more when that is used.
#[test]
fn one_that_ended_behind_the_back_of_the_recovery_stays_ended() {
    run(async {
        let bank = Bank::open("[engine]\nlinger_ms = 0").await;
        let alice = bank.enrol("alice").await;
        bank.enrol("bob").await;
        let [answered, erased] = [bank.start_login("alice").await.id, bank.start_login("bob").await.id];
        bank.until(answered, is_relayed).await;
        bank.until(erased, is_relayed).await;
        let mut bank = recovering(bank).await;
        assert_eq!(alice.answer(&bank, answered, "accept").await, Ok(State::Accepted));
        // Its actor does not linger; one that is still there falls.
        while bank.handle.inject_transaction_fault(answered) {
            tokio::task::yield_now().await;
        }
        // This one ends in the storage, and never had an actor here.
        bank.handle.erase_user(AuditActor::Server, &user("bob")).await.expect("erased");
        until_recovered(&mut bank).await;
        assert_eq!(bank.in_flight(), 0, "neither has an actor");
        for (name, id) in [("alice", answered), ("bob", erased)] {
            assert!(bank.handle.open_transactions_of(&user(name)).is_empty(), "{name}");
            assert!(bank.view(id).await.state.is_final(), "{name}");
        }
    });
}

#[test]
fn the_bound_of_a_user_holds_while_his_are_not_all_revived() {
    run(async {
        let bank = Bank::open("[engine]\ntransactions_per_user_max = 1").await;
        bank.enrol("alice").await;
        let id = bank.start_login("alice").await.id;
        let mut bank = recovering(bank).await;
        let refused = bank.handle.start(login("alice")).await.expect_err("she has one");
        assert_eq!(refused.code, ErrorCode::RateLimited);
        assert_eq!(bank.handle.open_transactions_of(&user("alice")), [id]);
        until_recovered(&mut bank).await;
        assert_eq!(bank.handle.open_transactions_of(&user("alice")), [id], "it is there once");
        assert_eq!(bank.in_flight(), 1);
    });
}

#[test]
fn a_phone_that_is_removed_meanwhile_is_asked_no_more() {
    run(async {
        let bank = Bank::open("").await;
        let phone = bank.enrol("alice").await;
        let id = bank.start_login("alice").await.id;
        // A push that is not known to be with the network is made again, and may find the phone gone before the word of it.
        bank.until(id, is_relayed).await;
        let mut bank = recovering(bank).await;
        let device_id = phone.device_id.parse().expect("an id");
        bank.handle.revoke_device(AuditActor::Server, &user("alice"), device_id).await.expect("revoked");
        let ended = bank.until(id, |view| view.state.is_final()).await;
        assert_eq!(ended.state, State::Failed(FailureReason::DeviceRevoked));
        until_recovered(&mut bank).await;
        assert_eq!(bank.view(id).await.state, State::Failed(FailureReason::DeviceRevoked));
    });
}

/// Callers go before the recovery where the storage's readers have much to do.
#[test]
fn a_recovery_that_finds_the_storage_busy_goes_on_later() {
    run(async {
        let bank = Bank::open("").await;
        bank.enrol("alice").await;
        let id = bank.start_login("alice").await.id;
        bank.until(id, is_relayed).await;
        // The list of what is open is read.
        bank.store.refuse_looks_at_many_behind(1, 3);
        let mut bank = bank.restart().await;
        bank.engine.recovered().await.expect("all live again");
        assert_eq!(bank.store.looks_to_refuse(), 0);
        assert_eq!(bank.handle.open_transactions_of(&user("alice")), [id]);
    });
}

/// A caller has read it while it was open, and it has ended and has no actor any more when that is used.
#[test]
fn who_has_read_one_before_it_ended_is_told_how_it_ended() {
    run(async {
        let bank = Bank::open("[engine]\nlinger_ms = 0").await;
        let phone = bank.enrol("alice").await;
        let id = bank.start_login("alice").await.id;
        bank.until(id, is_relayed).await;
        let mut bank = recovering(bank).await;
        let held = bank.store.looks_held();
        bank.store.hold_looks_behind(0);
        let (handle, portal) = (bank.handle.clone(), "portal".parse().expect("valid"));
        let reading = actix_rt::spawn(async move { handle.transaction(&portal, id).await });
        while bank.store.looks_held() == held {
            tokio::task::yield_now().await;
        }
        bank.store.hold_no_more_looks();
        assert_eq!(phone.answer(&bank, id, "accept").await, Ok(State::Accepted));
        while bank.handle.inject_transaction_fault(id) {
            tokio::task::yield_now().await;
        }
        until_recovered(&mut bank).await;
        let told = reading.await.expect("ended").expect("a view");
        assert_eq!(told.state, State::Accepted);
        assert_eq!(bank.in_flight(), 0);
    });
}

#[test]
fn what_is_overdue_has_ended_before_its_user_begins_anew() {
    const LADDER: &str = "[realms.retail]\nladder_number_match_after = 1";
    run(async {
        let bank = Bank::open_with(|text| text.replace("[realms.retail]", LADDER)).await;
        bank.enrol("alice").await;
        let old = bank.handle.start(request("alice", "blink")).await.expect("started").transaction;
        bank.until(old.id, is_relayed).await;
        let mut bank = recovering(bank).await;
        while bank.clock.now() < old.expires_at {
            tokio::task::yield_now().await;
        }
        let stored = async |bank: &Bank| bank.store.transaction(old.id).await.expect("read").expect("there");
        assert_eq!(stored(&bank).await.state, State::Pending, "nobody has asked for it");
        bank.store.hold_writes();
        let handle = bank.handle.clone();
        let starting = actix_rt::spawn(async move { handle.start(login("alice")).await });
        while bank.store.queue_depth() == 0 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        assert_eq!(bank.store.queue_depth(), 1, "its end is being stored, and the start waits for that");
        bank.store.release_writes();
        let started = starting.await.expect("ended").expect("started").transaction;
        assert_eq!(stored(&bank).await.state, State::Timeout);
        assert!(started.number().is_some(), "he has ignored one");
        until_recovered(&mut bank).await;
    });
}

#[test]
fn a_drain_ends_a_recovery() {
    run(async {
        let bank = Bank::open("").await;
        bank.enrol("alice").await;
        let id = bank.start_login("alice").await.id;
        bank.until(id, is_relayed).await;
        let mut bank = recovering(bank).await;
        assert_eq!(bank.engine.settle().await, Drained::Complete);
        bank.store.release_looks();
        assert!(bank.engine.recovered().await.is_err(), "it was not finished");
        assert!(!bank.handle.readiness().recovered);
        let mut bank = bank.restart().await;
        bank.engine.recovered().await.expect("all live again");
        assert_eq!(bank.view(id).await.state, State::Pending);
    });
}
