//! What a mail server says, and what becomes of the letter: the rules that all providers keep among them.

use std::time::Duration;

use tocsin_engine::protocol::DeliveryOutcome::{Failed, Relayed, Unknown};
use tocsin_engine::protocol::{CodeMessage, Parcel};
use tocsin_mock::{SmtpSecurity, SmtpStage, SmtpTrouble};
use tocsin_model::{DeliveryReason, DurationMs};

use super::rig::{CODE, Rig, RigOptions, sms};

/// A rig whose server says this at this stage, so many times.
async fn troubled(count: usize, stage: SmtpStage, trouble: SmtpTrouble) -> Rig {
    let rig = Rig::start().await;
    rig.server.script(count, stage, trouble).expect("room");
    rig
}

#[tokio::test]
async fn a_letter_arrives_whole_and_says_what_it_is() {
    for security in [SmtpSecurity::Implicit, SmtpSecurity::StartTls] {
        let rig = Rig::start_with(RigOptions { security, login: Some(true), ..RigOptions::default() }).await;
        let letter = rig.letter(1);
        let report = rig.deliver(letter.clone()).await;
        assert_eq!((report.outcome, report.healthy), (Relayed, Some(true)), "{security:?}");
        let mails = rig.server.mails().records();
        assert_eq!((mails.len(), mails[0].fault, mails[0].is_taken), (1, None, true));
        assert_eq!(
            (mails[0].from.as_str(), mails[0].to.as_str()),
            ("no-reply@bank.example", "user-1@example.com")
        );
        assert_eq!(mails[0].subject(), "Your code — Ваш код");
        assert_eq!(mails[0].text(), format!("Your code is {CODE}.\n.\nDo not tell it to anybody: ü."));
        let id = format!("<{}.{}@bank.example>", letter.transaction_id, letter.push_id);
        assert_eq!(mails[0].header("message-id"), Some(id.as_str()));
        assert_eq!(mails[0].header("auto-submitted"), Some("auto-generated"));
        assert!(mails[0].header("expires").is_some_and(|date| date.ends_with(" +0000")));
        assert_eq!(rig.counted("ok"), 1);
    }
}

#[tokio::test]
async fn sessions_are_kept_and_no_more_than_allowed_are_open() {
    let rig = Rig::start_with(RigOptions { login: Some(true), ..RigOptions::default() }).await;
    for number in 0..5 {
        assert_eq!(rig.deliver(rig.letter(number)).await.outcome, Relayed);
    }
    assert_eq!(rig.server.sessions(), 1, "one after the other they share a session");
    let letters: Vec<_> = (5..25).map(|number| rig.deliver(rig.letter(number))).collect();
    let reports = futures_util::future::join_all(letters).await;
    assert!(reports.iter().all(|report| report.outcome == Relayed), "{reports:?}");
    assert_eq!(rig.server.sessions(), 2, "at once they share the two that are allowed");
    let transport = rig.driver.snapshot().transport;
    assert_eq!((transport.connects_ok, transport.streams_in_flight), (2, 0));
}

#[tokio::test]
async fn a_session_that_has_ended_meanwhile_costs_no_letter() {
    let rig = Rig::start().await;
    assert_eq!(rig.deliver(rig.letter(1)).await.outcome, Relayed);
    rig.server.stop().await;
    rig.server.accept_again().await.expect("the port is free");
    assert_eq!(rig.deliver(rig.letter(2)).await.outcome, Relayed);
    assert_eq!(rig.server.mails().records().len(), 2);
}

#[tokio::test]
async fn what_is_for_now_is_tried_again() {
    for (stage, code) in [
        (SmtpStage::Greeting, 421),
        (SmtpStage::Sender, 451),
        (SmtpStage::Recipient, 450),
        (SmtpStage::Data, 452),
        (SmtpStage::Content, 451),
    ] {
        let rig = troubled(1, stage, SmtpTrouble::Reply(code)).await;
        assert_eq!(rig.deliver(rig.letter(1)).await.outcome, Relayed, "{stage:?}");
        let taken = rig.server.mails().records().into_iter().filter(|mail| mail.is_taken).count();
        assert_eq!((taken, rig.counted(&code.to_string())), (1, 1), "{stage:?}");
    }
}

