//! What every provider must do, whatever it delivers: one suite, run against the push networks, the gateways and
//! the mail server.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tocsin_engine::protocol::DeliveryOutcome::{Failed, Relayed, Unknown};
use tocsin_engine::provider::{ReportCall, ReportFault};
use tocsin_model::DeliveryReason;

use super::gateway_rig::Gateway;
use super::ground::{PATIENCE, Refusal, impatient, until};
use super::rig::Which;
use super::subject::{Network, Subject};

macro_rules! conformance {
    ($($behaviour:ident,)+) => {
        conformance! { @ apns Network::Push(Which::Apns), $($behaviour,)+ }
        conformance! { @ fcm Network::Push(Which::Fcm), $($behaviour,)+ }
        conformance! { @ twilio Network::Sms(Gateway::Twilio), $($behaviour,)+ }
        conformance! { @ http_sms Network::Sms(Gateway::Http), $($behaviour,)+ }
        conformance! { @ smtp Network::Mail, $($behaviour,)+ }
    };
    (@ $name:ident $network:expr, $($behaviour:ident,)+) => {
        mod $name {
            use super::*;

            $(#[tokio::test]
            async fn $behaviour() {
                super::$behaviour($network).await;
            })+
        }
    };
}

conformance! {
    a_parcel_is_relayed_once_and_counted,
    a_throttled_parcel_waits_and_is_relayed,
    a_throttled_parcel_without_time_fails,
    a_network_out_of_order_is_unavailable_after_two_tries,
    a_parcel_without_an_answer_is_unknown_and_ends_in_time,
    a_parcel_that_nobody_can_use_in_time_is_not_sent,
    a_refused_credential_fails_and_is_counted,
    an_outage_fails_quickly_and_its_end_is_noticed,
    a_certificate_of_an_unknown_authority_is_not_trusted,
    a_closed_driver_sends_nothing_and_keeps_nothing_warm,
    a_parcel_for_another_network_is_refused,
    a_report_that_nobody_signed_is_not_taken,
}

async fn a_parcel_is_relayed_once_and_counted(network: Network) {
    let subject = Subject::start(network).await;
    let written = AtomicUsize::new(0);
    let count = || {
        written.fetch_add(1, Ordering::Relaxed);
    };
    let report = subject.driver().deliver(&subject.parcel(1), &count).await;
    assert_eq!((report.outcome, report.healthy), (Relayed, Some(true)));
    assert_eq!((written.into_inner(), subject.counts()), (1, (1, 0)));
    let snapshot = subject.driver().snapshot();
    assert_eq!(snapshot.answers.first(), Some(&("ok", 1)));
    assert_eq!((snapshot.transport.connects_ok, snapshot.transport.streams_in_flight), (1, 0));
}

async fn a_throttled_parcel_waits_and_is_relayed(network: Network) {
    let subject = Subject::start(network).await;
    subject.refuse(1, Refusal::Throttled);
    let began = Instant::now();
    assert_eq!(subject.deliver(&subject.parcel(1)).await.outcome, Relayed);
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(subject.counts(), (1, 1));
}

async fn a_throttled_parcel_without_time_fails(network: Network) {
    let subject = Subject::start(network).await;
    subject.refuse(1, Refusal::Throttled);
    let report = subject.deliver(&subject.brief_parcel(1, 1_900)).await;
    assert_eq!((report.outcome, report.verdict), (Failed(DeliveryReason::Throttled), None));
    assert_ne!(report.healthy, Some(false), "a network that throttles is not out of order");
}

async fn a_network_out_of_order_is_unavailable_after_two_tries(network: Network) {
    let subject = Subject::start(network).await;
    subject.refuse(u32::MAX, Refusal::Unavailable);
    let report = subject.deliver(&subject.parcel(1)).await;
    assert_eq!(report.outcome, Failed(DeliveryReason::Unavailable));
    assert_eq!((report.verdict, report.healthy), (None, Some(false)));
    assert_eq!(subject.counts(), (0, 2));
}

async fn a_parcel_without_an_answer_is_unknown_and_ends_in_time(network: Network) {
    let subject = Subject::start_with(network, impatient, false).await;
    subject.deliver(&subject.parcel(9)).await;
    subject.fall_silent();
    let began = Instant::now();
    let report = subject.deliver(&subject.parcel(1)).await;
    assert_eq!((report.outcome, report.healthy), (Unknown(DeliveryReason::Cut), Some(false)));
    assert!(began.elapsed() < Duration::from_secs(10));
    subject.calm();
    assert_eq!(subject.deliver(&subject.parcel(2)).await.outcome, Relayed);
}

