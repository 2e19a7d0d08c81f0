//! Codes and fallbacks: read back as they were written, and absent from older records.

use tocsin_model::{
    CodeAddress, CodeDigits, CodeKeyId, CodeState, EmailAddress, Fallback, FallbackPlan, FallbackReason,
    PhoneNumber,
};

use super::super::one_time_code::CodeRecord;
use super::*;

fn code() -> CodeState {
    CodeState {
        key: CodeKeyId::from_bytes([5; 8]),
        digits: CodeDigits::new(6).expect("allowed"),
        address: PhoneNumber::parse("+15055551234").map(CodeAddress::Phone),
        gateways: vec!["p".parse().expect("valid"), "q".parse().expect("valid")],
        delivery: Some(Delivery {
            provider: "q".parse().expect("valid"),
            status: DeliveryStatus::Relayed,
            reason: None,
        }),
        title: None,
        message: "{code}".into(),
        autofill_domain: Some("d".into()),
        attempts: Counter { used: 1, max: 3 },
        resend_gap: tocsin_model::DurationMs::new(10_000),
        verified_at: None,
    }
}

fn by_mail() -> CodeState {
    CodeState {
        address: EmailAddress::parse("a@example.com").map(CodeAddress::Email),
        title: Some("S".into()),
        verified_at: Some(UnixMs::new(9)),
        ..code()
    }
}

fn coded() -> Transaction {
    let last =
        FallbackPlan { method: Method::Email, due_at: None, code: by_mail(), resends_max: 0, next: None };
    let first = FallbackPlan {
        method: Method::Sms,
        due_at: Some(UnixMs::new(7)),
        code: code(),
        resends_max: 2,
        next: Some(Box::new(last)),
    };
    let fallback = Fallback {
        from: Method::Push,
        to: Method::Sms,
        reason: FallbackReason::NoAnswer,
        at: UnixMs::new(8),
    };
    let seldom = Seldom {
        code: Some(Box::new(code())),
        fallback: Some(fallback),
        plan: Some(Box::new(first)),
        ..Seldom::default()
    };
    Transaction { method: Method::Sms, seldom: seldom.kept(), ..transaction() }
}

#[test]
fn the_bytes_of_a_code_never_change_and_hold_no_code() {
    assert_eq!(hex(&payload(&CodeRecord::new(&code()))), GOLDEN);
}

const GOLDEN: &str = "aa004805050505050505050106026c2b313530353535353132333404826170617105a2006171010207667b636f64657d08616409010a030c192710";

#[test]
fn codes_and_fallbacks_are_read_back_as_they_were_written() {
    let coded = coded();
    assert_eq!(transaction_of(&payload(&TransactionRecord::new(&coded))), Ok(coded));
}

#[test]
fn what_has_neither_costs_nothing() {
    let plain = payload(&TransactionRecord::new(&transaction()));
    let read = transaction_of(&plain).expect("read");
    assert_eq!((read.code(), read.fallback(), read.plan()), (None, None, None));
}

#[test]
fn marks_tell_which_gateway_has_the_code_now() {
    let mut stored = coded();
    let mut marked = coded();
    marked.revision = 9;
    let delivery = Delivery {
        provider: "p".parse().expect("valid"),
        status: DeliveryStatus::Unknown,
        reason: Some(DeliveryReason::Cut),
    };
    marked.code_mut().expect("a code").delivery = Some(delivery.clone());
    MarksRecord::new(&marked).lay_on(&mut stored).expect("laid on");
    assert_eq!((stored.revision, stored.code().and_then(|code| code.delivery.clone())), (9, Some(delivery)));
}
