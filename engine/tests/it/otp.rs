//! Anonymous transactions: claimed by one phone, through restarts, faults and removals.

use std::sync::Arc;

use tocsin_model::{AuditActor, DeviceId, ErrorCode, FailureReason, Otp, StartRequest, State, Transaction};

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
            start.content.secure_message = Some("a".repeat(length).into());
            start.content.details = (0..3)
                .map(|_| tocsin_model::Detail { label: "l".into(), value: "v".repeat(300).into() })
                .collect();
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
