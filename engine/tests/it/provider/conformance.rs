//! What every push network must do beside what all providers must (`common`): one suite, run against APNs and FCM.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tocsin_engine::protocol::DeliveryOutcome::{Failed, Relayed, Unknown};
use tocsin_engine::provider::PushVerdict;
use tocsin_mock::Fault;
use tocsin_model::{DeliveryReason, DurationMs};

use super::ground::{PATIENCE, Refusal, until};
use super::rig::{Rig, RigOptions, Which, parcel, relayed};

macro_rules! conformance {
    ($($behaviour:ident,)+) => {
        mod apns {
            $(#[tokio::test]
            async fn $behaviour() {
                super::$behaviour(super::Which::Apns).await;
            })+
        }

        mod fcm {
            $(#[tokio::test]
            async fn $behaviour() {
                super::$behaviour(super::Which::Fcm).await;
            })+
        }
    };
}

conformance! {
    a_push_is_relayed_once_and_the_address_is_good,
    a_dead_address_is_said_to_be_dead,
    a_refused_address_is_only_suspect,
    a_fault_of_the_network_is_tried_once_more_on_another_connection,
    a_push_that_was_cut_is_sent_again_with_the_same_ids,
    a_push_that_is_cut_twice_is_unknown,
    a_push_without_an_answer_is_unknown_and_ends_in_time,
    goaway_in_full_flight_loses_nothing_and_doubles_nothing,
    a_push_above_goaways_last_id_and_a_refused_stream_are_sent_again,
    two_hundred_first_pushes_share_one_token_and_respect_the_limit,
    an_old_token_that_is_refused_is_renewed_and_the_push_relayed,
    a_young_token_that_is_refused_is_not_replaced,
    streams_follow_a_limit_that_falls_and_rises,
    a_driver_kept_warm_is_ready_before_traffic_and_ends_when_closed,
    a_full_queue_answers_busy,
}

async fn a_push_is_relayed_once_and_the_address_is_good(which: Which) {
    let rig = Rig::start(which).await;
    let written = AtomicUsize::new(0);
    let count = || {
        written.fetch_add(1, Ordering::Relaxed);
    };
    let report = rig.driver.deliver(&parcel(&rig.push(1)), &count).await;
    assert_eq!(report.outcome, Relayed);
    assert_eq!((report.verdict, report.healthy), (Some(PushVerdict::Good), Some(true)));
    assert_eq!(written.load(Ordering::Relaxed), 1);
    assert_eq!((rig.log().accepted(), rig.log().refused()), (1, 0));
    assert_eq!(rig.driver.snapshot().answers.first(), Some(&("ok", 1)));
}

async fn a_dead_address_is_said_to_be_dead(which: Which) {
    let rig = Rig::start(which).await;
    let since = rig.clock.now();
    rig.kill_target(1, since);
    let report = rig.deliver(&rig.push(1)).await;
    assert_eq!(report.outcome, Failed(DeliveryReason::TokenDead));
    let since = (which == Which::Apns).then_some(since);
    assert_eq!((report.verdict, report.healthy), (Some(PushVerdict::Dead { since }), Some(true)));
    assert_eq!(rig.log().refused(), 1, "it is not tried again");
}

async fn a_refused_address_is_only_suspect(which: Which) {
    let rig = Rig::start(which).await;
    rig.spoil_target(1);
    let report = rig.deliver(&rig.push(1)).await;
    assert_eq!(report.outcome, Failed(DeliveryReason::TokenSuspect));
    assert_eq!((report.verdict, report.healthy), (Some(PushVerdict::Suspect), Some(true)));
    assert_eq!(rig.log().refused(), 1, "it is not tried again");
    assert_eq!(rig.deliver(&rig.push(2)).await.outcome, Relayed, "others are not touched");
}

async fn a_fault_of_the_network_is_tried_once_more_on_another_connection(which: Which) {
    let rig = Rig::start(which).await;
    rig.refuse(1, Refusal::Internal);
    assert_eq!(rig.deliver(&rig.push(1)).await.outcome, Relayed);
    let records = rig.log().records();
    assert_eq!(records.len(), 2);
    assert_ne!(records[0].connection, records[1].connection);
    assert_eq!(rig.identity(&records[0]), rig.identity(&records[1]));
}

