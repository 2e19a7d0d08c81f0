//! Codes and fallbacks through the engine, with a network that does as it is told.

use std::time::{Duration, Instant};

use tocsin_engine::protocol::{CodeMessage, DeliveryOutcome};
use tocsin_model::{
    AuditKind, CodeAddress, Content, DeliveryChoice, DeliveryReason, DeliveryStatus, EmailAddress, ErrorCode,
    FailureReason, FallbackReason, Method, OneTimeCode, PhoneNumber, Problem, StartRequest, State,
    Transaction, TransactionId,
};
use tocsin_storage::AuditQuery;

use crate::fixture::{Bank, SOON, Script, request, run, user};

const TYPES: &str = r#"
[sms]
country_prefixes = ["+1"]
[types.code]
method = "sms"
attempts_max = 3
resends_max = 1
resend_gap_s = 0
ttl_s = 60
default_message = "A {code} B"
[types.mail]
method = "email"
attempts_max = 1
digits = 8
ttl_s = 60
[types.safe]
ttl_s = 60
fallback = "code"
[types.patient-safe]
ttl_s = 60
fallback = "code"
fallback_after_s = 1
[types.chain]
ttl_s = 60
method = "sms"
attempts_max = 3
fallback = "mail"
"#;

fn number() -> Option<PhoneNumber> {
    PhoneNumber::parse("+15055551234")
}

fn email() -> Option<EmailAddress> {
    EmailAddress::parse("alice@example.com")
}

/// A start that names both addresses.
fn coded(type_name: &str) -> StartRequest {
    StartRequest { phone_number: number(), email: email(), ..request("alice", type_name) }
}

fn client() -> tocsin_model::ClientId {
    "portal".parse().expect("valid")
}

async fn begin(bank: &Bank, request: StartRequest) -> TransactionId {
    bank.handle.start(request).await.expect("started").transaction.id
}

