//! The record of what came, waits on it, and the phones that listen.

use std::time::Duration;

use tocsin_mock::{ApnsReason, Fault, MockError, PushOutcome};

use super::client::DEADLINE;
use super::rig::{ApnsRig, DEVICE, TOPIC};

#[tokio::test]
async fn an_accepted_push_is_on_record_as_it_was_sent() {
    let rig = ApnsRig::start().await;
    let id = "123e4567-e89b-82d3-a456-426614174000";
    rig.send(rig.push().set("apns-id", id)).await;
    let record = &rig.server.pushes().records()[0];
    assert_eq!(record.target(), DEVICE);
    assert_eq!(record.header("apns-topic"), Some(TOPIC));
    assert!(record.header("authorization").unwrap().starts_with("bearer "));
    assert_eq!(record.payload_json().unwrap()["t"], "1");
    assert_eq!((record.sequence, record.connection.0), (1, 1));
    assert_eq!(record.outcome, PushOutcome::Accepted { message_id: id.to_owned() });
}

#[tokio::test]
async fn a_refused_push_is_on_record_with_its_reason() {
    let rig = ApnsRig::start().await;
    rig.send(rig.push().without("apns-topic")).await;
    let outcome = rig.server.pushes().records()[0].outcome.clone();
    assert_eq!(outcome, PushOutcome::Refused { status: 400, reason: "MissingTopic".to_owned() });
}

#[tokio::test]
async fn the_record_forgets_the_oldest() {
    let rig = ApnsRig::start_with(|options| options.records_max = 2).await;
    let mut client = rig.client().await;
    for _ in 0..3 {
        client.send(rig.push_again()).await.unwrap();
    }
    let sequences: Vec<_> = rig.server.pushes().records().iter().map(|record| record.sequence).collect();
    assert_eq!(sequences, [2, 3]);
    assert_eq!(rig.server.pushes().accepted(), 3);
}

#[tokio::test]
async fn a_wait_ends_with_the_push_that_fits() {
    let rig = ApnsRig::start().await;
    rig.server.faults().for_next(1, Fault::Refuse(ApnsReason::TooManyRequests.into())).unwrap();
    let mut client = rig.client().await;
    let accepted = rig.server.pushes().wait_for_push(|push| push.is_accepted(), DEADLINE);
    let send_two = async {
        client.send(rig.push_again()).await.unwrap();
        client.send(rig.push_again()).await.unwrap();
    };
    let (found, ()) = tokio::join!(accepted, send_two);
    assert_eq!(found.unwrap().sequence, 2);
}

#[tokio::test]
async fn a_wait_in_vain_ends_at_its_deadline() {
    let rig = ApnsRig::start().await;
    let waited = Duration::from_millis(10);
    let error = rig.server.pushes().wait_for_push(|_| true, waited).await.unwrap_err();
    assert!(matches!(error, MockError::Deadline { waited: told } if told == waited));
}

#[tokio::test]
async fn a_phone_receives_its_own_accepted_pushes_only() {
    let rig = ApnsRig::start().await;
    let mut phone = rig.server.pushes().subscribe(DEVICE).unwrap();
    rig.send(rig.push().device("00ff")).await;
    rig.send(rig.push().set("apns-priority", "7")).await;
    rig.send(rig.push().set("apns-collapse-id", "mine")).await;
    let received = phone.recv().await.unwrap();
    assert_eq!(received.header("apns-collapse-id"), Some("mine"));
    assert!(phone.try_recv().is_err());
}

#[tokio::test]
async fn a_crowd_receives_every_accepted_push() {
    let rig = ApnsRig::start().await;
    let mut crowd = rig.server.pushes().subscribe_all(8);
    rig.send(rig.push()).await;
    rig.send(rig.push().device("00ff")).await;
    let targets = [crowd.recv().await.unwrap(), crowd.recv().await.unwrap()];
    assert_eq!(targets.map(|push| push.target().to_owned()), [DEVICE, "00ff"]);
}

#[tokio::test]
async fn a_listener_that_does_not_keep_up_loses_pushes_and_they_are_counted() {
    let rig = ApnsRig::start().await;
    let mut slow = rig.server.pushes().subscribe_all(1);
    rig.send(rig.push()).await;
    rig.send(rig.push()).await;
    assert_eq!(rig.server.pushes().overflowed(), 1);
    assert_eq!(slow.recv().await.unwrap().sequence, 1);
    assert!(slow.try_recv().is_err());
}

#[tokio::test]
async fn debug_shows_neither_tokens_nor_payloads() {
    let rig = ApnsRig::start().await;
    let _phone = rig.server.pushes().subscribe(DEVICE).unwrap();
    rig.server.devices().register(DEVICE, TOPIC).unwrap();
    rig.server.faults().for_target(DEVICE, tocsin_mock::Repeat::Always, Fault::NeverAnswer).unwrap();
    rig.server.faults().clear();
    rig.send(rig.push()).await;
    let shown = format!(
        "{:?} {:?} {:?} {:?} {:?}",
        rig.server,
        rig.server.pushes(),
        rig.server.pushes().records(),
        rig.server.devices(),
        rig.server.faults()
    );
    assert!(!shown.contains(DEVICE) && !shown.contains("LOGIN") && !shown.contains("bearer"), "{shown}");
}