async fn a_push_that_was_cut_is_sent_again_with_the_same_ids(which: Which) {
    let rig = Rig::start(which).await;
    rig.deliver(&rig.push(0)).await;
    rig.disturb(1, Fault::CutAfterProcessing);
    assert_eq!(rig.deliver(&rig.push(1)).await.outcome, Relayed);
    let records = rig.log().records();
    assert_eq!(records.len(), 3);
    assert_eq!(rig.identity(&records[1]), rig.identity(&records[2]));
}

async fn a_push_that_is_cut_twice_is_unknown(which: Which) {
    let rig = Rig::start(which).await;
    rig.deliver(&rig.push(0)).await;
    rig.disturb(2, Fault::CutAfterReading);
    let report = rig.deliver(&rig.push(1)).await;
    assert_eq!(report.outcome, Unknown(DeliveryReason::Cut));
    assert_eq!((report.verdict, report.healthy), (None, Some(false)));
    assert_eq!(rig.log().unprocessed(), 2);
    assert_eq!(rig.deliver(&rig.push(2)).await.outcome, Relayed, "the next one finds a connection");
}

async fn a_push_without_an_answer_is_unknown_and_ends_in_time(which: Which) {
    let limits = |limits: &mut tocsin_config::ProviderLimits| {
        limits.request_timeout = DurationMs::new(500);
    };
    let rig = Rig::start_with(which, RigOptions { limits, ..RigOptions::default() }).await;
    rig.deliver(&rig.push(9)).await;
    rig.disturb(u32::MAX, Fault::NeverAnswer);
    let began = Instant::now();
    assert_eq!(rig.deliver(&rig.push(1)).await.outcome, Unknown(DeliveryReason::Cut));
    assert!(began.elapsed() >= Duration::from_millis(900), "one repetition, each with its time");
    assert!(began.elapsed() < Duration::from_secs(10), "and no more");
    rig.calm();
    assert_eq!(rig.deliver(&rig.push(2)).await.outcome, Relayed);
}

async fn goaway_in_full_flight_loses_nothing_and_doubles_nothing(which: Which) {
    let rig = Rig::start(which).await;
    rig.deliver(&rig.push(0)).await;
    rig.disturb(u32::MAX, Fault::Delay(Duration::from_millis(50)));
    let sending: Vec<_> = (1..=200).map(|number| rig.spawn(rig.push(number))).collect();
    rig.log().wait_for_push(|push| push.sequence > 20, PATIENCE).await.expect("in flight");
    rig.go_away_all();
    assert_eq!(relayed(sending).await, 200);
    assert_eq!(rig.log().accepted(), 201);
    assert!(rig.driver.snapshot().transport.goaways >= 1);
}

async fn a_push_above_goaways_last_id_and_a_refused_stream_are_sent_again(which: Which) {
    let rig = Rig::start(which).await;
    rig.deliver(&rig.push(0)).await;
    let debug_data = r#"{"reason":"Shutdown"}"#.to_owned();
    rig.disturb(1, Fault::GoAway { debug_data, processed: false });
    rig.disturb(1, Fault::RefuseStream);
    assert_eq!(rig.deliver(&rig.push(1)).await.outcome, Relayed);
    assert_eq!(rig.log().accepted(), 2);
    assert_eq!(rig.driver.snapshot().transport.resent_unprocessed, 2);
}

async fn two_hundred_first_pushes_share_one_token_and_respect_the_limit(which: Which) {
    let rig = Rig::start_with(which, RigOptions { stream_limit: 7, ..RigOptions::default() }).await;
    assert_eq!(rig.relay_all(0..200).await, 200);
    assert_eq!(rig.driver.snapshot().tokens_made, 1);
    let records = rig.log().records();
    let token = records[0].header("authorization").expect("a token");
    assert!(records.iter().all(|record| record.header("authorization") == Some(token)));
    let traffic = rig.traffic();
    assert_eq!((traffic.streams_refused, traffic.requests), (0, 200));
    assert!(traffic.streams_peak <= 7, "{} streams", traffic.streams_peak);
}

