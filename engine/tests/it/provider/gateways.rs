//! What SMS gateways alone must do: nothing is sent twice unless it is known or asked for, and what is said arrives.

use std::io::{Read as _, Seek as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tocsin_engine::protocol::DeliveryOutcome::{Failed, Relayed, Unknown};
use tocsin_engine::provider::{MessageFate, ReportCall, ReportFault};
use tocsin_mock::{Fault, GatewayForm, SmsRefusal};
use tocsin_model::{CodeText, DeliveryReason};

use super::gateway_rig::{AUTH_TOKEN, Gateway, GatewayRig, GatewayRigOptions, IMPATIENT, ISSUER, phone};
use super::ground::{Refusal, impatient};

macro_rules! both {
    ($($behaviour:ident,)+) => {
        mod twilio {
            $(#[tokio::test]
            async fn $behaviour() {
                super::$behaviour(super::Gateway::Twilio).await;
            })+
        }

        mod http_sms {
            $(#[tokio::test]
            async fn $behaviour() {
                super::$behaviour(super::Gateway::Http).await;
            })+
        }
    };
}

both! {
    a_message_that_was_cut_is_unknown_and_not_sent_again,
    a_message_without_an_answer_is_not_sent_again,
    a_fault_that_says_nothing_is_unknown_and_not_sent_again,
    an_unknown_message_is_sent_once_more_where_that_is_asked_for,
    a_message_that_never_left_is_sent_after_all,
    a_number_that_is_refused_for_good_says_so,
    a_refusal_of_the_request_is_not_repeated,
    hostile_texts_arrive_as_they_are,
    connections_are_used_again_and_bounded,
    a_stalled_gateway_holds_no_more_than_its_connections,
    nothing_of_a_message_is_printed,
}

async fn a_message_that_was_cut_is_unknown_and_not_sent_again(which: Gateway) {
    let rig = GatewayRig::start(which).await;
    for fault in [Fault::CutAfterReading, Fault::CutAfterProcessing, Fault::CutBeforeReading] {
        let before = rig.traffic().requests;
        rig.disturb(1, fault.clone());
        let report = rig.deliver(&rig.message(1)).await;
        assert_eq!(report.outcome, Unknown(DeliveryReason::Cut), "{fault:?}");
        assert_eq!((report.verdict, report.healthy), (None, Some(false)));
        assert_eq!(rig.traffic().requests, before + 1, "{fault:?}");
    }
    assert_eq!(rig.deliver(&rig.message(2)).await.outcome, Relayed, "the next one finds a connection");
}

async fn a_message_without_an_answer_is_not_sent_again(which: Gateway) {
    let options = GatewayRigOptions { limits: impatient, ..GatewayRigOptions::default() };
    let rig = GatewayRig::start_with(which, options).await;
    rig.deliver(&rig.message(9)).await;
    rig.disturb(u32::MAX, Fault::NeverAnswer);
    let began = Instant::now();
    assert_eq!(rig.deliver(&rig.message(1)).await.outcome, Unknown(DeliveryReason::Cut));
    assert!(began.elapsed() >= IMPATIENT);
    assert_eq!(rig.traffic().requests, 2);
}

async fn a_fault_that_says_nothing_is_unknown_and_not_sent_again(which: Gateway) {
    let rig = GatewayRig::start(which).await;
    rig.refuse(u32::MAX, Refusal::Internal);
    let report = rig.deliver(&rig.message(1)).await;
    assert_eq!((report.outcome, report.healthy), (Unknown(DeliveryReason::Cut), Some(false)));
    assert_eq!(rig.log().records().len(), 1);
}

async fn an_unknown_message_is_sent_once_more_where_that_is_asked_for(which: Gateway) {
    let options = GatewayRigOptions { resend_unknown: true, ..GatewayRigOptions::default() };
    let rig = GatewayRig::start_with(which, options).await;
    rig.disturb(1, Fault::CutAfterProcessing);
    assert_eq!(rig.deliver(&rig.message(1)).await.outcome, Relayed);
    let taken = rig.log().taken();
    assert_eq!((taken.len(), taken[0].text()), (2, taken[1].text()));
    rig.disturb(u32::MAX, Fault::CutAfterProcessing);
    assert_eq!(rig.deliver(&rig.message(2)).await.outcome, Unknown(DeliveryReason::Cut));
    assert_eq!(rig.log().taken().len(), 4, "once, and not more often");
}

async fn a_message_that_never_left_is_sent_after_all(which: Gateway) {
    let rig = GatewayRig::start(which).await;
    rig.refuse(1, Refusal::Unavailable);
    assert_eq!(rig.deliver(&rig.message(1)).await.outcome, Relayed);
    assert_eq!((rig.log().records().len(), rig.log().taken().len()), (2, 1));
}

async fn a_number_that_is_refused_for_good_says_so(which: Gateway) {
    let rig = GatewayRig::start(which).await;
    let refusal = match which {
        Gateway::Twilio => SmsRefusal::twilio(21_610),
        Gateway::Http => SmsRefusal::status(http::StatusCode::UNPROCESSABLE_ENTITY),
    };
    let always = tocsin_mock::Repeat::Always;
    rig.faults().for_target(phone(1).expose(), always, Fault::Refuse(refusal)).expect("room");
    let report = rig.deliver(&rig.message(1)).await;
    assert_eq!(report.outcome, Failed(DeliveryReason::AddressRefused));
    assert_eq!((report.verdict, report.healthy), (None, Some(true)), "the gateway is in order");
    assert_eq!(rig.log().records().len(), 1, "it is not tried again");
    assert_eq!(rig.deliver(&rig.message(2)).await.outcome, Relayed, "others are not touched");
}

async fn a_refusal_of_the_request_is_not_repeated(which: Gateway) {
    let rig = GatewayRig::start(which).await;
    let refusal = match which {
        Gateway::Twilio => SmsRefusal::twilio(21_612),
        Gateway::Http => SmsRefusal::status(http::StatusCode::BAD_REQUEST),
    };
    rig.faults().for_all(Fault::Refuse(refusal)).expect("room");
    assert_eq!(rig.deliver(&rig.message(1)).await.outcome, Failed(DeliveryReason::RequestRefused));
    assert_eq!(rig.log().records().len(), 1);
}

async fn hostile_texts_arrive_as_they_are(which: Gateway) {
    let forms: &[GatewayForm] = match which {
        Gateway::Twilio => &[GatewayForm::Form],
        Gateway::Http => &[GatewayForm::Query, GatewayForm::Form, GatewayForm::Json, GatewayForm::Xml],
    };
    let hostile = [
        "a&To=%2B1900&Body=b",
        "\"},{\"to\":\"+1900\",\"x\":\"\\",
        "</text><to>+1900</to><text>",
        "line\r\nX-Injected: yes\r\n\r\nbody",
        "größe 日本 🙂 {to}{text}{ref}",
        "100%41 + 1 = ?#",
    ];
    for form in forms {
        let rig =
            GatewayRig::start_with(which, GatewayRigOptions { form: *form, ..Default::default() }).await;
        for text in hostile {
            let mut message = rig.message(1);
            message.text = CodeText::new(text.to_owned());
            assert_eq!(rig.deliver(&message).await.outcome, Relayed, "{form:?} {text}");
            let taken = rig.log().taken();
            let last = taken.last().expect("a message");
            assert_eq!((last.to(), last.text()), (phone(1).expose(), text), "{form:?}");
            assert_eq!(last.header("x-injected"), None);
        }
    }
}

async fn connections_are_used_again_and_bounded(which: Gateway) {
    let rig = GatewayRig::start(which).await;
    for number in 0..5 {
        assert_eq!(rig.deliver(&rig.message(number)).await.outcome, Relayed);
    }
    assert_eq!(rig.traffic().connections, 1);
    let sending: Vec<_> = (0..20).map(|number| rig.spawn(rig.message(number))).collect();
    for task in sending {
        assert_eq!(task.await.expect("no panic").outcome, Relayed);
    }
    assert!(rig.traffic().connections <= 2, "{} connections", rig.traffic().connections);
    assert_eq!(rig.driver.snapshot().transport.streams_in_flight, 0);
}

async fn a_stalled_gateway_holds_no_more_than_its_connections(which: Gateway) {
    let options = GatewayRigOptions { limits: impatient, ..GatewayRigOptions::default() };
    let rig = GatewayRig::start_with(which, options).await;
    rig.disturb(u32::MAX, Fault::NeverAnswer);
    let began = Instant::now();
    let sending: Vec<_> = (0..4).map(|number| rig.spawn(rig.message(number))).collect();
    let mut unknown = 0;
    for task in sending {
        match task.await.expect("no panic").outcome {
            Unknown(DeliveryReason::Cut) => unknown += 1,
            Failed(DeliveryReason::Busy) => {}
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(unknown, 2, "those that waited for a connection never left");
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(rig.traffic().connections <= 2);
}

/// At the loudest, by what is taken, refused for the number, refused for the credential, cut, and no request at all.
async fn nothing_of_a_message_is_printed(which: Gateway) {
    let mut log = tempfile::tempfile().expect("a file");
    let writer = Arc::new(log.try_clone().expect("a file"));
    let told = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(writer).finish();
    let told = tracing::subscriber::set_default(told);
    let rig = GatewayRig::start(which).await;
    let mut message = rig.message(77);
    rig.deliver(&message).await;
    rig.refuse(1, Refusal::Unauthenticated);
    rig.deliver(&message).await;
    rig.disturb(1, Fault::CutAfterReading);
    rig.deliver(&message).await;
    rig.faults().for_next(1, Fault::Refuse(SmsRefusal::twilio(21_610))).expect("room");
    rig.deliver(&message).await;
    assert_eq!(rig.log().records().len(), 4);
    let mut printed = format!("{message:?}");
    message.text = CodeText::new("077077".repeat(3_000));
    rig.deliver(&message).await;
    drop(told);
    log.rewind().expect("readable");
    log.read_to_string(&mut printed).expect("text");
    let name = match which {
        Gateway::Twilio => "twilio-main",
        Gateway::Http => "sms-local",
    };
    assert!(printed.contains("the gateway refuses our credential") && printed.contains(name), "{printed}");
    for secret in ["5550077", "077077", "code is", "code%20is", AUTH_TOKEN] {
        assert!(!printed.contains(secret), "{secret} in {printed}");
    }
}

#[tokio::test]
async fn twilio_is_told_what_the_message_is_for() {
    let rig = GatewayRig::start(Gateway::Twilio).await;
    let message = rig.message(1);
    rig.deliver(&message).await;
    let record = &rig.log().taken()[0];
    assert_eq!(record.field("From"), Some("+15005550006"));
    assert_eq!(record.field("MessagingServiceSid"), None);
    let validity: u64 = record.field("ValidityPeriod").expect("a validity").parse().expect("a number");
    assert!((28..=30).contains(&validity), "{validity}");
    let wanted = format!("{ISSUER}/hooks/v1/twilio-main?t={}&s={}", message.transaction_id, message.push_id);
    assert_eq!(record.field("StatusCallback"), Some(wanted.as_str()));
    assert!(!record.body().contains(AUTH_TOKEN));
}

#[tokio::test]
async fn a_text_that_twilio_takes_at_no_length_is_not_sent() {
    let rig = GatewayRig::start(Gateway::Twilio).await;
    let mut message = rig.message(1);
    message.text = CodeText::new("ü".repeat(1_600));
    assert_eq!(rig.deliver(&message).await.outcome, Relayed);
    message.text = CodeText::new("ü".repeat(1_601));
    assert_eq!(rig.deliver(&message).await.outcome, Failed(DeliveryReason::RequestRefused));
    assert_eq!(rig.log().records().len(), 1);
}

#[tokio::test]
async fn a_report_that_twilio_signed_is_read() {
    let rig = GatewayRig::start(Gateway::Twilio).await;
    let message = rig.message(1);
    rig.deliver(&message).await;
    let record = rig.log().taken()[0].clone();
    let report = rig.twilio().status_report(&record, "undelivered", Some(30_005)).expect("asked for");
    let query = report.url.split_once('?').expect("a query").1;
    let header = |name: &str| (name == "x-twilio-signature").then_some(report.signature.as_str());
    let call = ReportCall { url: &report.url, query, header: &header, body: report.body.as_bytes() };
    let read = rig.driver.read_report(&call).expect("a report");
    assert_eq!((read.transaction_id, read.push_id), (message.transaction_id, message.push_id));
    assert_eq!(read.fate, MessageFate::Failed(DeliveryReason::AddressRefused));
    let forged = report.body.replace("undelivered", "delivered");
    let call = ReportCall { url: &report.url, query, header: &header, body: forged.as_bytes() };
    assert_eq!(rig.driver.read_report(&call), Err(ReportFault::BadSignature));
}

#[tokio::test]
async fn a_gateway_is_given_its_headers_and_the_identity_of_each_sending() {
    for form in [GatewayForm::Query, GatewayForm::Form, GatewayForm::Json, GatewayForm::Xml] {
        let rig =
            GatewayRig::start_with(Gateway::Http, GatewayRigOptions { form, ..Default::default() }).await;
        let message = rig.message(3);
        assert_eq!(rig.deliver(&message).await.outcome, Relayed, "{form:?}");
        let record = &rig.log().taken()[0];
        assert_eq!(record.header("x-account"), Some("7"));
        assert_eq!(record.field("from"), Some("Bank & Co"), "{form:?}");
        assert_eq!(record.field("ref"), Some(message.push_id.to_string().as_str()));
    }
}
