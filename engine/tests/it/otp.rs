//! Anonymous transactions: claimed by one phone, through restarts, faults and removals.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::poll;
use tocsin_model::{
    AuditActor, DeliveryChoice, Detail, DeviceId, ErrorCode, FailureReason, Otp, StartRequest, State,
    Transaction,
};
use tocsin_storage::Store as _;

use crate::fixture::{Bank, request, run, user, with_key};

fn anonymous() -> StartRequest {
    StartRequest { user: None, ..request("nobody", "qr") }
}

/// A pending one with its password.
async fn shown(bank: &Bank) -> (Arc<Transaction>, String) {
    let transaction = bank.handle.start(anonymous()).await.expect("started").transaction;
    let otp = transaction.otp().map(Otp::expose).expect("a password").to_owned();
    (transaction, otp)
}

fn id_of(device_id: &str) -> DeviceId {
    device_id.parse().expect("an id")
}

#[test]
fn a_claim_gives_the_transaction_a_user_and_the_phone_its_challenge() {
    run(async {
        let bank = Bank::open("").await;
        let phone = bank.enrol_sealed("alice").await;
        let (transaction, otp) = shown(&bank).await;
        assert_eq!((&transaction.user, transaction.recipients.len()), (&None, 0));
        let challenge = phone.claim(&bank, &otp).await.expect("claimed");
        assert_eq!(challenge["user"]["id"], "alice");
        let claimed = bank.view(transaction.id).await;
        assert_eq!(
            (&claimed.user, claimed.otp(), claimed.state),
            (&Some(user("alice")), None, State::Pending)
        );
        assert_eq!(bank.handle.open_transactions_of(&user("alice")), [transaction.id]);
        assert_eq!(phone.answer(&bank, transaction.id, "accept").await, Ok(State::Accepted));
        assert!(bank.network.pushes().is_empty(), "nothing is ever sent for it");
    });
}

#[test]
fn a_password_is_the_same_for_whoever_looks_until_it_is_claimed() {
    run(async {
        let bank = Bank::open("").await;
        let (transaction, otp) = shown(&bank).await;
        let bank = bank.restart().await;
        assert_eq!(bank.view(transaction.id).await.otp().map(Otp::expose), Some(&*otp));
        let phone = bank.enrol("alice").await;
        phone.claim(&bank, &otp).await.expect("claimed after a restart");
        assert_eq!(bank.view(transaction.id).await.otp(), None);
    });
}

#[test]
fn a_claim_stands_through_a_restart() {
    run(async {
        let bank = Bank::open("").await;
        let (alice, bob) = (bank.enrol("alice").await, bank.enrol("bob").await);
        let (transaction, otp) = shown(&bank).await;
        let first = alice.claim(&bank, &otp).await.expect("claimed");
        let bank = bank.restart().await;
        let refused = bob.claim(&bank, &otp).await.expect_err("used");
        assert_eq!(refused.code, ErrorCode::OtpUsed);
        let again = alice.claim(&bank, &otp).await.expect("the same again");
        assert_eq!(again["nonce"], first["nonce"]);
        assert_eq!(bank.handle.open_transactions_of(&user("alice")), [transaction.id]);
        assert_eq!(alice.answer(&bank, transaction.id, "accept").await, Ok(State::Accepted));
    });
}

#[test]
fn of_two_claims_at_once_one_wins_and_its_repetition_is_told_the_same() {
    run(async {
        let bank = Bank::open("").await;
        let (alice, bob) = (bank.enrol("alice").await, bank.enrol("bob").await);
        for _ in 0..20 {
            let (transaction, otp) = shown(&bank).await;
            let (of_alice, again, of_bob) =
                tokio::join!(alice.claim(&bank, &otp), alice.claim(&bank, &otp), bob.claim(&bank, &otp));
            let won = bank.view(transaction.id).await.user.clone().expect("somebody");
            let refused = |claim: &Result<_, tocsin_model::Problem>| {
                claim.as_ref().is_err_and(|problem| problem.code == ErrorCode::OtpUsed)
            };
            match won == user("alice") {
                true => assert!(of_alice.is_ok() && again.is_ok() && refused(&of_bob)),
                false => assert!(refused(&of_alice) && refused(&again) && of_bob.is_ok()),
            }
            bank.handle.cancel(&"portal".parse().expect("valid"), transaction.id).await.expect("cancelled");
        }
    });
}