/// The message with this number, counted from one.
async fn message(bank: &Bank, count: usize) -> CodeMessage {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(message) = bank.network.messages().into_iter().nth(count - 1) {
            return message;
        }
        assert!(Instant::now() < deadline, "no message {count}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn digits(message: &CodeMessage) -> String {
    message.text.expose().chars().filter(char::is_ascii_digit).collect()
}

async fn try_code(bank: &Bank, id: TransactionId, code: &str) -> Result<State, Problem> {
    let tried = bank.handle.try_code(&client(), id, OneTimeCode::new(code.to_owned())).await;
    tried.map(|transaction| transaction.state)
}

/// Another code than this one.
fn wrong(code: &str) -> String {
    let last = code.bytes().last().map_or(b'0', |last| b'0' + (last - b'0' + 1) % 10);
    format!("{}{}", &code[..code.len() - 1], char::from(last))
}

async fn refused(bank: &Bank, request: StartRequest) -> (ErrorCode, Option<String>) {
    let problem = bank.handle.start(request).await.expect_err("refused");
    (problem.code, problem.field.map(Into::into))
}

fn sent_status(transaction: &Transaction) -> Option<DeliveryStatus> {
    transaction.code()?.delivery.as_ref().map(|delivery| delivery.status)
}

#[test]
fn a_code_is_sent_typed_and_taken_once() {
    run(async {
        let bank = Bank::open(TYPES).await;
        let id = begin(&bank, coded("code")).await;
        let message = message(&bank, 1).await;
        let code = digits(&message);
        assert_eq!(message.text.expose(), format!("A {code} B"));
        assert_eq!((code.len(), message.title), (6, None));
        assert_eq!(Some(message.address), number().map(CodeAddress::Phone));
        let relayed = bank.until(id, |view| sent_status(view) == Some(DeliveryStatus::Relayed)).await;
        assert_eq!((message.expires_at, relayed.method), (relayed.expires_at, Method::Sms));
        let problem = try_code(&bank, id, &wrong(&code)).await.expect_err("wrong");
        assert_eq!((problem.code, problem.attempts_left), (ErrorCode::WrongCode, Some(2)));
        assert_eq!(try_code(&bank, id, &code).await, Ok(State::Accepted));
        assert_eq!(try_code(&bank, id, &code).await, Ok(State::Accepted), "the same again");
        let late = try_code(&bank, id, &wrong(&code)).await.expect_err("late");
        assert_eq!((late.code, late.state), (ErrorCode::TransactionFinal, Some(State::Accepted)));
        assert_eq!(bank.network.messages().len(), 1);
    });
}

#[test]
fn a_restart_and_a_resend_give_the_same_code_and_no_try_back() {
    run(async {
        let bank = Bank::open(TYPES).await;
        let id = begin(&bank, coded("code")).await;
        let first = message(&bank, 1).await;
        let code = digits(&first);
        bank.until(id, |view| sent_status(view) == Some(DeliveryStatus::Relayed)).await;
        assert!(try_code(&bank, id, &wrong(&code)).await.is_err());
        let bank = bank.restart().await;
        assert_eq!(bank.network.messages().len(), 1, "nothing is sent again by itself");
        bank.handle.resend(&client(), id, None).await.expect("sent again");
        let again = message(&bank, 2).await;
        assert_eq!(again.text.expose(), first.text.expose());
        assert_ne!(again.push_id, first.push_id, "each sending has an identity of its own");
        bank.until(id, |view| sent_status(view) == Some(DeliveryStatus::Relayed)).await;
        let limit = bank.handle.resend(&client(), id, None).await.expect_err("the limit");
        assert_eq!(limit.code, ErrorCode::ResendLimit);
        assert_eq!(try_code(&bank, id, "x").await.expect_err("wrong").attempts_left, Some(1));
        assert_eq!(try_code(&bank, id, &wrong(&code)).await.expect_err("wrong").attempts_left, Some(0));
        let ended = bank.view(id).await.state;
        assert_eq!(ended, State::Failed(FailureReason::AttemptsExceeded));
        assert_eq!(try_code(&bank, id, &code).await.expect_err("too late").code, ErrorCode::TransactionFinal);
    });
}

#[test]
fn a_message_of_the_caller_carries_the_code_or_is_the_code() {
    run(async {
        let bank = Bank::open(TYPES).await;
        let with = |text: &str, type_name: &str| StartRequest {
            content: Content { message: text.into(), ..Content::default() },
            ..coded(type_name)
        };
        begin(&bank, with("{code}, that is {code}", "code")).await;
        begin(&bank, with("hello", "code")).await;
        begin(&bank, with("Mail {code}", "mail")).await;
        let mut texts = Vec::new();
        for count in 1..=3 {
            let message = message(&bank, count).await;
            texts.push((message.text.expose().to_owned(), message.title, message.address));
        }
        let twice = texts.iter().find(|(text, ..)| text.contains("that is")).expect("the first");
        let code = &twice.0[..6];
        assert_eq!(twice.0, format!("{code}, that is {code}"));
        let alone = texts.iter().find(|(text, ..)| text.len() == 6).expect("the second");
        assert!(alone.0.bytes().all(|byte| byte.is_ascii_digit()));
        let mail = texts.iter().find(|(text, ..)| text.starts_with("Mail ")).expect("the third");
        assert_eq!((mail.0.len(), mail.1.as_deref()), ("Mail 12345678".len(), Some("Please confirm")));
        assert_eq!(Some(mail.2.clone()), email().map(CodeAddress::Email));
    });
}

#[test]
fn a_type_that_sends_codes_says_what_it_needs_and_what_it_cannot_use() {
    run(async {
        let bank = Bank::open(&format!("{TYPES}\n[switches]\nemail = false")).await;
        let refused = async |request| refused(&bank, request).await;
        let field = |code, field: &str| (code, Some(field.to_owned()));
        assert_eq!(refused(request("alice", "code")).await, field(ErrorCode::FieldRequired, "phone_number"));
        assert_eq!(refused(coded("mail")).await, (ErrorCode::MethodDisabled, None));
        let device =
            StartRequest { device_id: Some(tocsin_model::DeviceId::from_random([1; 16])), ..coded("code") };
        assert_eq!(refused(device).await, field(ErrorCode::InvalidField, "device_id"));
        let pushed = StartRequest { delivery: DeliveryChoice::Push, ..coded("code") };
        assert_eq!(refused(pushed).await, field(ErrorCode::InvalidField, "delivery"));
        let custom = StartRequest { delivery: DeliveryChoice::Custom, ..request("alice", "login") };
        assert_eq!(refused(custom).await, field(ErrorCode::InvalidField, "delivery"));
        assert!(bank.network.messages().is_empty());
    });
}

#[test]
fn a_fallback_that_is_switched_off_needs_nothing_from_the_caller() {
    run(async {
        let bank = Bank::open(&format!("{TYPES}\n[switches]\nsms = false")).await;
        assert_eq!(refused(&bank, request("alice", "safe")).await, (ErrorCode::NoDevice, None));
    });
}

#[test]
fn a_fallback_is_taken_for_a_method_that_cannot_be_begun_and_says_why() {
    run(async {
        let bank = Bank::open(TYPES).await;
        let missing = refused(&bank, request("alice", "safe")).await;
        assert_eq!(missing, (ErrorCode::FieldRequired, Some("phone_number".to_owned())), "needed at once");
        let id = begin(&bank, coded("safe")).await;
        let view = bank.view(id).await;
        let taken = view.fallback().expect("a fallback");
        assert_eq!(
            (taken.from, taken.to, taken.reason),
            (Method::Push, Method::Sms, FallbackReason::NoDevice)
        );
        assert_eq!((view.type_name.as_str(), view.method), ("safe", Method::Sms));
        assert_eq!((view.attempts_shown().max, view.resends.max), (3, 1), "the limits are the fallback's");
        let code = digits(&message(&bank, 1).await);
        assert_eq!(try_code(&bank, id, &code).await, Ok(State::Accepted));
        // A field that the first method lacks is as good a reason.
        let id = begin(&bank, StartRequest { phone_number: None, ..coded("chain") }).await;
        let taken = bank.view(id).await.fallback().expect("a fallback");
        assert_eq!((taken.to, taken.reason), (Method::Email, FallbackReason::FieldRequired));
        let audited =
            bank.handle.audit(AuditQuery { limit: 100, ..AuditQuery::default() }).await.expect("rows");
        let details: Vec<_> = audited
            .rows
            .iter()
            .filter(|row| row.event.kind == AuditKind::FallbackTaken)
            .filter_map(|row| row.event.detail.as_deref())
            .collect();
        assert_eq!(details, ["sms email field_required", "push sms no_device"]);
        let metrics = bank.handle.metrics().to_text();
        let counted = "tocsin_fallbacks_total{from=\"push\",reason=\"no_device\",to=\"sms\",type=\"safe\"} 1";
        assert!(metrics.contains(counted), "{metrics}");
    });
}

#[test]
fn what_the_caller_asks_for_wrongly_brings_no_fallback() {
    run(async {
        let bank = Bank::open(TYPES).await;
        let unknown =
            StartRequest { device_id: Some(tocsin_model::DeviceId::from_random([1; 16])), ..coded("safe") };
        assert_eq!(refused(&bank, unknown).await, (ErrorCode::NoDevice, Some("device_id".to_owned())));
        assert!(bank.network.messages().is_empty());
    });
}

#[test]
fn a_user_with_a_phone_is_pushed_and_no_code_is_sent_while_he_is_silent() {
    run(async {
        let bank = Bank::open(TYPES).await;
        bank.enrol("alice").await;
        let short =
            StartRequest { time_to_live: Some(tocsin_model::DurationMs::from_seconds(1)), ..coded("safe") };
        let id = begin(&bank, short).await;
        let ended = bank.until(id, |view| view.state.is_final()).await;
        assert_eq!((ended.state, ended.method, ended.fallback()), (State::Timeout, Method::Push, None));
        assert!(bank.network.messages().is_empty());
    });
}

#[test]
fn refused_pushes_bring_the_code_while_the_transaction_is_pending() {
    run(async {
        let bank = Bank::open(TYPES).await;
        bank.enrol("alice").await;
        let refusal = DeliveryOutcome::Failed(DeliveryReason::CredentialRefused);
        bank.network.set(Script::End(refusal, None));
        let id = begin(&bank, coded("safe")).await;
        let view = bank.until(id, |view| view.fallback().is_some()).await;
        assert_eq!(view.method, Method::Sms);
        let reason = view.fallback().map(|fallback| fallback.reason);
        assert_eq!(reason, Some(FallbackReason::ProviderRejected));
        // The gateway refuses, too, and nothing is left.
        let ended = bank.until(id, |view| view.state.is_final()).await;
        assert_eq!(ended.state, State::Failed(FailureReason::ProviderRejected));
    });
}

#[test]
fn a_silent_user_gets_a_code_and_his_phone_may_still_answer() {
    run(async {
        let bank = Bank::open(TYPES).await;
        let phone = bank.enrol("alice").await;
        let (first, second) =
            (begin(&bank, coded("patient-safe")).await, begin(&bank, coded("patient-safe")).await);
        for id in [first, second] {
            let view = bank.until(id, |view| view.fallback().is_some()).await;
            let taken = view.fallback().expect("a fallback");
            assert_eq!(taken.reason, FallbackReason::NoAnswer);
            assert!(taken.at.since(view.created_at).get() >= 1_000, "not before its time");
        }
        phone.answer(&bank, first, "accept").await.expect("the phone may still answer");
        assert_eq!(bank.view(first).await.state, State::Accepted);
        message(&bank, 2).await;
        let texts: Vec<String> = bank.network.messages().iter().map(digits).collect();
        let mut states = Vec::new();
        for code in &texts {
            states.push(try_code(&bank, second, code).await.is_ok());
        }
        assert!(states.contains(&true), "one of them is its code");
        assert_eq!(bank.view(second).await.state, State::Accepted);
    });
}

#[test]
fn a_code_for_custom_delivery_is_handed_out_and_never_sent() {
    run(async {
        let bank = Bank::open(TYPES).await;
        let custom = StartRequest { delivery: DeliveryChoice::Custom, ..request("alice", "code") };
        let id = begin(&bank, custom).await;
        let code = bank.handle.custom_code(&client(), id).await.expect("handed out");
        assert_eq!(code.expose().len(), 6);
        let again = bank.handle.custom_code(&client(), id).await.expect("handed out");
        assert_eq!(again.expose(), code.expose());
        let foreign = bank.handle.custom_code(&"shop".parse().expect("valid"), id).await;
        assert_eq!(foreign.map(|_| ()).expect_err("unseen").code, ErrorCode::NotFound);
        let resend = bank.handle.resend(&client(), id, None).await.expect_err("nothing was sent");
        assert_eq!(resend.code, ErrorCode::InvalidField);
        assert_eq!(try_code(&bank, id, code.expose()).await, Ok(State::Accepted));
        let late = bank.handle.custom_code(&client(), id).await;
        assert_eq!(late.map(|_| ()).expect_err("final").code, ErrorCode::TransactionFinal);
        assert!(bank.network.messages().is_empty());
        let audited =
            bank.handle.audit(AuditQuery { limit: 100, ..AuditQuery::default() }).await.expect("rows");
        let handed = audited.rows.iter().filter(|row| row.event.kind == AuditKind::CodeHandedOut).count();
        assert_eq!(handed, 2);
        let sent = begin(&bank, coded("code")).await;
        let problem = bank.handle.custom_code(&client(), sent).await.map(|_| ()).expect_err("sent by us");
        assert_eq!(problem.code, ErrorCode::InvalidField);
    });
}

#[test]
fn a_transaction_without_a_code_takes_none() {
    run(async {
        let bank = Bank::open(TYPES).await;
        bank.enrol("alice").await;
        let id = begin(&bank, request("alice", "login")).await;
        assert_eq!(try_code(&bank, id, "123456").await.expect_err("refused").code, ErrorCode::InvalidField);
        assert_eq!(bank.view(id).await.attempts.used, 0);
    });
}

#[test]
fn methods_are_those_that_would_reach_the_user_now() {
    run(async {
        let bank = Bank::open(TYPES).await;
        let methods = async || {
            let usable = bank.handle.usable_types(&client(), &user("alice")).await.expect("types");
            let word = |found: &tocsin_engine::UsableType| {
                format!("{} {} {}", found.type_name, found.method.as_str(), found.device_ids.len())
            };
            usable.iter().map(word).collect::<Vec<_>>()
        };
        let codes = ["chain sms 0", "code sms 0", "mail email 0", "patient-safe sms 0", "safe sms 0"];
        assert_eq!(methods().await, codes, "without a phone only codes and fallbacks reach him");
        bank.enrol("alice").await;
        let found = methods().await;
        assert!(
            found.contains(&"safe push 1".to_owned()) && found.contains(&"login push 1".to_owned()),
            "{found:?}"
        );
        assert!(found.contains(&"code sms 0".to_owned()));
    });
}

#[test]
fn an_open_breaker_brings_the_fallback_or_a_refusal_before_anything_is_stored() {
    run(async {
        let bank = Bank::open(TYPES).await;
        bank.network.set(Script::End(DeliveryOutcome::Failed(DeliveryReason::Unavailable), Some(false)));
        for _ in 0..2 {
            let id = begin(&bank, coded("mail")).await;
            bank.until(id, |view| view.state.is_final()).await;
        }
        let problem = bank.handle.start(coded("code")).await.expect_err("no gateway can be reached");
        assert_eq!(problem.code, ErrorCode::ProviderUnavailable);
    });
}
