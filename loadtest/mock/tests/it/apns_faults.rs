//! Scripted faults of APNs, as a client meets them.

use std::time::{Duration, Instant};

use h2::Reason;
use http::StatusCode;
use tocsin_mock::{ApnsReason, ApnsRefusal, Fault, PushOutcome, Repeat};

use super::client::{DEADLINE, begin_now, collect};
use super::rig::{ApnsRig, DEVICE};

const OTHER_DEVICE: &str = "00ff";

#[tokio::test]
async fn every_documented_refusal_can_be_scripted() {
    let rig = ApnsRig::start().await;
    let mut client = rig.client().await;
    for reason in ApnsReason::ALL {
        rig.server.faults().for_next(1, Fault::Refuse((*reason).into())).unwrap();
        let answer = client.send(rig.push_again()).await.unwrap();
        let seen = (answer.status.as_u16(), answer.reason());
        assert_eq!(seen, (reason.status(), reason.as_str().to_owned()));
    }
    assert_eq!(client.send(rig.push_again()).await.unwrap().status.as_u16(), 200);
}

#[tokio::test]
async fn an_undocumented_answer_goes_out_byte_for_byte() {
    let rig = ApnsRig::start().await;
    let status = StatusCode::IM_A_TEAPOT;
    let refusal = ApnsRefusal::Undocumented { status, body: "<html>".to_owned() };
    rig.server.faults().for_next(1, Fault::Refuse(refusal)).unwrap();
    let answer = rig.send(rig.push()).await;
    assert_eq!((answer.status, answer.body.as_ref()), (status, b"<html>".as_ref()));
}

#[tokio::test]
async fn a_scripted_refusal_does_not_hide_a_broken_rule() {
    let rig = ApnsRig::start().await;
    rig.server.faults().for_next(1, Fault::Refuse(ApnsReason::TooManyRequests.into())).unwrap();
    let answer = rig.send(rig.push().set("apns-priority", "7")).await;
    assert_eq!(answer.reason(), "BadPriority");
}

#[tokio::test]
async fn a_fault_for_one_device_leaves_the_others_alone() {
    let rig = ApnsRig::start().await;
    let fault = Fault::Refuse(ApnsReason::TooManyRequests.into());
    rig.server.faults().for_target(OTHER_DEVICE, Repeat::Always, fault).unwrap();
    assert_eq!(rig.send(rig.push()).await.status.as_u16(), 200);
    assert_eq!(rig.send(rig.push().device(OTHER_DEVICE)).await.reason(), "TooManyRequests");
    assert_eq!(rig.send(rig.push().device(OTHER_DEVICE)).await.reason(), "TooManyRequests");
    rig.server.faults().clear();
    assert_eq!(rig.send(rig.push().device(OTHER_DEVICE)).await.status.as_u16(), 200);
}

#[tokio::test]
async fn a_delayed_answer_comes_late() {
    let rig = ApnsRig::start().await;
    rig.server.faults().for_next(1, Fault::Delay(Duration::from_millis(60))).unwrap();
    let begun = Instant::now();
    assert_eq!(rig.send(rig.push()).await.status.as_u16(), 200);
    assert!(begun.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn a_push_that_is_never_answered_leaves_the_connection_usable() {
    let rig = ApnsRig::start().await;
    let mut client = rig.client().await;
    client.send(rig.push_again()).await.unwrap();
    client.until_limit(1_000).await;
    rig.server.faults().for_next(1, Fault::NeverAnswer).unwrap();
    let silent = client.begin(rig.push_again()).await.unwrap();
    let seen = |push: &tocsin_mock::PushRecord| push.outcome == PushOutcome::Unprocessed;
    rig.server.pushes().wait_for_push(seen, DEADLINE).await.unwrap();
    assert_eq!(client.send(rig.push_again()).await.unwrap().status.as_u16(), 200);
    drop(silent);
}

#[tokio::test]
async fn a_refused_stream_is_not_processed() {
    let rig = ApnsRig::start().await;
    rig.server.faults().for_next(1, Fault::RefuseStream).unwrap();
    let mut client = rig.client().await;
    let error = client.send(rig.push_again()).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::REFUSED_STREAM));
    assert_eq!(client.send(rig.push_again()).await.unwrap().status.as_u16(), 200);
    assert_eq!((rig.server.pushes().accepted(), rig.server.pushes().unprocessed()), (1, 1));
}

#[tokio::test]
async fn a_cut_before_reading_ends_the_connection_and_leaves_no_record() {
    let rig = ApnsRig::start().await;
    rig.server.faults().for_next(1, Fault::CutBeforeReading).unwrap();
    let mut client = rig.client().await;
    assert!(client.send(rig.push_again()).await.is_err());
    assert!(rig.server.pushes().records().is_empty());
    assert_eq!(rig.send(rig.push()).await.status.as_u16(), 200);
}

