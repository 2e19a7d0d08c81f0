//! What every provider must do, whatever it delivers: one suite, run against the push networks and the gateways.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tocsin_config::ProviderLimits;
use tocsin_engine::clock::Clock;
use tocsin_engine::protocol::DeliveryOutcome::{Failed, Relayed, Unknown};
use tocsin_engine::protocol::Parcel;
use tocsin_engine::provider::{Driver, DriverReport, ReportCall, ReportFault};
use tocsin_mock::Fault;
use tocsin_model::{DeliveryReason, DurationMs, UnixMs};

use super::gateway_rig::{Gateway, GatewayRig, GatewayRigOptions, impatient};
use super::rig::{PATIENCE, Refusal, Rig, RigOptions, Which, parcel, until};

/// What delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    Push(Which),
    Sms(Gateway),
}

macro_rules! conformance {
    ($($behaviour:ident,)+) => {
        conformance! { @ apns Network::Push(Which::Apns), $($behaviour,)+ }
        conformance! { @ fcm Network::Push(Which::Fcm), $($behaviour,)+ }
        conformance! { @ twilio Network::Sms(Gateway::Twilio), $($behaviour,)+ }
        conformance! { @ http_sms Network::Sms(Gateway::Http), $($behaviour,)+ }
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

/// A rig of either sort.
enum Subject {
    Push(Rig),
    Sms(GatewayRig),
}

impl Subject {
    async fn start(network: Network) -> Self {
        Self::start_with(network, |_| (), false).await
    }

    async fn start_with(network: Network, limits: fn(&mut ProviderLimits), trusts_others: bool) -> Self {
        match network {
            Network::Push(which) => {
                let options = RigOptions { limits, trusts_others, ..RigOptions::default() };
                Self::Push(Rig::start_with(which, options).await)
            }
            Network::Sms(which) => {
                let options = GatewayRigOptions { limits, trusts_others, ..GatewayRigOptions::default() };
                Self::Sms(GatewayRig::start_with(which, options).await)
            }
        }
    }

    fn driver(&self) -> &Arc<dyn Driver> {
        match self {
            Self::Push(rig) => &rig.driver,
            Self::Sms(rig) => &rig.driver,
        }
    }

    fn clock(&self) -> &Clock {
        match self {
            Self::Push(rig) => &rig.clock,
            Self::Sms(rig) => &rig.clock,
        }
    }

    /// The parcel with this number, good for half a minute.
    fn parcel(&self, number: u8) -> Parcel {
        match self {
            Self::Push(rig) => parcel(&rig.push(number)),
            Self::Sms(rig) => Parcel::Code(Box::new(rig.message(number))),
        }
    }

    /// The same, good for so long only.
    fn brief_parcel(&self, number: u8, milliseconds: u64) -> Parcel {
        let expires_at: UnixMs = self.clock().now().plus(DurationMs::new(milliseconds));
        let mut parcel = self.parcel(number);
        match &mut parcel {
            Parcel::Push(push) => push.expires_at = expires_at,
            Parcel::Code(message) => message.expires_at = expires_at,
        }
        parcel
    }

    async fn deliver(&self, parcel: &Parcel) -> DriverReport {
        let delivering = self.driver().deliver(parcel, &|| ());
        tokio::time::timeout(PATIENCE, delivering).await.expect("it ends by itself")
    }

    fn refuse(&self, times: u32, refusal: Refusal) {
        match self {
            Self::Push(rig) => rig.refuse(times, refusal),
            Self::Sms(rig) => rig.refuse(times, refusal),
        }
    }

    fn disturb(&self, times: u32, fault: Fault<std::convert::Infallible>) {
        match self {
            Self::Push(rig) => rig.disturb(times, fault),
            Self::Sms(rig) => rig.disturb(times, fault),
        }
    }

    fn calm(&self) {
        match self {
            Self::Push(rig) => rig.calm(),
            Self::Sms(rig) => rig.faults().clear(),
        }
    }

    fn revoke_credential(&self) {
        match self {
            Self::Push(rig) => rig.revoke_credential(),
            Self::Sms(rig) => rig.refuse(u32::MAX, Refusal::Unauthenticated),
        }
    }

    /// Parcels that were taken, and those that were refused.
    fn counts(&self) -> (u64, u64) {
        match self {
            Self::Push(rig) => (rig.log().accepted(), rig.log().refused()),
            Self::Sms(rig) => {
                let (all, taken) = (rig.log().records().len(), rig.log().taken().len());
                (taken as u64, (all - taken) as u64)
            }
        }
    }

    fn requests(&self) -> u64 {
        match self {
            Self::Push(rig) => rig.traffic().requests,
            Self::Sms(rig) => rig.traffic().requests,
        }
    }

    async fn stop_server(&self) {
        match self {
            Self::Push(rig) => rig.stop_server().await,
            Self::Sms(rig) => rig.stop_server().await,
        }
    }

    async fn start_server_again(&self) {
        match self {
            Self::Push(rig) => rig.start_server_again().await,
            Self::Sms(rig) => rig.start_server_again().await,
        }
    }
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
    subject.disturb(u32::MAX, Fault::NeverAnswer);
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
        // A gateway's connection is looked at when it is wanted.
        Network::Sms(_) => true,
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
    let other = match network {
        Network::Push(_) => Subject::start(Network::Sms(Gateway::Twilio)).await,
        Network::Sms(_) => Subject::start(Network::Push(Which::Apns)).await,
    };
    let report = subject.driver().deliver(&other.parcel(1), &|| panic!("nothing is sent")).await;
    assert_eq!(report.outcome, Failed(DeliveryReason::RequestRefused));
    assert_eq!((report.verdict, report.healthy, subject.requests()), (None, None, 0));
}

async fn a_report_that_nobody_signed_is_not_taken(network: Network) {
    let subject = Subject::start(network).await;
    let call = ReportCall { url: "https://push.example.com/", query: "", header: &|_| None, body: b"" };
    let takes_reports = network == Network::Sms(Gateway::Twilio);
    let expected = if takes_reports { ReportFault::BadSignature } else { ReportFault::NotHere };
    assert_eq!(subject.driver().read_report(&call), Err(expected));
}
