//! What a push network says of an address reaches the phone's record, and the next start.

use tocsin_engine::protocol::DeliveryOutcome;
use tocsin_engine::provider::PushVerdict;
use tocsin_model::{DeliveryReason, Device, DeviceStatus, ErrorCode, State};

use crate::fixture::{Bank, SOON, Script, login, request, run, user};

async fn device(bank: &Bank) -> Device {
    bank.handle.devices(&user("alice")).await.expect("devices").remove(0)
}

/// Waits until the phone's record is as wanted.
async fn until(bank: &Bank, wanted: impl Fn(&Device) -> bool) {
    let deadline = std::time::Instant::now() + SOON;
    while !wanted(&device(bank).await) {
        assert!(std::time::Instant::now() < deadline, "it never came: {:?}", device(bank).await);
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

fn refused_as_suspect() -> Script {
    Script::Judge(DeliveryOutcome::Failed(DeliveryReason::TokenSuspect), PushVerdict::Suspect)
}

#[test]
fn a_dead_address_makes_the_phone_unreachable_and_the_next_start_is_refused() {
    run(async {
        let bank = Bank::open("").await;
        let phone = bank.enrol("alice").await;
        let dead = DeliveryOutcome::Failed(DeliveryReason::TokenDead);
        bank.network.set(Script::Judge(dead, PushVerdict::Dead { since: None }));
        let patient = bank.handle.start(request("alice", "patient")).await.expect("started").transaction.id;
        until(&bank, |device| device.status == DeviceStatus::Unreachable && device.push.token.is_none())
            .await;
        let refused = bank.handle.start(login("alice")).await.expect_err("no phone can be pushed to");
        assert_eq!(refused.code, ErrorCode::NoDevice);
        assert_eq!(phone.answer(&bank, patient, "accept").await, Ok(State::Accepted), "it asks by itself");
    });
}

#[test]
fn three_suspicions_end_an_address_only_while_pushes_to_others_succeed() {
    run(async {
        let bank = Bank::open("").await;
        bank.enrol("alice").await;
        bank.network.set(refused_as_suspect());
        for count in 1..=4 {
            bank.start_login("alice").await;
            until(&bank, |device| device.push_suspect_count == count).await;
        }
        assert_eq!(device(&bank).await.status, DeviceStatus::Active, "perhaps our own settings are wrong");

        bank.enrol("bob").await;
        bank.network.set(Script::End(DeliveryOutcome::Relayed, Some(true)));
        bank.start_login("bob").await;
        bank.until_pushed(5).await;
        bank.network.set(refused_as_suspect());
        bank.start_login("alice").await;
        until(&bank, |device| device.status == DeviceStatus::Unreachable).await;
    });
}

#[test]
fn a_push_that_was_taken_clears_the_suspicion() {
    run(async {
        let bank = Bank::open("").await;
        bank.enrol("alice").await;
        bank.network.set(refused_as_suspect());
        bank.start_login("alice").await;
        until(&bank, |device| device.push_suspect_count == 1).await;
        bank.network.set(Script::Judge(DeliveryOutcome::Relayed, PushVerdict::Good));
        bank.start_login("alice").await;
        until(&bank, |device| device.push_suspect_count == 0).await;
    });
}
