//! Every refusal of an answer in the order of the protocol, and what it takes.

use proptest::prelude::*;
use serde_json::{Value, json};
use tocsin_model::{DurationMs, NumberMatch};

use super::*;
use crate::device::encoding::base64url;
use crate::device::testing::{ISSUER, KID, NOW, TestKey, TestPhone, device_key, flip_s, login};

fn parse(jws: &str) -> Result<UnverifiedAnswer, Problem> {
    UnverifiedAnswer::parse(json!({ "answer": jws }).to_string().as_bytes())
}

fn context<'a>(phone: &'a TestPhone, transaction: &'a Transaction) -> AnswerContext<'a> {
    AnswerContext { transaction, device: &phone.device, app_takes_key: true, issuer: ISSUER, now: NOW }
}

fn judge(phone: &TestPhone, transaction: &Transaction, jws: &str) -> Result<VerifiedAnswer, Problem> {
    let verified = parse(jws)?.check(context(phone, transaction))?.verify();
    verified.map_err(|fault| match fault {
        SignatureFault::Refused(problem) => problem,
        SignatureFault::WrongPin => Problem::new(ErrorCode::WrongPin, "counted elsewhere"),
    })
}

fn code(result: Result<VerifiedAnswer, Problem>) -> Option<ErrorCode> {
    result.err().map(|problem| problem.code)
}

fn sign(phone: &TestPhone, claims: &Value) -> String {
    phone.key.sign("tocsin-answer+jwt", Some(&KID), claims)
}

fn accept(phone: &TestPhone, transaction: &Transaction) -> String {
    sign(phone, &phone.answer_claims(transaction, "accept"))
}

/// A login that `phone` accepted.
fn accepted(phone: &TestPhone) -> Transaction {
    let mut transaction = login();
    let answer = judge(phone, &transaction, &accept(phone, &transaction)).expect("stands");
    transaction.answer = Some(Box::new(answer.into_answer(NOW, None)));
    transaction.state = State::Accepted;
    transaction
}

#[test]
fn each_decision_stands_under_the_device_key() {
    let (phone, transaction) = (TestPhone::new(), login());
    for decision in [Decision::Accept, Decision::Decline, Decision::Report] {
        let jws = sign(&phone, &phone.answer_claims(&transaction, decision.as_str()));
        let answer = judge(&phone, &transaction, &jws).expect("stands");
        assert_eq!((answer.decision, answer.key_use, answer.repeats), (decision, KeyUse::Device, false));
        assert_eq!((answer.device_id, &*answer.jws), (phone.device.id, jws.as_str()));
    }
}