#[tokio::test]
async fn a_cut_after_reading_leaves_the_push_unprocessed() {
    let rig = ApnsRig::start().await;
    rig.server.faults().for_next(1, Fault::CutAfterReading).unwrap();
    assert!(rig.client().await.send(rig.push_again()).await.is_err());
    assert_eq!(rig.server.pushes().records()[0].outcome, PushOutcome::Unprocessed);
}

#[tokio::test]
async fn a_cut_after_processing_loses_only_the_answer() {
    let rig = ApnsRig::start().await;
    let mut phone = rig.server.pushes().subscribe(DEVICE).unwrap();
    rig.server.faults().for_next(1, Fault::CutAfterProcessing).unwrap();
    assert!(rig.client().await.send(rig.push_again()).await.is_err());
    assert!(phone.recv().await.unwrap().is_accepted());
}

#[tokio::test]
async fn a_push_above_the_last_stream_of_goaway_is_not_processed() {
    let rig = ApnsRig::start().await;
    let mut client = rig.client().await;
    client.send(rig.push_again()).await.unwrap();
    let debug_data = r#"{"reason":"Shutdown"}"#.to_owned();
    rig.server.faults().for_next(1, Fault::GoAway { debug_data, processed: false }).unwrap();
    let error = client.send(rig.push_again()).await.unwrap_err();
    assert!(error.is_go_away() && error.is_remote(), "{error:?}");
    assert_eq!(error.reason(), Some(Reason::NO_ERROR));
    let ended = tokio::time::timeout(DEADLINE, client.driver).await.unwrap().unwrap();
    let told = format!("{ended:?}{error:?}");
    assert!(told.contains("Shutdown"), "the debug data is readable: {told}");
    assert_eq!((rig.server.pushes().accepted(), rig.server.pushes().unprocessed()), (1, 1));
}

#[tokio::test]
async fn streams_up_to_the_last_one_of_goaway_are_still_answered() {
    let rig = ApnsRig::start().await;
    let mut client = rig.client().await;
    client.send(rig.push_again()).await.unwrap();
    client.until_limit(1_000).await;
    rig.server.faults().for_next(1, Fault::Delay(Duration::from_millis(80))).unwrap();
    let earlier = begin_now(&mut client.sender, rig.push_again()).unwrap();
    let accepted = |push: &tocsin_mock::PushRecord| push.sequence == 2;
    rig.server.pushes().wait_for_push(accepted, DEADLINE).await.unwrap();
    let debug_data = r#"{"reason":"Shutdown"}"#.to_owned();
    rig.server.faults().for_next(1, Fault::GoAway { debug_data, processed: true }).unwrap();
    let last = begin_now(&mut client.sender, rig.push_again()).unwrap();
    assert_eq!(collect(last).await.unwrap().status.as_u16(), 200);
    assert_eq!(collect(earlier).await.unwrap().status.as_u16(), 200);
    assert!(client.send(rig.push_again()).await.is_err(), "no new stream after GOAWAY");
}

#[tokio::test]
async fn goaway_on_every_connection_answers_what_is_in_flight() {
    let rig = ApnsRig::start().await;
    rig.server.faults().for_next(1, Fault::Delay(Duration::from_millis(80))).unwrap();
    let mut client = rig.client().await;
    let response = client.begin(rig.push_again()).await.unwrap();
    rig.server.pushes().wait_for_push(|_| true, DEADLINE).await.unwrap();
    rig.server.go_away_all("Shutdown");
    assert_eq!(collect(response).await.unwrap().status.as_u16(), 200);
    let ended = tokio::time::timeout(DEADLINE, client.driver).await;
    assert!(ended.is_ok(), "the connection ends");
}

#[tokio::test]
async fn a_push_below_a_processed_one_is_refused_and_not_covered_by_goaway() {
    let rig = ApnsRig::start().await;
    let mut client = rig.client().await;
    client.send(rig.push_again()).await.unwrap();
    client.until_limit(1_000).await;
    let head = rig.push_again().map(drop);
    let (slow, mut slow_body) = client.sender.send_request(head, false).unwrap();
    assert_eq!(client.send(rig.push_again()).await.unwrap().status.as_u16(), 200);
    rig.server.faults().for_next(1, Fault::GoAway { debug_data: "{}".to_owned(), processed: false }).unwrap();
    slow_body.send_data("{}".into(), true).unwrap();
    let error = collect(slow).await.unwrap_err();
    assert_eq!((error.is_reset(), error.reason()), (true, Some(Reason::REFUSED_STREAM)));
    assert_eq!((rig.server.pushes().accepted(), rig.server.pushes().unprocessed()), (2, 1));
}
