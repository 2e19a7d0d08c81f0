//! Sealed challenges and request messages.

use tocsin_engine::ChallengeForm;
use tocsin_model::{DeliveryChoice, ErrorCode, RequestMessage, SealedChallenge, StartRequest, State};

use crate::fixture::{Bank, claims_of, login, run};

async fn fetched_seal(
    bank: &Bank,
    phone: &crate::fixture::Phone,
    id: tocsin_model::TransactionId,
) -> SealedChallenge {
    match phone.fetch_form(bank, id).await.expect("open") {
        ChallengeForm::Sealed(sealed) => sealed,
        ChallengeForm::Signed(_) => panic!("a phone with an encryption key was sent a readable challenge"),
    }
}

fn by_request_message(user_id: &str) -> StartRequest {
    StartRequest { delivery: DeliveryChoice::RequestMessage, ..login(user_id) }
}

#[test]
fn push_and_every_fetch_carry_one_seal_also_after_a_restart() {
    run(async {
        let bank = Bank::open("").await;
        let phone = bank.enrol_sealed("alice").await;
        let started = bank.start_login("alice").await;
        bank.until_pushed(1).await;
        let pushed = bank.network.pushes().remove(0).sealed.expect("sealed");
        assert_eq!(fetched_seal(&bank, &phone, started.id).await, *pushed);
        let claims = claims_of(&phone.open(&pushed, started.id));
        assert_eq!(claims["sub"], started.id.to_string());
        let bank = bank.restart().await;
        assert_eq!(fetched_seal(&bank, &phone, started.id).await, *pushed);
        assert_eq!(phone.answer(&bank, started.id, "accept").await, Ok(State::Accepted));
    });
}

#[test]
fn a_push_that_is_repeated_carries_the_same_seal() {
    run(async {
        let bank = Bank::open("").await;
        bank.network.set(crate::fixture::Script::Hang);
        let _phone = bank.enrol_sealed("alice").await;
        let started = bank.start_login("alice").await;
        bank.until_pushed(1).await;
        let bank = bank.restart().await;
        bank.until_pushed(2).await;
        let pushes = bank.network.pushes();
        assert_eq!(pushes[1].transaction_id, started.id);
        assert!(pushes[0].sealed.is_some());
        assert_eq!(pushes[0].sealed, pushes[1].sealed);
    });
}

#[test]
fn a_phone_without_an_encryption_key_is_pushed_no_challenge_and_fetches_a_readable_one() {
    run(async {
        let bank = Bank::open("").await;
        let phone = bank.enrol("alice").await;
        let started = bank.start_login("alice").await;
        bank.until_pushed(1).await;
        assert_eq!(bank.network.pushes()[0].sealed, None);
        assert!(matches!(phone.fetch_form(&bank, started.id).await, Ok(ChallengeForm::Signed(_))));
    });
}

#[test]
fn a_request_message_alone_is_pushed_nowhere_and_says_what_the_phone_would_fetch() {
    run(async {
        let bank = Bank::open("").await;
        let phone = bank.enrol_sealed("alice").await;
        let started = bank.handle.start(by_request_message("alice")).await.expect("started").transaction;
        assert!(started.recipients[0].delivery.is_none());
        let text = started.request_message.text().expect("handed out").to_owned();
        let sealed = fetched_seal(&bank, &phone, started.id).await;
        let challenge = tocsin_model::KeptChallenge::Sealed(sealed);
        assert_eq!(text, tocsin_engine::device::request_message(&started.id, &challenge));
        let bank = bank.restart().await;
        assert_eq!(bank.view(started.id).await.request_message.text(), Some(text.as_str()));
        assert_eq!(bank.view(started.id).await.state, State::Pending);
        assert_eq!(phone.answer(&bank, started.id, "accept").await, Ok(State::Accepted));
        assert_eq!(bank.view(started.id).await.request_message, RequestMessage::AskedFor);
        assert!(bank.network.pushes().is_empty());
    });
}

#[test]
fn a_request_message_for_a_phone_without_an_encryption_key_is_the_signed_challenge_and_stays_it() {
    run(async {
        let bank = Bank::open("").await;
        let _phone = bank.enrol("alice").await;
        let started = bank.handle.start(by_request_message("alice")).await.expect("started").transaction;
        let text = started.request_message.text().expect("handed out").to_owned();
        let jws = text.strip_prefix(&format!("tocsin:1?t={}&c=", started.id)).expect("the signed form");
        assert_eq!(claims_of(jws)["sub"], started.id.to_string());
        assert_eq!(bank.view(started.id).await.request_message.text(), Some(text.as_str()));
    });
}

#[test]
fn both_ways_push_and_hand_out_and_a_failed_push_ends_nothing() {
    run(async {
        let bank = Bank::open("").await;
        let phone = bank.enrol_sealed("alice").await;
        let refused =
            tocsin_engine::protocol::DeliveryOutcome::Failed(tocsin_model::DeliveryReason::RequestRefused);
        bank.network.set(crate::fixture::Script::End(refused, Some(true)));
        let request = StartRequest { delivery: DeliveryChoice::PushAndRequestMessage, ..login("alice") };
        let started = bank.handle.start(request).await.expect("started").transaction;
        assert!(started.request_message.text().is_some());
        let failed =
            |delivery: &tocsin_model::Delivery| delivery.status == tocsin_model::DeliveryStatus::Failed;
        let view =
            bank.until(started.id, |view| view.recipients[0].delivery.as_ref().is_some_and(failed)).await;
        assert_eq!(view.state, State::Pending);
        assert_eq!(phone.answer(&bank, started.id, "accept").await, Ok(State::Accepted));
    });
}

#[test]
fn a_request_message_needs_exactly_one_device() {
    run(async {
        let bank = Bank::open_with(|text| {
            let text = text.replace(r#"apps = ["bank"]"#, r#"apps = ["bank", "shop"]"#);
            format!("{text}\n[apps.shop]\n[apps.shop.ios]\nbundle_id = \"com.example.shop\"\n")
        })
        .await;
        let none = bank.handle.start(by_request_message("alice")).await.expect_err("refused");
        assert_eq!(none.code, ErrorCode::NoDevice);
        let first = bank.enrol("alice").await;
        assert!(bank.handle.start(by_request_message("alice")).await.is_ok());
        bank.enrol_in("shop", "alice").await;
        let several = bank.handle.start(by_request_message("alice")).await.expect_err("refused");
        assert_eq!((several.code, several.field.as_deref()), (ErrorCode::DeviceRequired, Some("device_id")));
        let named = StartRequest { device_id: first.device_id.parse().ok(), ..by_request_message("alice") };
        assert!(bank.handle.start(named).await.is_ok());
    });
}
