//! What only APNs does.

use tocsin_engine::protocol::DeliveryOutcome::{Failed, Relayed};
use tocsin_engine::protocol::PushContent;
use tocsin_engine::provider::PushVerdict;
use tocsin_mock::{ApnsReason, ApnsRefusal, Fault};
use tocsin_model::{DeliveryReason, State};

use super::rig::{Rig, Which, always_for};

async fn refused_once(reason: ApnsReason) -> Rig {
    let rig = Rig::start(Which::Apns).await;
    rig.deliver(&rig.push(1)).await;
    rig.apns().faults().for_next(1, Fault::Refuse(reason.into())).expect("room");
    rig
}

#[tokio::test]
async fn too_many_token_updates_move_the_push_to_another_connection_with_the_same_token() {
    let rig = refused_once(ApnsReason::TooManyProviderTokenUpdates).await;
    assert_eq!(rig.deliver(&rig.push(2)).await.outcome, Relayed);
    let records = rig.log().records();
    assert_ne!(records[1].connection, records[2].connection);
    assert_eq!(records[1].header("authorization"), records[2].header("authorization"));
    assert_eq!(rig.deliver(&rig.push(3)).await.outcome, Relayed);
    let last = rig.log().records().pop().expect("a record");
    assert_eq!(last.connection, records[2].connection, "the old connection is left for good");
}

#[tokio::test]
async fn a_server_that_shuts_down_is_left_for_another_connection() {
    let rig = refused_once(ApnsReason::Shutdown).await;
    assert_eq!(rig.deliver(&rig.push(2)).await.outcome, Relayed);
    let records = rig.log().records();
    assert_ne!(records[1].connection, records[2].connection);
}

#[tokio::test]
async fn a_refused_provider_token_leaves_its_connection() {
    let rig = refused_once(ApnsReason::ExpiredProviderToken).await;
    assert_eq!(rig.deliver(&rig.push(2)).await.outcome, Relayed);
    let records = rig.log().records();
    assert_ne!(records[1].connection, records[2].connection);
}

#[tokio::test]
async fn a_410_without_its_time_kills_no_token() {
    let rig = Rig::start(Which::Apns).await;
    let refusal = ApnsRefusal::from(ApnsReason::Unregistered);
    always_for(rig.apns().faults(), &rig.token(1), Fault::Refuse(refusal));
    let report = rig.deliver(&rig.push(1)).await;
    assert_eq!(report.outcome, Failed(DeliveryReason::TokenSuspect));
    assert_eq!(report.verdict, Some(PushVerdict::Suspect));
}

#[tokio::test]
async fn ids_and_expiry_stand_in_the_headers() {
    let rig = Rig::start(Which::Apns).await;
    let push = rig.push(1);
    rig.deliver(&push).await;
    let record = rig.log().records().pop().expect("a record");
    assert_eq!(record.target(), rig.token(1));
    assert_eq!(record.header("apns-id"), Some(&*push.push_id.to_string()));
    assert_eq!(record.header("apns-collapse-id"), Some(&*push.transaction_id.to_string()));
    let expires_s: u64 = record.header("apns-expiration").expect("there").parse().expect("seconds");
    assert_eq!(expires_s, push.expires_at.get().div_ceil(1_000));
}

#[tokio::test]
async fn a_closing_push_and_one_in_clear_keep_apples_rules() {
    let rig = Rig::start(Which::Apns).await;
    let mut closing = rig.push(1);
    closing.content = PushContent::Closed(State::Declined);
    assert_eq!(rig.deliver(&closing).await.outcome, Relayed);
    let mut in_clear = rig.push(2);
    in_clear.content = PushContent::AskInClear { title: "Bank".into(), message: "Pay 7 €?".into() };
    assert_eq!(rig.deliver(&in_clear).await.outcome, Relayed);
    let payload = rig.log().records()[0].payload_json().expect("json");
    assert_eq!(payload["closed"], "declined");
}

#[tokio::test]
async fn the_first_push_of_a_connection_goes_alone() {
    let rig = Rig::start(Which::Apns).await;
    assert_eq!(rig.relay_all(0..50).await, 50);
    let traffic = rig.traffic();
    assert_eq!(traffic.streams_refused, 0, "apns begins with one stream and refuses a second one");
    assert!(traffic.streams_peak > 1, "and then takes many");
}