async fn a_parcel_that_nobody_can_use_in_time_is_not_sent(network: Network) {
    let subject = Subject::start(network).await;
    let report = subject.deliver(&subject.brief_parcel(1, 900)).await;
    assert_eq!((report.outcome, report.healthy), (Failed(DeliveryReason::Late), None));
    assert_eq!(subject.requests(), 0);
}

async fn a_refused_credential_fails_and_is_counted(network: Network) {
    let subject = Subject::start(network).await;
    subject.deliver(&subject.parcel(1)).await;
    subject.revoke_credential();
    let report = subject.deliver(&subject.parcel(2)).await;
    assert_eq!(report.outcome, Failed(DeliveryReason::CredentialRefused));
    assert_eq!((report.verdict, report.healthy), (None, Some(false)));
    assert_eq!(subject.counts(), (1, 1), "it is not tried again");
    assert_eq!(subject.driver().snapshot().credential_faults, 1);
}

async fn an_outage_fails_quickly_and_its_end_is_noticed(network: Network) {
    let subject = Subject::start(network).await;
    assert_eq!(subject.deliver(&subject.parcel(1)).await.outcome, Relayed);
    subject.stop_server().await;
    let is_noticed = || match network {
        Network::Push(_) => subject.driver().snapshot().transport.connections_open == 0,
        // Their connections are looked at when they are wanted.
        Network::Sms(_) | Network::Mail => true,
    };
    until("the driver sees the outage", is_noticed).await;
    let report = subject.deliver(&subject.brief_parcel(2, 1_200)).await;
    assert_eq!((report.outcome, report.healthy), (Failed(DeliveryReason::Unavailable), Some(false)));
    subject.start_server_again().await;
    assert_eq!(subject.deliver(&subject.parcel(3)).await.outcome, Relayed);
}

async fn a_certificate_of_an_unknown_authority_is_not_trusted(network: Network) {
    let subject = Subject::start_with(network, |_| (), true).await;
    let report = subject.deliver(&subject.brief_parcel(1, 1_200)).await;
    assert_eq!((report.outcome, report.healthy), (Failed(DeliveryReason::Unavailable), Some(false)));
    assert_eq!((subject.requests(), subject.counts()), (0, (0, 0)));
}

async fn a_closed_driver_sends_nothing_and_keeps_nothing_warm(network: Network) {
    let subject = Subject::start(network).await;
    let driver = subject.driver().clone();
    let warming = tokio::spawn(async move { driver.keep_warm().await });
    assert_eq!(subject.deliver(&subject.parcel(1)).await.outcome, Relayed);
    subject.driver().close();
    tokio::time::timeout(PATIENCE, warming).await.expect("it ends").expect("no panic");
    let report = subject.deliver(&subject.parcel(2)).await;
    assert_eq!((report.outcome, report.healthy), (Failed(DeliveryReason::Unavailable), None));
    until("its connections are closed", || subject.driver().snapshot().transport.connections_open == 0).await;
}

async fn a_parcel_for_another_network_is_refused(network: Network) {
    let subject = Subject::start(network).await;
    for other in [Network::Push(Which::Apns), Network::Sms(Gateway::Twilio), Network::Mail] {
        if std::mem::discriminant(&other) == std::mem::discriminant(&network) {
            continue;
        }
        let parcel = Subject::start(other).await.parcel(1);
        let report = subject.driver().deliver(&parcel, &|| panic!("nothing is sent")).await;
        assert_eq!(report.outcome, Failed(DeliveryReason::RequestRefused), "{other:?}");
        assert_eq!((report.verdict, report.healthy, subject.requests()), (None, None, 0), "{other:?}");
    }
}

async fn a_report_that_nobody_signed_is_not_taken(network: Network) {
    let subject = Subject::start(network).await;
    let call = ReportCall { url: "https://push.example.com/", query: "", header: &|_| None, body: b"" };
    let takes_reports = network == Network::Sms(Gateway::Twilio);
    let expected = if takes_reports { ReportFault::BadSignature } else { ReportFault::NotHere };
    assert_eq!(subject.driver().read_report(&call), Err(expected));
}
