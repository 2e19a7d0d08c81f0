//! Bounds on codes by SMS: what counts, what does not, and what a reload changes for those that are pending.

use std::time::{Duration, Instant};

use tocsin_engine::protocol::DeliveryOutcome;
use tocsin_model::{
    ClientId, DeliveryReason, DeliveryStatus, EmailAddress, ErrorCode, FallbackReason, Method, OneTimeCode,
    PhoneNumber, Problem, StartRequest, State, Transaction, TransactionId,
};

use crate::fixture::{Bank, SOON, Script, request, run};

const TYPES: &str = r#"
[sms]
country_prefixes = ["+1"]
sends_per_number_per_hour_max = 1
[types.code]
method = "sms"
attempts_max = 3
resends_max = 9
resend_gap_s = 0
ttl_s = 60
[types.mail]
method = "email"
attempts_max = 3
ttl_s = 60
[types.patient-code]
ttl_s = 60
fallback = "code"
fallback_after_s = 1
[types.chained-code]
method = "sms"
attempts_max = 3
ttl_s = 60
fallback = "mail"
[types.chain]
ttl_s = 60
fallback = "chained-code"
"#;

const NUMBER: &str = "+15055551234";
const OTHER: &str = "+15055559876";

fn client() -> ClientId {
    "portal".parse().expect("valid")
}

fn to(type_name: &str, number: &str) -> StartRequest {
    let (phone_number, email) = (PhoneNumber::parse(number), EmailAddress::parse("alice@example.com"));
    StartRequest { phone_number, email, ..request("alice", type_name) }
}

async fn begin(bank: &Bank, type_name: &str, number: &str) -> TransactionId {
    bank.handle.start(to(type_name, number)).await.expect("started").transaction.id
}

async fn resend(bank: &Bank, id: TransactionId) -> Result<(), Problem> {
    bank.handle.resend(&client(), id, None).await.map(|_| ())
}

fn told(view: &Transaction) -> Option<(DeliveryStatus, Option<DeliveryReason>)> {
    view.code()?.delivery.as_ref().map(|delivery| (delivery.status, delivery.reason))
}