async fn an_old_token_that_is_refused_is_renewed_and_the_push_relayed(which: Which) {
    let clocks_behind = Duration::from_secs(25 * 60);
    let rig = Rig::start_with(which, RigOptions { clocks_behind, ..RigOptions::default() }).await;
    assert_eq!(rig.deliver(&rig.push(1)).await.outcome, Relayed);
    rig.catch_up(clocks_behind);
    rig.refuse(1, Refusal::Unauthenticated);
    assert_eq!(rig.deliver(&rig.push(2)).await.outcome, Relayed);
    let records = rig.log().records();
    let token = |index: usize| records[index].header("authorization").expect("a token");
    assert_eq!(token(0), token(1));
    assert_ne!(token(1), token(2));
    assert_eq!(rig.driver.snapshot().tokens_made, 2);
}

async fn a_young_token_that_is_refused_is_not_replaced(which: Which) {
    let rig = Rig::start(which).await;
    rig.refuse(u32::MAX, Refusal::Unauthenticated);
    let report = rig.deliver(&rig.push(1)).await;
    assert_eq!((report.outcome, report.healthy), (Failed(DeliveryReason::CredentialRefused), Some(false)));
    assert_eq!(rig.log().refused(), 2, "one repetition");
    let snapshot = rig.driver.snapshot();
    assert_eq!((snapshot.tokens_made, snapshot.credential_faults), (1, 1));
}

async fn streams_follow_a_limit_that_falls_and_rises(which: Which) {
    let limits = |limits: &mut tocsin_config::ProviderLimits| limits.connections_max = 1;
    let rig = Rig::start_with(which, RigOptions { limits, stream_limit: 50, ..RigOptions::default() }).await;
    assert_eq!(rig.relay_all(0..100).await, 100);
    for round in 0..3 {
        rig.disturb(1, Fault::LowerStreamLimit);
        assert_eq!(rig.relay_all(0..100).await, 100, "round {round}");
    }
    let traffic = rig.traffic();
    assert_eq!((traffic.streams_refused, traffic.requests), (0, 400));
    let reports = rig.connections();
    assert_eq!(reports.len(), 1);
    assert!((2..=50).contains(&reports[0].streams_peak), "{} streams", reports[0].streams_peak);
}

async fn a_driver_kept_warm_is_ready_before_traffic_and_ends_when_closed(which: Which) {
    let rig = Rig::start(which).await;
    let driver = rig.driver.clone();
    let warming = tokio::spawn(async move { driver.keep_warm().await });
    let is_warm = || {
        let snapshot = rig.driver.snapshot();
        snapshot.tokens_made == 1 && snapshot.transport.connections_open == 1
    };
    until("it is warm", is_warm).await;
    assert_eq!(rig.traffic().requests, 0);
    rig.driver.close();
    tokio::time::timeout(PATIENCE, warming).await.expect("it ends").expect("no panic");
    let report = rig.deliver(&rig.push(1)).await;
    assert_eq!((report.outcome, report.healthy), (Failed(DeliveryReason::Unavailable), None));
}

async fn a_full_queue_answers_busy(which: Which) {
    let limits = |limits: &mut tocsin_config::ProviderLimits| {
        (limits.connections_max, limits.queue_max) = (1, 5);
    };
    let rig = Rig::start_with(which, RigOptions { limits, stream_limit: 1, ..RigOptions::default() }).await;
    rig.deliver(&rig.push(0)).await;
    rig.disturb(1, Fault::Delay(Duration::from_millis(500)));
    let sending: Vec<_> = (1..=20).map(|number| rig.spawn(rig.push(number))).collect();
    let (mut busy, mut relayed) = (0, 0);
    for task in sending {
        match task.await.expect("no panic").outcome {
            Failed(DeliveryReason::Busy) => busy += 1,
            Relayed => relayed += 1,
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!((busy, relayed), (14, 6), "one in flight and five in the queue");
    assert_eq!(rig.driver.snapshot().transport.refused_busy, 14);
}