#[tokio::test]
async fn what_stays_for_now_ends_as_unavailable_or_throttled_within_its_time() {
    let rig = troubled(9, SmtpStage::Content, SmtpTrouble::Reply(451)).await;
    let report = rig.deliver(rig.letter(1)).await;
    assert_eq!((report.outcome, report.healthy), (Failed(DeliveryReason::Unavailable), Some(false)));
    let rig = troubled(9, SmtpStage::Recipient, SmtpTrouble::Reply(450)).await;
    let mut letter = rig.letter(1);
    letter.expires_at = rig.clock.now().plus(DurationMs::from_seconds(5));
    let report = rig.deliver(letter).await;
    assert_eq!(report.outcome, Failed(DeliveryReason::Throttled));
    assert_ne!(report.healthy, Some(false), "a busy mailbox is not the server's fault");
}

#[tokio::test]
async fn what_is_for_ever_is_not_tried_again_and_is_of_whom_it_is_about() {
    for (stage, code, reason) in [
        (SmtpStage::Greeting, 554, DeliveryReason::CredentialRefused),
        (SmtpStage::Sender, 550, DeliveryReason::CredentialRefused),
        (SmtpStage::Recipient, 550, DeliveryReason::AddressRefused),
        (SmtpStage::Content, 554, DeliveryReason::RequestRefused),
    ] {
        let rig = troubled(1, stage, SmtpTrouble::Reply(code)).await;
        let report = rig.deliver(rig.letter(1)).await;
        assert_eq!(report.outcome, Failed(reason), "{stage:?}");
        assert_eq!((rig.counted(&code.to_string()), rig.server.sessions()), (1, 1), "{stage:?}");
        let is_operators = reason == DeliveryReason::CredentialRefused;
        assert_eq!(rig.driver.snapshot().credential_faults, u64::from(is_operators), "{stage:?}");
        assert_eq!(rig.deliver(rig.letter(2)).await.outcome, Relayed, "others are not touched");
    }
}

#[tokio::test]
async fn a_wrong_password_is_sent_once_by_all() {
    let rig = Rig::start_with(RigOptions { login: Some(false), ..RigOptions::default() }).await;
    let letters = (0..6).map(|number| rig.deliver(rig.letter(number)));
    let reports = futures_util::future::join_all(letters).await;
    assert!(
        reports.iter().all(|report| report.outcome == Failed(DeliveryReason::CredentialRefused)),
        "{reports:?}"
    );
    assert_eq!(rig.server.refused_logins(), 1, "the account must not be locked");
    assert_eq!(rig.driver.snapshot().credential_faults, 6);
}

#[tokio::test]
async fn a_password_that_is_changed_there_is_refused_a_few_times_and_pauses_once() {
    let limits = |limits: &mut tocsin_config::ProviderLimits| limits.connections_max = 12;
    let rig = Rig::start_with(RigOptions { login: Some(true), limits, ..RigOptions::default() }).await;
    assert_eq!(rig.deliver(rig.letter(0)).await.outcome, Relayed);
    rig.server.stop().await;
    rig.server.accept_again().await.expect("the port is free");
    rig.server.demand("tocsin", "another word");
    rig.server.script(12, SmtpStage::Greeting, SmtpTrouble::Delay(Duration::from_millis(300))).expect("room");
    let letters = (1..=12).map(|number| rig.deliver(rig.letter(number)));
    let reports = futures_util::future::join_all(letters).await;
    assert!(
        reports.iter().all(|report| report.outcome == Failed(DeliveryReason::CredentialRefused)),
        "{reports:?}"
    );
    let refused = rig.server.refused_logins();
    assert!((1..=4).contains(&refused), "{refused} logins were refused");
    rig.server.calm();
    rig.server.demand("tocsin", super::rig::PASSWORD);
    assert_eq!(rig.deliver(rig.letter(13)).await.outcome, Failed(DeliveryReason::CredentialRefused));
    // As long as the longest first pause; a second one would be longer still.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(120)).await;
    tokio::time::resume();
    assert_eq!(rig.deliver(rig.letter(14)).await.outcome, Relayed, "refusals of one moment make one pause");
}