async fn until_messages(bank: &Bank, count: usize) {
    let deadline = Instant::now() + SOON;
    while bank.network.messages().len() < count {
        assert!(Instant::now() < deadline, "{} of {count} messages", bank.network.messages().len());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

const RELAYED: Option<(DeliveryStatus, Option<DeliveryReason>)> = Some((DeliveryStatus::Relayed, None));

#[test]
fn a_fallback_counts_and_one_that_was_held_back_may_be_resent_when_there_is_room() {
    run(async {
        let bank = Bank::open(TYPES).await;
        bank.enrol("alice").await;
        let first = begin(&bank, "patient-code", NUMBER).await;
        bank.until(first, |view| told(view) == RELAYED).await;
        let second = begin(&bank, "patient-code", NUMBER).await;
        let held_back = Some((DeliveryStatus::Failed, Some(DeliveryReason::Throttled)));
        let view = bank.until(second, |view| told(view) == held_back).await;
        assert_eq!((view.state, view.method), (State::Pending, Method::Sms), "the phone may still answer");
        assert_eq!(resend(&bank, second).await.expect_err("full").code, ErrorCode::RateLimited);
        assert_eq!(bank.network.messages().len(), 1);
        bank.reload_with(|text| text.replace("_hour_max = 1", "_hour_max = 2")).await;
        resend(&bank, second).await.expect("there is room");
        until_messages(&bank, 2).await;
        bank.until(second, |view| told(view) == RELAYED).await;
        assert_eq!(resend(&bank, second).await.expect_err("full").code, ErrorCode::RateLimited);
    });
}

#[test]
fn what_a_transaction_refuses_to_resend_is_not_counted() {
    run(async {
        let bank = Bank::open(&TYPES.replace("_hour_max = 1", "_hour_max = 2")).await;
        bank.network.set(Script::Hang);
        let id = begin(&bank, "code", NUMBER).await;
        until_messages(&bank, 1).await;
        let clicks = five_clicks(&bank, id).await;
        assert!(clicks.iter().all(|click| *click == ErrorCode::RateLimited), "still on its way: {clicks:?}");
        begin(&bank, "code", NUMBER).await;
        let problem = bank.handle.start(to("code", NUMBER)).await.expect_err("full");
        assert_eq!(problem.code, ErrorCode::RateLimited);
    });
}

async fn five_clicks(bank: &Bank, id: TransactionId) -> Vec<ErrorCode> {
    let click = async || resend(bank, id).await.expect_err("refused").code;
    let (first, second, third, fourth, fifth) = tokio::join!(click(), click(), click(), click(), click());
    vec![first, second, third, fourth, fifth]
}

#[test]
fn what_is_sent_and_what_is_verified_count_for_one_prefix_after_a_reload() {
    run(async {
        let bank = Bank::open(&TYPES.replace("_hour_max = 1", "_hour_max = 9")).await;
        let id = begin(&bank, "code", NUMBER).await;
        bank.until(id, |view| told(view) == RELAYED).await;
        bank.reload_with(|text| text.replace("[\"+1\"]", "[\"+1505\"]")).await;
        resend(&bank, id).await.expect("resent");
        bank.until(id, |view| view.resends.used == 1 && told(view) == RELAYED).await;
        let text = bank.network.messages()[1].text.expose().to_owned();
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        bank.handle.try_code(&client(), id, OneTimeCode::new(digits)).await.expect("right");
        let metrics = bank.handle.metrics_text();
        for name in ["sent", "verified"] {
            let line = format!("tocsin_sms_{name}_total{{prefix=\"+1505\"}} 1");
            assert!(metrics.contains(&line), "{line}");
        }
    });
}

#[test]
fn a_country_that_is_taken_out_gets_no_more_of_what_is_pending() {
    run(async {
        let bank = Bank::open(&TYPES.replace("_hour_max = 1", "_hour_max = 9")).await;
        bank.enrol("alice").await;
        let sent = begin(&bank, "code", NUMBER).await;
        bank.until(sent, |view| told(view) == RELAYED).await;
        let silent = begin(&bank, "patient-code", NUMBER).await;
        bank.reload_with(|text| text.replace("[\"+1\"]", "[\"+49\"]")).await;
        assert_eq!(resend(&bank, sent).await.expect_err("barred").code, ErrorCode::MethodDisabled);
        let barred = Some((DeliveryStatus::Failed, Some(DeliveryReason::AddressRefused)));
        bank.until(silent, |view| told(view) == barred).await;
        assert_eq!(bank.network.messages().len(), 1, "only the one before");
        bank.reload_with(|text| text.replace("[\"+1\"]", "[\"+49\", \"+1\"]")).await;
        resend(&bank, sent).await.expect("allowed again");
        until_messages(&bank, 2).await;
    });
}

#[test]
fn a_client_has_a_bound_of_its_own() {
    run(async {
        let rules = "sends_per_number_per_hour_max = 9\nsends_per_client_per_hour_max = 2";
        let bank = Bank::open(&TYPES.replace("sends_per_number_per_hour_max = 1", rules)).await;
        let id = begin(&bank, "code", NUMBER).await;
        bank.until(id, |view| told(view) == RELAYED).await;
        resend(&bank, id).await.expect("the second");
        bank.until(id, |view| told(view) == RELAYED).await;
        let problem = bank.handle.start(to("code", OTHER)).await.expect_err("full");
        assert_eq!(problem.code, ErrorCode::RateLimited);
        let metrics = bank.handle.metrics().to_text();
        assert!(metrics.contains("tocsin_sms_refused_total{bound=\"client\",prefix=\"+1\"} 1"), "{metrics}");
        assert!(metrics.contains("tocsin_sms_sent_total{prefix=\"+1\"} 2"), "{metrics}");
    });
}

#[test]
fn a_start_passes_over_a_fallback_whose_bound_is_met() {
    run(async {
        let bank = Bank::open(TYPES).await;
        let first = begin(&bank, "chain", NUMBER).await;
        assert_eq!(bank.view(first).await.method, Method::Sms);
        let second = bank.view(begin(&bank, "chain", NUMBER).await).await;
        let taken = second.fallback().expect("a fallback");
        assert_eq!(
            (taken.from, taken.to, taken.reason),
            (Method::Push, Method::Email, FallbackReason::NoDevice)
        );
        bank.until(second.id, |view| told(view) == RELAYED).await;
        let other = bank.view(begin(&bank, "chain", OTHER).await).await;
        assert_eq!(other.method, Method::Sms, "a look counts nothing");
        // Where nothing is behind it the caller is told when there is room again.
        let alone = bank.handle.start(to("patient-code", NUMBER)).await.expect_err("full");
        assert!(alone.code == ErrorCode::RateLimited && alone.retry_after.is_some(), "{alone:?}");
    });
}

#[test]
fn an_sms_that_is_taken_after_its_fallback_is_counted() {
    run(async {
        let settings = TYPES.replace("fallback = \"mail\"", "fallback = \"mail\"\nfallback_after_s = 1");
        let bank = Bank::open(&settings).await;
        let slow = Script::EndAfter(Duration::from_millis(1_500), DeliveryOutcome::Relayed);
        bank.network.set(slow);
        let id = begin(&bank, "chained-code", NUMBER).await;
        until_messages(&bank, 1).await;
        bank.network.set(Script::Hang);
        let view = bank.until(id, |view| view.method == Method::Email).await;
        assert_eq!(view.fallback().map(|fallback| fallback.reason), Some(FallbackReason::NoAnswer));
        until_messages(&bank, 2).await;
        let counted = "tocsin_sms_sent_total{prefix=\"+1\"} 1";
        let deadline = Instant::now() + SOON;
        while !bank.handle.metrics().to_text().contains(counted) {
            assert!(Instant::now() < deadline, "the SMS was never counted");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}