#[test]
fn it_ends_with_its_claimers_phone_and_stays_free_of_one_that_was_removed_before() {
    run(async {
        let bank = Bank::open("").await;
        let (alice, bob) = (bank.enrol("alice").await, bank.enrol("bob").await);
        let (transaction, otp) = shown(&bank).await;
        let remove = async |owner: &str, phone: &str| {
            bank.handle.revoke_device(AuditActor::Server, &user(owner), id_of(phone)).await.expect("removed");
        };
        remove("bob", &bob.device_id).await;
        let refused = bob.claim(&bank, &otp).await.expect_err("removed");
        assert_eq!(refused.code, ErrorCode::DeviceRevoked);
        alice.claim(&bank, &otp).await.expect("still free");
        remove("alice", &alice.device_id).await;
        let ended = bank.until(transaction.id, |view| view.state.is_final()).await;
        assert_eq!(ended.state, State::Failed(FailureReason::DeviceRevoked));
        assert_eq!(ended.user, Some(user("alice")));
    });
}

#[test]
fn a_fallen_one_comes_back_claimed_or_not() {
    run(async {
        let bank = Bank::open("").await;
        let alice = bank.enrol("alice").await;
        let (transaction, otp) = shown(&bank).await;
        assert!(bank.handle.inject_transaction_fault(transaction.id));
        alice.claim(&bank, &otp).await.expect("claimed after its fall");
        assert!(bank.handle.inject_transaction_fault(transaction.id));
        assert_eq!(alice.answer(&bank, transaction.id, "accept").await, Ok(State::Accepted));
    });
}

#[test]
fn a_claimer_keeps_to_the_bound_of_open_transactions() {
    run(async {
        let bank = Bank::open("[engine]\ntransactions_per_user_max = 1").await;
        let alice = bank.enrol("alice").await;
        let (first, second) = (shown(&bank).await, shown(&bank).await);
        alice.claim(&bank, &first.1).await.expect("claimed");
        let refused = alice.claim(&bank, &second.1).await.expect_err("one too many");
        assert_eq!(refused.code, ErrorCode::RateLimited);
        assert_eq!(bank.view(second.0.id).await.user, None, "it stays free");
        assert_eq!(alice.answer(&bank, first.0.id, "decline").await, Ok(State::Declined));
        bank.until(first.0.id, |view| view.state.is_final()).await;
        alice.claim(&bank, &second.1).await.expect("there is room again");
    });
}

#[test]
fn content_that_would_not_fit_the_longest_user_is_refused_at_the_start() {
    run(async {
        let bank = Bank::open("").await;
        let with = |length: usize| {
            let mut start = anonymous();
            let detail = |_| Detail { label: "l".into(), value: "v".repeat(300).into() };
            start.content.change_particulars(|particulars| {
                particulars.secure_message = Some("a".repeat(length).into());
                particulars.details = (0..3).map(detail).collect();
            });
            start
        };
        assert!(bank.handle.start(with(100)).await.is_ok());
        let refused = bank.handle.start(with(4_000)).await.expect_err("too large");
        assert_eq!(refused.code, ErrorCode::ContentTooLarge);
    });
}

#[test]
fn a_start_with_its_key_again_is_the_same_one() {
    run(async {
        let bank = Bank::open("").await;
        let first = bank.handle.start(with_key(anonymous(), "screen", 1)).await.expect("started");
        let again = bank.handle.start(with_key(anonymous(), "screen", 1)).await.expect("seen");
        assert!(again.seen_before);
        assert_eq!(again.transaction.otp(), first.transaction.otp());
        assert!(again.transaction.otp().is_some());
    });
}