#[test]
fn bodies_that_are_no_answer_are_refused_by_kind() {
    for (body, code, field) in [
        (r#"{"answer":"a","answer":"b"}"#.to_owned(), ErrorCode::InvalidRequest, Some("answer")),
        ("[]".to_owned(), ErrorCode::InvalidRequest, Some("body")),
        ("{".to_owned(), ErrorCode::InvalidRequest, Some("body")),
        (r#"{"answer":}"#.to_owned(), ErrorCode::InvalidRequest, Some("answer")),
        ("{}".to_owned(), ErrorCode::FieldRequired, Some("answer")),
        (r#"{"answer":null}"#.to_owned(), ErrorCode::FieldRequired, Some("answer")),
        (r#"{"answer":1}"#.to_owned(), ErrorCode::InvalidRequest, Some("answer")),
        (format!(r#"{{"answer":"{}"}}"#, "x".repeat(8_193)), ErrorCode::InvalidRequest, Some("answer")),
        (r#"{"answer":""}"#.to_owned(), ErrorCode::BadProof, None),
        (r#"{"answer":"a.b.c"}"#.to_owned(), ErrorCode::BadProof, None),
    ] {
        let refused = UnverifiedAnswer::parse(body.as_bytes()).expect_err("refused");
        assert_eq!((refused.code, refused.field.as_deref()), (code, field), "{body:.60}");
    }
}

#[test]
fn wrong_types_keys_and_signatures_are_401() {
    let (phone, transaction) = (TestPhone::new(), login());
    let claims = phone.answer_claims(&transaction, "accept");
    let stranger = TestKey::from_label("stranger");
    for jws in [
        phone.key.sign("tocsin-proof+jwt", Some(&KID), &claims),
        phone.key.sign("tocsin-answer+jwt", None, &claims),
        phone.key.sign("tocsin-answer+jwt", Some(&KeyId::from_bytes([9; 16])), &claims),
        stranger.sign("tocsin-answer+jwt", Some(&KID), &claims),
    ] {
        assert_eq!(code(judge(&phone, &transaction, &jws)), Some(ErrorCode::BadProof), "{jws}");
    }
    assert_eq!(UnverifiedAnswer::unknown_key().code, ErrorCode::BadProof);
}

#[test]
fn claims_that_do_not_fit_are_a_wrong_challenge() {
    let (phone, transaction) = (TestPhone::new(), login());
    let other_id = DeviceId::from_random([9; 16]).to_string();
    for (name, value) in [
        ("iss", json!(null)),
        ("iss", json!(other_id)),
        ("sub", json!(null)),
        ("sub", json!(other_id)),
        ("sub", json!(transaction.id.to_string().to_uppercase())),
        ("aud", json!(null)),
        ("aud", json!("https://other.example")),
        ("aud", json!([ISSUER])),
        ("iat", json!(null)),
        ("iat", json!("now")),
        ("nonce", json!(null)),
        ("nonce", json!(base64url(&[0x56; 16]))),
        ("nonce", json!("")),
        ("dh", json!(null)),
        ("dh", json!(base64url(&[0; 32]))),
        ("dh", json!(base64url(&[0; 31]))),
        ("decision", json!(null)),
        ("decision", json!("Accept")),
        ("decision", json!(true)),
    ] {
        let mut claims = phone.answer_claims(&transaction, "accept");
        claims[name] = value.clone();
        let refused = judge(&phone, &transaction, &sign(&phone, &claims)).expect_err("refused");
        assert_eq!(
            (refused.code, refused.field.as_deref()),
            (ErrorCode::WrongChallenge, Some("answer")),
            "{name} {value}"
        );
    }
}

#[test]
fn an_answer_over_another_text_is_a_wrong_challenge() {
    let (phone, transaction) = (TestPhone::new(), login());
    let mut shown_otherwise = login();
    shown_otherwise.content.change_particulars(|particulars| particulars.details[0].value = "12.51 €".into());
    let jws = accept(&phone, &shown_otherwise);
    assert_eq!(code(judge(&phone, &transaction, &jws)), Some(ErrorCode::WrongChallenge));
}

#[test]
fn a_device_that_was_not_asked_learns_nothing() {
    let phone = TestPhone::new();
    let mut transaction = login();
    let jws = accept(&phone, &transaction);
    transaction.recipients.clear();
    assert_eq!(code(judge(&phone, &transaction, &jws)), Some(ErrorCode::NotFound));
    transaction.state = State::Accepted;
    assert_eq!(code(judge(&phone, &transaction, &jws)), Some(ErrorCode::NotFound));
}

#[test]
fn a_late_answer_meets_the_end() {
    let (phone, transaction) = (TestPhone::new(), login());
    let at = |now: UnixMs| {
        let answer = parse(&accept(&phone, &transaction)).expect("the profile");
        answer.check(AnswerContext { now, ..context(&phone, &transaction) }).map(|_| ())
    };
    assert_eq!(at(transaction.expires_at.minus(DurationMs::new(1))), Ok(()));
    assert_eq!(at(transaction.expires_at), Err(Problem::transaction_final(State::Timeout)));
}

#[test]
fn the_winning_answer_in_any_bytes_repeats_and_others_are_late() {
    let phone = TestPhone::new();
    let transaction = accepted(&phone);
    let claims = phone.answer_claims(&transaction, "accept");
    let mut later = claims.clone();
    later["iat"] = json!(1_790_000_010);
    for jws in [sign(&phone, &claims), flip_s(&sign(&phone, &claims)), sign(&phone, &later)] {
        assert!(judge(&phone, &transaction, &jws).expect("stands").repeats);
    }
    for (name, value) in [
        ("decision", json!("decline")),
        ("nonce", json!(base64url(&[1; 16]))),
        ("iss", json!("x")),
        ("sub", json!("x")),
    ] {
        let mut other = claims.clone();
        other[name] = value;
        let refused = judge(&phone, &transaction, &sign(&phone, &other));
        assert_eq!(refused, Err(Problem::transaction_final(State::Accepted)), "{name}");
    }
    let forged = TestKey::from_label("stranger").sign("tocsin-answer+jwt", Some(&KID), &claims);
    assert_eq!(code(judge(&phone, &transaction, &forged)), Some(ErrorCode::BadProof));
}

#[test]
fn a_transaction_that_ended_without_an_answer_takes_none() {
    let phone = TestPhone::new();
    for state in
        [State::Timeout, State::Cancelled, State::Failed(tocsin_model::FailureReason::ProviderRejected)]
    {
        let mut transaction = login();
        transaction.state = state;
        let refused = judge(&phone, &transaction, &accept(&phone, &transaction));
        assert_eq!(refused, Err(Problem::transaction_final(state)));
    }
}

#[test]
fn the_type_says_which_keys_approve_and_only_the_device_key_refuses() {
    let mut phone = TestPhone::new();
    let finger = TestKey::from_label("finger");
    let finger_kid = KeyId::from_bytes([0x77; 16]);
    phone.device.keys.push(device_key(&finger, KeyUse::Biometric, finger_kid));
    let mut transaction = login();
    let by_finger = |phone: &TestPhone, transaction: &Transaction, decision: &str| {
        finger.sign("tocsin-answer+jwt", Some(&finger_kid), &phone.answer_claims(transaction, decision))
    };
    let jws = by_finger(&phone, &transaction, "accept");
    assert_eq!(code(judge(&phone, &transaction, &jws)), Some(ErrorCode::MethodNotAllowed));
    transaction.accepted_keys = [KeyUse::Biometric].into();
    assert_eq!(judge(&phone, &transaction, &jws).expect("stands").key_use, KeyUse::Biometric);
    assert!(parse(&jws).expect("the profile").needs_proof(&phone.device));
    for decision in ["decline", "report"] {
        let jws = by_finger(&phone, &transaction, decision);
        assert_eq!(code(judge(&phone, &transaction, &jws)), Some(ErrorCode::MethodNotAllowed));
        let jws = sign(&phone, &phone.answer_claims(&transaction, decision));
        assert!(!parse(&jws).expect("the profile").needs_proof(&phone.device));
        assert!(judge(&phone, &transaction, &jws).is_ok());
    }
    let forged =
        phone.key.sign("tocsin-answer+jwt", Some(&finger_kid), &phone.answer_claims(&transaction, "accept"));
    assert_eq!(code(judge(&phone, &transaction, &forged)), Some(ErrorCode::BadSignature));
}

/// An answer that is wrong in every way meets the errors in the order of the protocol, as each is put right.
#[test]
fn the_checks_come_in_the_order_of_the_protocol() {
    let mut phone = TestPhone::new();
    let finger_kid = KeyId::from_bytes([0x77; 16]);
    let mut transaction = login();
    let recipients = std::mem::take(&mut transaction.recipients);
    transaction.state = State::Cancelled;
    let good = phone.answer_claims(&login(), "accept");
    let mut claims = json!({"iss": "x", "sub": "x", "aud": "x", "nonce": "x", "dh": "x", "decision": "x"});
    let wrong_key = TestKey::from_label("stranger");
    let told = |phone: &TestPhone, transaction: &Transaction, claims: &Value| {
        let jws = wrong_key.sign("tocsin-answer+jwt", Some(&finger_kid), claims);
        judge(phone, transaction, &jws).expect_err("refused")
    };
    assert_eq!(told(&phone, &transaction, &claims).code, ErrorCode::BadProof);
    phone.device.keys.push(device_key(&TestKey::from_label("finger"), KeyUse::Biometric, finger_kid));
    assert_eq!(told(&phone, &transaction, &claims).code, ErrorCode::NotFound);
    transaction.recipients = recipients;
    assert_eq!(told(&phone, &transaction, &claims).code, ErrorCode::TransactionFinal);
    transaction.state = State::Pending;
    for (name, begins) in [
        ("iss", "iss"),
        ("sub", "sub"),
        ("aud", "aud"),
        ("iat", "iat"),
        ("nonce", "nonce"),
        ("dh", "nonce"),
        ("decision", "decision"),
    ] {
        let refused = told(&phone, &transaction, &claims);
        assert!(
            refused.code == ErrorCode::WrongChallenge && refused.detail.starts_with(begins),
            "{name}: {refused}"
        );
        claims[name] = good[name].clone();
    }
    transaction.seldom_mut().number = Some(typed(42));
    assert_eq!(told(&phone, &transaction, &claims).code, ErrorCode::MethodNotAllowed);
    transaction.accepted_keys = [KeyUse::Device, KeyUse::Biometric].into();
    let refused = told(&phone, &transaction, &claims);
    assert_eq!((refused.code, refused.field.as_deref()), (ErrorCode::FieldRequired, Some("number")));
    claims["number"] = json!("41");
    assert_eq!(told(&phone, &transaction, &claims).code, ErrorCode::BadSignature);
}

fn typed(number: u8) -> NumberMatch {
    NumberMatch { right: TwoDigits::new(number).expect("two digits"), choices: None }
}

#[test]
fn an_approval_needs_the_number_and_a_wrong_one_is_told_apart() {
    let (phone, mut transaction) = (TestPhone::new(), login());
    transaction.seldom_mut().number = Some(typed(7));
    let mut claims = phone.answer_claims(&transaction, "accept");
    for missing in [None, Some(json!(7)), Some(json!(null))] {
        if let Some(value) = missing {
            claims["number"] = value;
        }
        let refused = judge(&phone, &transaction, &sign(&phone, &claims));
        assert_eq!(code(refused), Some(ErrorCode::FieldRequired), "{claims}");
    }
    for (number, wrong) in [("07", false), ("7", true), ("08", true), ("007", true), ("", true)] {
        claims["number"] = json!(number);
        let answer = judge(&phone, &transaction, &sign(&phone, &claims)).expect("its signature stands");
        assert_eq!(answer.wrong_number, wrong, "{number}");
    }
    let refusing = sign(&phone, &phone.answer_claims(&transaction, "decline"));
    assert!(!judge(&phone, &transaction, &refusing).expect("refusing needs no number").wrong_number);
}

#[test]
fn a_wrong_pin_is_told_apart_also_in_an_answer_that_claims_to_be_the_winning_one() {
    let mut phone = TestPhone::new();
    let (pin, pin_kid) = (TestKey::from_label("pin"), KeyId::from_bytes([0x66; 16]));
    phone.device.keys.push(device_key(&pin, KeyUse::Pin, pin_kid));
    let mut transaction = login();
    transaction.accepted_keys = [KeyUse::Device, KeyUse::Pin].into();
    let claims = phone.answer_claims(&transaction, "accept");
    let by = |key: &TestKey| key.sign("tocsin-answer+jwt", Some(&pin_kid), &claims);
    let (right, wrong) = (by(&pin), by(&TestKey::from_label("another pin")));
    assert_eq!(judge(&phone, &transaction, &right).expect("stands").key_use, KeyUse::Pin);
    assert_eq!(code(judge(&phone, &transaction, &wrong)), Some(ErrorCode::WrongPin));
    let ended = Transaction { accepted_keys: transaction.accepted_keys, ..accepted(&phone) };
    assert!(judge(&phone, &ended, &right).expect("stands").repeats);
    assert_eq!(code(judge(&phone, &ended, &wrong)), Some(ErrorCode::WrongPin), "no place to try PINs freely");
}

#[test]
fn a_key_that_the_app_may_not_use_any_more_approves_nothing() {
    let (phone, transaction) = (TestPhone::new(), login());
    let context = AnswerContext { app_takes_key: false, ..context(&phone, &transaction) };
    let refused = parse(&accept(&phone, &transaction)).and_then(|answer| answer.check(context)).map(drop);
    assert_eq!(refused.map_err(|problem| problem.code), Err(ErrorCode::MethodNotAllowed));
}

proptest! {
    #[test]
    fn arbitrary_bodies_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        prop_assert!(UnverifiedAnswer::parse(&bytes).is_err());
    }

    #[test]
    fn arbitrary_claims_never_stand(text in "[a-z0-9\\-]{0,40}", number in any::<f64>(), which in 0_usize..7) {
        let (phone, transaction) = (TestPhone::new(), login());
        let names = ["iss", "sub", "aud", "iat", "nonce", "dh", "decision"];
        let mut claims = phone.answer_claims(&transaction, "accept");
        claims[names[which]] = if names[which] == "iat" { json!(-number.abs() - 1.0) } else { json!(text) };
        prop_assume!(!["accept", "decline", "report"].contains(&text.as_str()));
        prop_assert!(judge(&phone, &transaction, &sign(&phone, &claims)).is_err());
    }
}
