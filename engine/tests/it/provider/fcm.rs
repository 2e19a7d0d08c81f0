//! What only FCM and its token endpoint do.

use std::time::Duration;

use http::StatusCode;
use tocsin_engine::protocol::DeliveryOutcome::{Failed, Relayed};
use tocsin_engine::protocol::PushContent;
use tocsin_engine::provider::PushVerdict;
use tocsin_mock::{Fault, FcmRefusal, OAuthRefusal};
use tocsin_model::{DeliveryReason, DurationMs, PushKind, PushToken, State};

use super::rig::{Rig, Which};

#[tokio::test]
async fn a_token_of_another_project_is_only_suspect() {
    let rig = Rig::start(Which::Fcm).await;
    rig.fcm().registrations().give_to_other_project(&rig.token(1)).expect("room");
    let report = rig.deliver(&rig.push(1)).await;
    assert_eq!(report.outcome, Failed(DeliveryReason::TokenSuspect));
    assert_eq!(report.verdict, Some(PushVerdict::Suspect));
}

#[tokio::test]
async fn an_installation_id_is_a_target_too() {
    let rig = Rig::start(Which::Fcm).await;
    let mut push = rig.push(1);
    push.target.kind = PushKind::FcmFid;
    push.target.token = PushToken::new(PushKind::FcmFid, "dK3f-x_9AbCdEfGhIjKlMn");
    assert_eq!(rig.deliver(&push).await.outcome, Relayed);
    let payload = rig.log().records()[0].payload_json().expect("json");
    assert_eq!(payload["message"]["fid"], "dK3f-x_9AbCdEfGhIjKlMn");
}

#[tokio::test]
async fn a_closing_push_keeps_googles_rules() {
    let rig = Rig::start(Which::Fcm).await;
    let mut closing = rig.push(1);
    closing.content = PushContent::Closed(State::Cancelled);
    assert_eq!(rig.deliver(&closing).await.outcome, Relayed);
    let payload = rig.log().records()[0].payload_json().expect("json");
    assert_eq!(payload["message"]["data"]["closed"], "cancelled");
}

#[tokio::test]
async fn a_quota_without_time_to_wait_holds_the_whole_project_back() {
    let rig = Rig::start(Which::Fcm).await;
    let quota = FcmRefusal::QuotaExceeded { retry_after: None };
    rig.fcm().faults().for_next(1, Fault::Refuse(quota)).expect("room");
    assert_eq!(rig.deliver(&rig.push(1)).await.outcome, Failed(DeliveryReason::Throttled));
    let report = rig.deliver(&rig.push(2)).await;
    assert_eq!((report.outcome, report.healthy), (Failed(DeliveryReason::Throttled), None));
    assert_eq!(rig.log().accepted() + rig.log().refused(), 1, "the second one was not sent");
}

#[tokio::test]
async fn an_unavailable_service_is_asked_again_when_it_says() {
    let rig = Rig::start(Which::Fcm).await;
    let unavailable = FcmRefusal::Unavailable { retry_after: Some("1".to_owned()) };
    rig.fcm().faults().for_next(1, Fault::Refuse(unavailable)).expect("room");
    let began = std::time::Instant::now();
    assert_eq!(rig.deliver(&rig.push(1)).await.outcome, Relayed);
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn an_account_that_google_refuses_needs_an_operator() {
    let rig = Rig::start(Which::Fcm).await;
    rig.fcm().token_endpoint().faults().for_all(Fault::Refuse(OAuthRefusal::InvalidGrant)).expect("room");
    let report = rig.deliver(&rig.push(1)).await;
    assert_eq!((report.outcome, report.healthy), (Failed(DeliveryReason::CredentialRefused), Some(false)));
    let report = rig.deliver(&rig.push(2)).await;
    assert_eq!(report.outcome, Failed(DeliveryReason::CredentialRefused));
    assert_eq!(rig.fcm().token_endpoint().refused(), 1, "google is not hammered");
    assert_eq!(rig.driver.snapshot().token_faults, 1);
}

#[tokio::test]
async fn a_token_endpoint_in_trouble_is_unavailable_and_works_again_later() {
    let rig = Rig::start(Which::Fcm).await;
    let trouble = OAuthRefusal::Undocumented { status: StatusCode::BAD_GATEWAY, body: String::new() };
    rig.fcm().token_endpoint().faults().for_next(1, Fault::Refuse(trouble)).expect("room");
    let report = rig.deliver(&rig.push(1)).await;
    assert_eq!((report.outcome, report.healthy), (Failed(DeliveryReason::Unavailable), Some(false)));
    let deadline = std::time::Instant::now() + super::ground::PATIENCE;
    while rig.deliver(&rig.push(2)).await.outcome != Relayed {
        assert!(std::time::Instant::now() < deadline, "it does not recover");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(rig.fcm().token_endpoint().issued(), 1);
}

#[tokio::test]
async fn a_token_endpoint_that_does_not_answer_costs_the_push_its_time_and_no_more() {
    let rig = Rig::start(Which::Fcm).await;
    rig.fcm().token_endpoint().faults().for_all(Fault::NeverAnswer).expect("room");
    let mut push = rig.push(1);
    push.expires_at = rig.clock.now().plus(DurationMs::new(1_200));
    assert_eq!(rig.deliver(&push).await.outcome, Failed(DeliveryReason::Unavailable));
    assert_eq!(rig.log().accepted(), 0);
}

#[tokio::test]
async fn revoked_access_tokens_are_replaced_once_for_all() {
    let clocks_behind = Duration::from_secs(60);
    let options = super::rig::RigOptions { clocks_behind, ..Default::default() };
    let rig = Rig::start_with(Which::Fcm, options).await;
    rig.deliver(&rig.push(0)).await;
    rig.catch_up(clocks_behind);
    rig.fcm().revoke_access_tokens();
    assert_eq!(rig.relay_all(1..51).await, 50);
    assert_eq!(rig.fcm().token_endpoint().issued(), 2);
}