#[test]
fn an_accepted_claim_ends_the_row_of_refused_pushes() {
    run(async {
        let ladder = "[realms.retail]\nladder_number_match_after = 2";
        let bank = Bank::open_with(|text| text.replace("[realms.retail]", ladder)).await;
        let phone = bank.enrol("alice").await;
        for _ in 0..2 {
            let id = bank.start_login("alice").await.id;
            assert_eq!(phone.answer(&bank, id, "decline").await, Ok(State::Declined));
        }
        assert!(bank.start_login("alice").await.number().is_some(), "two in a row");
        let (transaction, otp) = shown(&bank).await;
        phone.claim(&bank, &otp).await.expect("claimed");
        assert_eq!(phone.answer(&bank, transaction.id, "accept").await, Ok(State::Accepted));
        bank.until(transaction.id, |view| view.state.is_final()).await;
        assert_eq!(bank.start_login("alice").await.number(), None);
    });
}

/// Goes on with a call until so many writes wait.
async fn until_held<T>(bank: &Bank, call: &mut Pin<Box<impl Future<Output = T>>>, writes: usize) {
    while bank.store.queue_depth() < writes {
        assert!(poll!(&mut *call).is_pending());
        tokio::task::yield_now().await;
    }
}

/// The claim comes while the erasure is being stored, which has looked at what is open.
#[test]
fn a_claim_beside_an_erasure_leaves_nothing_open() {
    run(async {
        let bank = Bank::open("").await;
        let phone = bank.enrol("alice").await;
        let (transaction, otp) = shown(&bank).await;
        bank.store.hold_writes();
        let alice = user("alice");
        let mut erasing = Box::pin(bank.handle.erase_user(AuditActor::Server, &alice));
        until_held(&bank, &mut erasing, 1).await;
        let mut claiming = Box::pin(phone.claim(&bank, &otp));
        // It looks for its device and for the password before it has to wait.
        let (looks, mut turns) = (bank.store.looks(), 0);
        while bank.store.looks() < looks + 2 || turns < 1_000 {
            assert!(poll!(&mut claiming).is_pending());
            tokio::task::yield_now().await;
            turns += 1;
        }
        assert!(bank.handle.open_transactions_of(&alice).is_empty(), "it waits until that is done");
        bank.store.release_writes();
        erasing.await.expect("erased");
        let refused = claiming.await.expect_err("its phone is gone");
        assert_eq!(refused.code, ErrorCode::DeviceRevoked);
        assert!(bank.handle.open_transactions_of(&alice).is_empty());
        assert_eq!(bank.view(transaction.id).await.user, None, "it stays free");
    });
}

/// The erasure comes while the claim is being stored.
#[test]
fn an_erasure_ends_what_was_claimed_a_moment_before() {
    run(async {
        let bank = Bank::open("").await;
        let phone = bank.enrol("alice").await;
        let (transaction, otp) = shown(&bank).await;
        bank.store.hold_writes();
        let alice = user("alice");
        let mut claiming = Box::pin(phone.claim(&bank, &otp));
        until_held(&bank, &mut claiming, 1).await;
        let erasing = bank.handle.erase_user(AuditActor::Server, &alice);
        let released = async { bank.store.release_writes() };
        let (_, erased, ()) = tokio::join!(claiming, erasing, released);
        erased.expect("erased");
        let ended = bank.until(transaction.id, |view| view.state.is_final()).await;
        assert_eq!(ended.state, State::Failed(FailureReason::UserDeleted));
    });
}