#[tokio::test]
async fn logins_that_wait_for_each_other_are_no_fault_of_the_network() {
    let limits = |limits: &mut tocsin_config::ProviderLimits| {
        limits.connections_max = 28;
        limits.connect_timeout = DurationMs::from_seconds(3);
        limits.request_timeout = DurationMs::from_seconds(12);
    };
    let rig = Rig::start_with(RigOptions { login: Some(true), limits, ..RigOptions::default() }).await;
    rig.server.script(28, SmtpStage::Auth, SmtpTrouble::Delay(Duration::from_millis(500))).expect("room");
    let letters = (0..28).map(|number| rig.deliver(rig.letter(number)));
    let reports = futures_util::future::join_all(letters).await;
    assert!(reports.iter().all(|report| report.outcome == Relayed), "{reports:?}");
    assert_eq!((rig.server.sessions(), rig.driver.snapshot().transport.connects_failed), (28, 0));
}

#[tokio::test]
async fn a_letter_without_room_in_three_quarters_of_its_time_is_busy() {
    let silent = |limits: &mut tocsin_config::ProviderLimits| {
        limits.connections_max = 1;
        limits.request_timeout = DurationMs::from_seconds(2);
    };
    let logs_in_slowly = |limits: &mut tocsin_config::ProviderLimits| {
        limits.connections_max = 2;
        limits.request_timeout = DurationMs::from_seconds(2);
    };
    for (limits, login, stage) in [
        (silent as fn(&mut tocsin_config::ProviderLimits), None, SmtpStage::Sender),
        (logs_in_slowly, Some(true), SmtpStage::Auth),
    ] {
        let rig = Rig::start_with(RigOptions { login, limits, ..RigOptions::default() }).await;
        rig.server.script(2, stage, SmtpTrouble::Silence).expect("room");
        let letters = (0..2).map(|number| rig.deliver(rig.letter(number)));
        let reports = futures_util::future::join_all(letters).await;
        let ends: Vec<_> = reports.iter().map(|report| (report.outcome, report.healthy)).collect();
        for end in [(Failed(DeliveryReason::Busy), None), (Failed(DeliveryReason::Unavailable), Some(false))]
        {
            assert!(ends.contains(&end), "{stage:?}: {ends:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_takes_no_login_or_has_no_tls_gets_neither_password_nor_letter() {
    let rig = Rig::start_with(RigOptions {
        security: SmtpSecurity::StartTls,
        login: Some(true),
        ..RigOptions::default()
    })
    .await;
    rig.server.script(1, SmtpStage::StartTls, SmtpTrouble::NotOffered).expect("room");
    assert_eq!(rig.deliver(rig.letter(1)).await.outcome, Failed(DeliveryReason::CredentialRefused));
    rig.server.script(1, SmtpStage::StartTls, SmtpTrouble::InjectedReply).expect("room");
    assert_eq!(rig.deliver(rig.letter(2)).await.outcome, Failed(DeliveryReason::CredentialRefused));
    assert_eq!((rig.counted("no_tls"), rig.counted("injected")), (1, 1));
    assert!(rig.server.mails().records().is_empty());
    let stranger = Rig::start_with(RigOptions { trusts_others: true, ..RigOptions::default() }).await;
    assert_eq!(stranger.deliver(stranger.letter(1)).await.outcome, Failed(DeliveryReason::Unavailable));
    assert_eq!(stranger.counted("tls"), 2, "tried once more and no further");
    assert!(stranger.server.mails().records().is_empty());
}

#[tokio::test]
async fn a_cut_before_the_letter_is_repaired_and_one_behind_it_leaves_its_end_unknown() {
    for stage in [SmtpStage::Greeting, SmtpStage::Sender, SmtpStage::Recipient, SmtpStage::Data] {
        let rig = troubled(1, stage, SmtpTrouble::Cut).await;
        assert_eq!(rig.deliver(rig.letter(1)).await.outcome, Relayed, "{stage:?}");
        assert_eq!(rig.server.mails().records().len(), 1, "{stage:?}");
    }
    let rig = troubled(1, SmtpStage::Content, SmtpTrouble::CutAfterProcessing).await;
    let report = rig.deliver(rig.letter(1)).await;
    assert_eq!((report.outcome, report.healthy), (Unknown(DeliveryReason::Cut), Some(false)));
    assert_eq!(rig.server.mails().records().len(), 1, "it is not sent again");
}

#[tokio::test]
async fn a_silent_server_costs_the_request_timeout_and_no_more() {
    let limits = |limits: &mut tocsin_config::ProviderLimits| {
        limits.request_timeout = DurationMs::new(700);
    };
    let rig = Rig::start_with(RigOptions { limits, ..RigOptions::default() }).await;
    rig.server.script(1, SmtpStage::Sender, SmtpTrouble::Silence).expect("room");
    assert_eq!(rig.deliver(rig.letter(1)).await.outcome, Failed(DeliveryReason::Unavailable));
    rig.server.script(1, SmtpStage::Content, SmtpTrouble::Silence).expect("room");
    assert_eq!(rig.deliver(rig.letter(2)).await.outcome, Unknown(DeliveryReason::Cut));
    assert_eq!(rig.counted("late"), 2);
    rig.server.script(1, SmtpStage::Content, SmtpTrouble::Delay(Duration::from_millis(200))).expect("room");
    assert_eq!(rig.deliver(rig.letter(3)).await.outcome, Relayed, "a slow one is waited for");
}

#[tokio::test]
async fn a_letter_without_time_is_not_sent() {
    let rig = Rig::start().await;
    let mut letter = rig.letter(1);
    letter.expires_at = rig.clock.now().plus(DurationMs::new(300));
    assert_eq!(rig.deliver(letter).await.outcome, Failed(DeliveryReason::Late));
    assert_eq!(rig.server.sessions(), 0);
}

#[tokio::test]
async fn other_parcels_and_injected_headers_are_refused_unsent() {
    let rig = Rig::start().await;
    let injected = CodeMessage { title: Some("x\r\nBcc: eve@example.com".into()), ..rig.letter(1) };
    for letter in [sms(&rig.clock), injected] {
        assert_eq!(rig.deliver(letter).await.outcome, Failed(DeliveryReason::RequestRefused));
    }
    assert_eq!(rig.server.sessions(), 0);
}

#[tokio::test]
async fn a_closed_driver_takes_nothing() {
    let rig = Rig::start().await;
    assert_eq!(rig.deliver(rig.letter(1)).await.outcome, Relayed);
    rig.driver.close();
    assert_eq!(rig.deliver(rig.letter(2)).await.outcome, Failed(DeliveryReason::Unavailable));
    tokio::time::timeout(Duration::from_secs(5), rig.driver.keep_warm()).await.expect("it ends");
}

#[tokio::test]
async fn written_is_told_once_and_nothing_is_printed() {
    let rig = Rig::start().await;
    rig.server.script(1, SmtpStage::Content, SmtpTrouble::Reply(451)).expect("room");
    let told = std::sync::atomic::AtomicUsize::new(0);
    let parcel = Parcel::Code(Box::new(rig.letter(1)));
    let written = || {
        told.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    };
    assert_eq!(rig.driver.deliver(&parcel, &written).await.outcome, Relayed);
    assert_eq!(told.into_inner(), 1);
    let shown = format!("{parcel:?} {:?}", rig.server.mails().records());
    assert!(!shown.contains(CODE) && !shown.contains("example.com"), "{shown}");
}