#[test]
fn of_a_claim_and_a_cancel_in_flight_the_first_one_stands() {
    run(async {
        let bank = Bank::open("").await;
        let phone = bank.enrol("alice").await;
        let portal = "portal".parse().expect("valid");
        for claim_is_first in [true, false] {
            let (transaction, otp) = shown(&bank).await;
            bank.store.hold_writes();
            let mut claiming = Box::pin(phone.claim(&bank, &otp));
            let mut cancelling = Box::pin(bank.handle.cancel(&portal, transaction.id));
            match claim_is_first {
                true => until_held(&bank, &mut claiming, 1).await,
                false => until_held(&bank, &mut cancelling, 1).await,
            }
            let released = async { bank.store.release_writes() };
            let (cancelled, claimed, ()) = tokio::join!(cancelling, claiming, released);
            assert!(cancelled.is_ok());
            let ended = bank.until(transaction.id, |view| view.state.is_final()).await;
            assert_eq!(ended.state, State::Cancelled);
            assert_eq!(ended.user.is_some(), claim_is_first);
            match claimed.map_err(|problem| problem.code) {
                // The challenge may be on its way before the cancel is stored.
                Ok(_) | Err(ErrorCode::TransactionFinal) => assert!(claim_is_first),
                Err(code) => assert_eq!((code, claim_is_first), (ErrorCode::NotFound, false)),
            }
            assert!(bank.handle.open_transactions_of(&user("alice")).is_empty());
        }
    });
}

#[test]
fn a_claim_in_flight_at_the_deadline_approves_nothing_any_more() {
    run(async {
        let bank = Bank::open("[types.qr-short]\nmethod = \"otp\"\nttl_s = 3").await;
        let phone = bank.enrol("alice").await;
        let start = StartRequest { user: None, ..request("nobody", "qr-short") };
        let transaction = bank.handle.start(start).await.expect("started").transaction;
        let otp = transaction.otp().map(Otp::expose).expect("a password").to_owned();
        bank.store.hold_writes();
        let mut claiming = Box::pin(phone.claim(&bank, &otp));
        until_held(&bank, &mut claiming, 1).await;
        while bank.clock.now() < transaction.expires_at {
            assert!(poll!(&mut claiming).is_pending());
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        bank.store.release_writes();
        let claimed = claiming.await;
        let ended = bank.until(transaction.id, |view| view.state.is_final()).await;
        assert_eq!(ended.state, State::Timeout);
        assert_eq!(claimed.expect_err("it is over").code, ErrorCode::TransactionFinal);
        assert!(bank.handle.open_transactions_of(&user("alice")).is_empty());
    });
}

/// The lock is being stored, so the claimer's standing does not tell of it yet.
#[test]
fn a_claim_beside_a_lock_is_told_of_it_and_the_password_stays_free() {
    run(async {
        let bank = Bank::open("[types.told]\nreport_lock_s = 0").await;
        let (alice, bob) = (bank.enrol("alice").await, bank.enrol("bob").await);
        // Handed out, so that nothing but the report is stored of it.
        let handed = StartRequest { delivery: DeliveryChoice::RequestMessage, ..request("alice", "told") };
        let told = bank.handle.start(handed).await.expect("started").transaction;
        let challenge = alice.fetch(&bank, told.id).await.expect("a challenge");
        let report = alice.answer_to(&bank, &challenge, "report");
        let (_, otp) = shown(&bank).await;
        bank.store.hold_writes();
        let mut reporting = Box::pin(alice.send(&bank, told.id, &report));
        let mut claiming = Box::pin(alice.claim(&bank, &otp));
        until_held(&bank, &mut reporting, 1).await;
        until_held(&bank, &mut claiming, 2).await;
        let released = async { bank.store.release_writes() };
        let (reported, claimed, ()) = tokio::join!(reporting, claiming, released);
        assert_eq!(reported, Ok(State::Reported));
        assert_eq!(claimed.expect_err("locked").code, ErrorCode::UserLocked);
        bob.claim(&bank, &otp).await.expect("still free");
    });
}
