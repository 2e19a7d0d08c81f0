//! Codes, gateways and fallbacks in the machine: by example at their edges, and as a property over arbitrary orders.

use std::sync::Arc;

use proptest::prelude::*;
use tocsin_model::{
    Answer, CodeAddress, CodeDigits, CodeKeyId, CodeState, Content, Counter, Decision, Delivery,
    DeliveryReason, DeliveryStatus, DeviceId, DurationMs, ErrorCode, FailureReason, Fallback, FallbackPlan,
    FallbackReason, KeyUse, Method, Nonce, Partition, PhoneNumber, Platform, Problem, Recipient,
    RequestMessage, Seldom, Sending, State, Transaction, TransactionId, UnixMs,
};

use super::{CallerId, Effect, Event, Machine, Reply, StoreFailure, WriteOutcome};
use crate::protocol::{Addressee, DeliveryOutcome};

const CREATED: UnixMs = UnixMs::new(1_000_000);
const DUE: UnixMs = UnixMs::new(1_020_000);
const EXPIRES: UnixMs = UnixMs::new(1_060_000);
const GAP: DurationMs = DurationMs::from_seconds(1);
const FAILED: DeliveryOutcome = DeliveryOutcome::Failed(DeliveryReason::RequestRefused);
const DOWN: DeliveryOutcome = DeliveryOutcome::Failed(DeliveryReason::Unavailable);
const CUT: DeliveryOutcome = DeliveryOutcome::Unknown(DeliveryReason::Cut);

fn at(ms: u64) -> UnixMs {
    CREATED.plus(DurationMs::new(ms))
}

fn device(number: u8) -> DeviceId {
    DeviceId::from_random([number; 16])
}

fn queued(provider: &str) -> Delivery {
    Delivery { provider: provider.parse().expect("a name"), status: DeliveryStatus::Queued, reason: None }
}

/// A code that may be tried so often, sent by these gateways.
fn code(tries: u32, gateways: &[&str]) -> CodeState {
    CodeState {
        key: CodeKeyId::from_bytes([1; 8]),
        digits: CodeDigits::new(6).expect("allowed"),
        address: PhoneNumber::parse("+15055551234").map(CodeAddress::Phone),
        gateways: gateways.iter().map(|name| name.parse().expect("a name")).collect(),
        delivery: gateways.first().map(|name| queued(name)),
        title: None,
        message: "{code}".into(),
        autofill_domain: None,
        attempts: Counter::new(tries),
        resend_gap: GAP,
        verified_at: None,
    }
}

fn plan(method: Method, due_at: Option<UnixMs>, next: Option<Box<FallbackPlan>>) -> Box<FallbackPlan> {
    let gateway = if method == Method::Email { "mail" } else { "sms-a" };
    Box::new(FallbackPlan { method, due_at, code: code(3, &[gateway]), resends_max: 1, next })
}

fn bare(method: Method, seldom: Seldom) -> Transaction {
    Transaction {
        id: TransactionId::compose(CREATED, Partition::default(), [1; 16]),
        revision: 1,
        client: "portal".parse().expect("valid"),
        user: None,
        type_name: "login".parse().expect("valid"),
        method,
        state: State::Pending,
        created_at: CREATED,
        expires_at: EXPIRES,
        ended_at: None,
        content: Content::default(),
        accepted_keys: [KeyUse::Device].into(),
        recipients: Vec::new(),
        attempts: Counter::new(0),
        resends: Counter::new(2),
        answer: None,
        keep_for_polling: false,
        request_message: RequestMessage::NotAsked,
        callback_url: None,
        call_context: None,
        seldom: seldom.kept(),
    }
}

fn coded(code: CodeState) -> Transaction {
    bare(Method::Sms, Seldom { code: Some(Box::new(code)), ..Seldom::default() })
}

fn pushed(plan: Option<Box<FallbackPlan>>) -> Transaction {
    let recipient = |number: u8| Recipient {
        device_id: device(number),
        device_name: "phone".into(),
        platform: Platform::Ios,
        app: "bank".parse().expect("valid"),
        nonce: Nonce::from_bytes([number; 16]),
        delivery: Some(queued("apns-main")),
    };
    Transaction { recipients: vec![recipient(1)], ..bare(Method::Push, Seldom { plan, ..Seldom::default() }) }
}

/// A machine whose record is stored, with the effects of that.
fn open(transaction: Transaction) -> (Machine, Vec<Effect>) {
    let mut machine = Machine::new(transaction);
    machine.step(Event::Started { caller: CallerId(1) }, CREATED);
    let effects = machine.step(Event::Written(WriteOutcome::Stored), CREATED);
    (machine, effects)
}

fn sent(effects: &[Effect]) -> usize {
    let sends =
        |effect: &&Effect| matches!(effect, Effect::Push(Addressee::Code(_)) | Effect::SendIfAdmitted(_));
    effects.iter().filter(sends).count()
}

fn sending(machine: &Machine) -> Sending {
    machine.transaction().sending().expect("a sending")
}

/// The present sending of the code ends.
fn code_ended(machine: &Machine, outcome: DeliveryOutcome) -> Event {
    ended(Addressee::Code(sending(machine)), outcome)
}

fn ended(addressee: Addressee, outcome: DeliveryOutcome) -> Event {
    Event::PushEnded { addressee, outcome }
}

fn provider(machine: &Machine) -> &str {
    let delivery = machine.transaction().code().and_then(|code| code.delivery.as_ref());
    delivery.expect("a delivery").provider.as_str()
}

fn status(machine: &Machine) -> DeliveryStatus {
    machine.transaction().code().and_then(|code| code.delivery.as_ref()).expect("a delivery").status
}

/// Takes a call whose write is stored; answers with what the caller is told.
fn call(machine: &mut Machine, event: Event, now: UnixMs) -> Reply {
    let mut effects = machine.step(event, now);
    let writes = |effect: &Effect| {
        matches!(effect, Effect::End(_) | Effect::Attempt { .. } | Effect::Resend { .. } | Effect::Amend(_))
    };
    if effects.iter().any(writes) {
        effects.extend(machine.step(Event::Written(WriteOutcome::Stored), now));
    }
    let told = effects.into_iter().find_map(|effect| match effect {
        Effect::Reply(_, reply) => Some(reply),
        _ => None,
    });
    told.expect("a reply")
}

const TRIED: Event = Event::TriedWrong { caller: CallerId(7) };
const RIGHT: Event = Event::CodeVerified { caller: CallerId(8) };

fn refused(reply: &Reply) -> Option<ErrorCode> {
    match reply {
        Reply::Refused(problem) => Some(problem.code),
        _ => None,
    }
}

fn resend() -> Event {
    Event::Resent { caller: CallerId(9), gap: GAP, idempotency: None }
}

#[test]
fn a_code_is_sent_once_it_is_stored_and_never_before() {
    let mut machine = Machine::new(coded(code(3, &["sms-a"])));
    assert_eq!(sent(&machine.step(Event::Started { caller: CallerId(1) }, CREATED)), 0);
    assert_eq!(sent(&machine.step(Event::Written(WriteOutcome::Stored), CREATED)), 1);
}

#[test]
fn tries_end_it_at_their_limit_and_not_before() {
    for limit in [1, 3] {
        let (mut machine, _) = open(coded(code(limit, &["sms-a"])));
        for left in (0..limit).rev() {
            assert_eq!(call(&mut machine, TRIED, at(1)), Reply::TriesLeft(left));
        }
        assert_eq!(machine.transaction().state, State::Failed(FailureReason::AttemptsExceeded));
        assert_eq!(refused(&call(&mut machine, RIGHT, at(2))), Some(ErrorCode::TransactionFinal));
    }
}

#[test]
fn the_right_code_is_taken_at_the_last_try_and_again_afterwards() {
    let (mut machine, _) = open(coded(code(3, &["sms-a"])));
    call(&mut machine, TRIED, at(1));
    call(&mut machine, TRIED, at(1));
    let Reply::View(view) = call(&mut machine, RIGHT, at(2)) else { panic!("no view") };
    assert_eq!((view.state, view.attempts_shown()), (State::Accepted, Counter { used: 3, max: 3 }));
    assert_eq!(status(&machine), DeliveryStatus::Fetched);
    assert_eq!(call(&mut machine, RIGHT, at(3)), Reply::View(view), "the right code again is told the same");
    assert_eq!(refused(&call(&mut machine, TRIED, at(4))), Some(ErrorCode::TransactionFinal));
}

#[test]
fn without_a_limit_fifty_wrong_tries_leave_it_open() {
    let (mut machine, _) = open(coded(code(0, &["sms-a"])));
    for _ in 0..50 {
        assert!(matches!(call(&mut machine, TRIED, at(1)), Reply::TriesLeft(_)));
    }
    let Reply::View(view) = call(&mut machine, RIGHT, at(2)) else { panic!("no view") };
    assert_eq!((view.state, view.attempts_shown().used), (State::Accepted, 51));
}

#[test]
fn tries_and_resends_give_no_time() {
    let (mut machine, _) = open(coded(code(3, &["sms-a"])));
    call(&mut machine, TRIED, at(59_000));
    machine.step(code_ended(&machine, DeliveryOutcome::Relayed), at(59_001));
    assert!(matches!(call(&mut machine, resend(), at(59_500)), Reply::View(_)));
    assert_eq!(refused(&call(&mut machine, RIGHT, EXPIRES)), Some(ErrorCode::TransactionFinal));
    assert_eq!(machine.transaction().state, State::Timeout);
}

#[test]
fn the_same_code_leaves_again_as_often_as_the_type_allows_after_the_gap() {
    let (mut machine, _) = open(coded(code(3, &["sms-a", "sms-b"])));
    assert_eq!(refused(&call(&mut machine, resend(), at(2_000))), Some(ErrorCode::RateLimited), "on its way");
    machine.step(code_ended(&machine, FAILED), at(10));
    machine.step(code_ended(&machine, DeliveryOutcome::Relayed), at(20));
    assert_eq!(provider(&machine), "sms-b");
    assert_eq!(
        refused(&call(&mut machine, resend(), at(999))),
        Some(ErrorCode::RateLimited),
        "inside the gap"
    );
    for now in [1_000, 2_000] {
        let effects = machine.step(resend(), at(now));
        assert_eq!(sent(&effects), 0, "not before it is stored");
        assert_eq!(sent(&machine.step(Event::Written(WriteOutcome::Stored), at(now))), 1);
        assert_eq!(provider(&machine), "sms-a", "it begins with the first gateway again");
        machine.step(code_ended(&machine, DeliveryOutcome::Relayed), at(now));
    }
    assert_eq!(refused(&call(&mut machine, resend(), at(9_000))), Some(ErrorCode::ResendLimit));
}

#[test]
fn where_resends_are_switched_off_the_first_is_refused() {
    let (mut machine, _) = open(Transaction { resends: Counter::new(0), ..coded(code(3, &["sms-a"])) });
    machine.step(code_ended(&machine, DeliveryOutcome::Relayed), at(10));
    assert_eq!(refused(&call(&mut machine, resend(), at(5_000))), Some(ErrorCode::ResendLimit));
}

#[test]
fn what_its_client_delivers_is_never_sent_and_never_sent_again() {
    let (mut machine, effects) = open(coded(code(3, &[])));
    assert_eq!(sent(&effects), 0);
    assert_eq!(refused(&call(&mut machine, resend(), at(5_000))), Some(ErrorCode::InvalidField));
    assert!(matches!(call(&mut machine, RIGHT, at(6_000)), Reply::View(_)));
}

#[test]
fn the_next_gateway_is_tried_when_one_has_failed_and_only_then() {
    let (mut machine, _) = open(coded(code(3, &["sms-a", "sms-b"])));
    assert_eq!(sent(&machine.step(code_ended(&machine, DOWN), at(1))), 1);
    assert_eq!((provider(&machine), status(&machine)), ("sms-b", DeliveryStatus::Queued));
    let effects = machine.step(code_ended(&machine, FAILED), at(2));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::End(_))), "the last one has failed, too");
    for outcome in [DeliveryOutcome::Relayed, CUT] {
        let (mut machine, _) = open(coded(code(3, &["sms-a", "sms-b"])));
        assert_eq!(sent(&machine.step(code_ended(&machine, outcome), at(1))), 0);
        assert_eq!(
            sent(&machine.step(code_ended(&machine, FAILED), at(2))),
            0,
            "a late word changes nothing"
        );
        assert_eq!(provider(&machine), "sms-a");
    }
}

#[test]
fn a_number_that_is_refused_for_good_is_tried_by_no_other_gateway() {
    let refused = DeliveryOutcome::Failed(DeliveryReason::AddressRefused);
    let (mut machine, _) = open(coded(code(3, &["sms-a", "sms-b"])));
    let effects = machine.step(code_ended(&machine, refused), at(1));
    assert_eq!((sent(&effects), provider(&machine)), (0, "sms-a"));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::End(_))));
}

fn undelivered(sending: Sending, reason: DeliveryReason) -> Event {
    Event::Undelivered { caller: CallerId(5), sending, reason }
}

#[test]
fn a_message_that_did_not_arrive_goes_by_the_next_gateway_and_then_ends_it() {
    use DeliveryReason::{AddressRefused, Undelivered};
    for first in [DeliveryOutcome::Relayed, CUT] {
        let (mut machine, _) = open(coded(code(3, &["sms-a", "sms-b"])));
        let by_a = sending(&machine);
        machine.step(code_ended(&machine, first), at(1));
        let effects = machine.step(undelivered(by_a, Undelivered), at(2));
        assert!(sent(&effects) == 0 && matches!(effects.as_slice(), [Effect::Amend(_)]), "stored first");
        let effects = machine.step(Event::Written(WriteOutcome::Stored), at(2));
        assert_eq!((sent(&effects), provider(&machine)), (1, "sms-b"));
        let by_b = sending(&machine);
        assert!(effects.contains(&Effect::SendIfAdmitted(by_b)), "the one before may have cost something");
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Reply(CallerId(5), Reply::View(_)))));
        assert_eq!(machine.step(undelivered(by_a, Undelivered), at(3)).len(), 1, "told twice: only a reply");
        machine.step(code_ended(&machine, DeliveryOutcome::Relayed), at(4));
        assert_eq!(machine.step(undelivered(by_a, Undelivered), at(5)).len(), 1, "of the one before");
        let effects = machine.step(undelivered(by_b, Undelivered), at(6));
        assert!(effects.iter().any(|effect| matches!(effect, Effect::End(_))), "nobody is left");
    }
    let (mut machine, _) = open(coded(code(3, &["sms-a", "sms-b"])));
    machine.step(code_ended(&machine, DeliveryOutcome::Relayed), at(1));
    let effects = machine.step(undelivered(sending(&machine), AddressRefused), at(2));
    assert!(sent(&effects) == 0 && effects.iter().any(|effect| matches!(effect, Effect::End(_))));
}

#[test]
fn a_report_that_comes_before_the_gateways_own_answer_counts_and_the_answer_no_more() {
    let reason = DeliveryReason::Undelivered;
    let (mut machine, _) = open(coded(code(3, &["sms-a", "sms-b"])));
    let by_a = sending(&machine);
    machine.step(Event::PushWritten { addressee: Addressee::Code(by_a) }, at(1));
    machine.step(undelivered(by_a, reason), at(2));
    assert_eq!(sent(&machine.step(Event::Written(WriteOutcome::Stored), at(2))), 1);
    machine.step(ended(Addressee::Code(by_a), DeliveryOutcome::Relayed), at(3));
    assert_eq!((provider(&machine), status(&machine)), ("sms-b", DeliveryStatus::Queued));
    let kept = Transaction { keep_for_polling: true, ..coded(code(3, &["sms-a"])) };
    let (mut machine, _) = open(kept);
    let by_a = sending(&machine);
    machine.step(undelivered(by_a, reason), at(2));
    machine.step(ended(Addressee::Code(by_a), DeliveryOutcome::Relayed), at(3));
    assert_eq!(status(&machine), DeliveryStatus::Failed, "what did not arrive is not relayed");
}

#[test]
fn a_report_whose_write_is_refused_is_refused_and_may_come_again() {
    let (mut machine, _) = open(coded(code(3, &["sms-a", "sms-b"])));
    let report = undelivered(sending(&machine), DeliveryReason::Undelivered);
    machine.step(code_ended(&machine, DeliveryOutcome::Relayed), at(1));
    machine.step(report.clone(), at(2));
    let refusal = WriteOutcome::Failed(StoreFailure::Refused);
    let effects = machine.step(Event::Written(refusal), at(2));
    assert!(matches!(effects.as_slice(), [Effect::Reply(CallerId(5), Reply::Refused(_))]), "{effects:?}");
    assert_eq!((provider(&machine), status(&machine)), ("sms-a", DeliveryStatus::Relayed));
    machine.step(report, at(3));
    assert_eq!(sent(&machine.step(Event::Written(WriteOutcome::Stored), at(3))), 1);
}

#[test]
fn a_step_to_the_next_gateway_that_was_stored_though_told_refused_is_sent_by_the_next_call() {
    let refused = || Event::Written(WriteOutcome::Failed(StoreFailure::Unavailable));
    for next_call in [None, Some(TRIED)] {
        let (mut machine, _) = open(coded(code(3, &["sms-a", "sms-b"])));
        let report = undelivered(sending(&machine), DeliveryReason::Undelivered);
        machine.step(code_ended(&machine, DeliveryOutcome::Relayed), at(1));
        let effects = machine.step(report.clone(), at(2));
        let [Effect::Amend(stored)] = effects.as_slice() else { panic!("{effects:?}") };
        machine.step(refused(), at(2));
        machine.step(next_call.unwrap_or(report), at(3));
        let lost = WriteOutcome::Lost(Box::new(Transaction::clone(stored)));
        let effects = machine.step(Event::Written(lost), at(3));
        assert_eq!((sent(&effects), provider(&machine)), (1, "sms-b"), "{effects:?}");
    }
}

#[test]
fn a_word_of_the_sending_before_makes_no_two_views_of_one_revision() {
    let (mut machine, _) = open(coded(code(3, &["sms-a", "sms-b"])));
    let by_a = Addressee::Code(sending(&machine));
    machine.step(undelivered(sending(&machine), DeliveryReason::Undelivered), at(2));
    let mut revisions = Vec::new();
    for event in [
        Event::PushWritten { addressee: by_a },
        ended(by_a, DeliveryOutcome::Relayed),
        Event::Written(WriteOutcome::Stored),
    ] {
        for effect in machine.step(event, at(3)) {
            match effect {
                Effect::Publish(view) => revisions.push(view.revision),
                Effect::Reply(_, Reply::View(view)) => assert_eq!(Some(&view.revision), revisions.last()),
                _ => {}
            }
        }
    }
    assert_eq!(revisions.len(), 3);
    assert!(revisions.is_sorted_by(|before, after| before < after), "{revisions:?}");
}

#[test]
fn no_word_is_told_while_the_last_try_is_being_stored() {
    let (mut machine, _) = open(coded(code(1, &["sms-a"])));
    let by_a = Addressee::Code(sending(&machine));
    machine.step(TRIED, at(1));
    assert_eq!(machine.step(ended(by_a, DeliveryOutcome::Relayed), at(2)), [], "its end is stored without");
}

#[test]
fn a_report_of_another_sending_or_of_one_that_is_over_changes_nothing() {
    let reason = DeliveryReason::Undelivered;
    let (mut machine, _) = open(coded(code(3, &["sms-a", "sms-b"])));
    let by_a = sending(&machine);
    machine.step(code_ended(&machine, DeliveryOutcome::Relayed), at(1));
    let later = Sending { fell_back_at: CREATED, ..by_a };
    for foreign in [Sending { gateway: 1, ..by_a }, Sending { resends_used: 1, ..by_a }, later] {
        assert_eq!(machine.step(undelivered(foreign, reason), at(2)).len(), 1, "only a reply");
        assert_eq!(status(&machine), DeliveryStatus::Relayed);
    }
    assert!(matches!(call(&mut machine, RIGHT, at(3)), Reply::View(_)));
    assert_eq!(machine.step(undelivered(by_a, reason), at(4)).len(), 1, "only a reply");
    assert_eq!((machine.transaction().state, status(&machine)), (State::Accepted, DeliveryStatus::Fetched));
}

#[test]
fn a_report_beside_a_resend_brings_one_message_and_not_two() {
    let (mut machine, _) = open(coded(code(3, &["sms-a", "sms-b"])));
    let first = sending(&machine);
    machine.step(code_ended(&machine, DeliveryOutcome::Relayed), at(1));
    machine.step(resend(), at(2_000));
    assert!(machine.step(undelivered(first, DeliveryReason::Undelivered), at(2_000)).is_empty(), "it waits");
    let effects = machine.step(Event::Written(WriteOutcome::Stored), at(2_000));
    assert_eq!((sent(&effects), provider(&machine)), (1, "sms-a"));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Reply(CallerId(5), Reply::View(_)))));
}

/// A code by two gateways, whose fallback to e-mail comes on silence.
fn silent_chain() -> Transaction {
    let mut transaction = coded(code(3, &["sms-a", "sms-b"]));
    transaction.seldom_mut().plan = Some(plan(Method::Email, Some(DUE), None));
    transaction
}

#[test]
fn a_word_of_the_sms_says_nothing_of_the_letter_that_followed_on_silence() {
    for outcome in [DOWN, FAILED, DeliveryOutcome::Relayed, CUT] {
        for comes_before_the_write in [true, false] {
            let (mut machine, _) = open(silent_chain());
            let by_sms = sending(&machine);
            let word = || ended(Addressee::Code(by_sms), outcome);
            machine.step(Event::TimerFired, DUE);
            let mut effects = Vec::new();
            if comes_before_the_write {
                effects.extend(machine.step(word(), DUE));
            }
            effects.extend(machine.step(Event::Written(WriteOutcome::Stored), DUE));
            effects.extend(machine.step(word(), DUE));
            machine.step(Event::PushWritten { addressee: Addressee::Code(by_sms) }, DUE);
            assert_eq!((sent(&effects), provider(&machine)), (1, "mail"), "{outcome:?}");
            assert_eq!(status(&machine), DeliveryStatus::Queued, "{outcome:?}");
            assert_eq!(machine.transaction().state, State::Pending);
            assert!(!effects.iter().any(|effect| matches!(effect, Effect::End(_))));
            let failed = machine.step(code_ended(&machine, DOWN), DUE);
            assert!(failed.iter().any(|effect| matches!(effect, Effect::End(_))), "its own word counts");
        }
    }
}

#[test]
fn a_gateway_that_fails_while_its_fallback_is_being_stored_is_followed_if_that_is_refused() {
    let (mut machine, _) = open(silent_chain());
    machine.step(Event::TimerFired, DUE);
    assert!(machine.step(code_ended(&machine, DOWN), DUE).is_empty(), "judged when the write has ended");
    let effects = machine.step(Event::Written(WriteOutcome::Failed(StoreFailure::Refused)), DUE);
    assert_eq!((sent(&effects), provider(&machine)), (1, "sms-b"));
}

#[test]
fn a_code_that_is_held_back_goes_by_no_other_gateway_and_ends_or_falls_back() {
    let held_back = |machine: &Machine| {
        let reason = DeliveryReason::Throttled;
        Event::HeldBack { sending: sending(machine), reason }
    };
    let chain = plan(Method::Sms, Some(DUE), Some(plan(Method::Email, None, None)));
    let (mut machine, _) = open(pushed(Some(chain)));
    machine.step(Event::TimerFired, DUE);
    let effects = machine.step(Event::Written(WriteOutcome::Stored), DUE);
    assert!(effects.contains(&Effect::SendIfAdmitted(sending(&machine))));
    let effects = machine.step(held_back(&machine), DUE);
    assert!(sent(&effects) == 0 && effects.iter().any(|effect| matches!(effect, Effect::Amend(_))));
    machine.step(Event::Written(WriteOutcome::Stored), DUE);
    assert_eq!(machine.transaction().method, Method::Email);
    let (mut machine, _) = open(coded(code(3, &["sms-a", "sms-b", "sms-c"])));
    machine.step(code_ended(&machine, DeliveryOutcome::Relayed), at(1));
    machine.step(undelivered(sending(&machine), DeliveryReason::Undelivered), at(2));
    machine.step(Event::Written(WriteOutcome::Stored), at(2));
    let effects = machine.step(held_back(&machine), at(3));
    assert!(sent(&effects) == 0 && effects.iter().any(|effect| matches!(effect, Effect::End(_))));
    assert_eq!((provider(&machine), status(&machine)), ("sms-b", DeliveryStatus::Failed));
}

#[test]
fn a_resend_that_is_held_back_is_refused_and_uses_nothing_up() {
    let (mut machine, _) = open(coded(code(3, &["sms-a"])));
    machine.step(code_ended(&machine, DeliveryOutcome::Relayed), at(1));
    machine.step(resend(), at(2_000));
    let problem = Problem::new(ErrorCode::RateLimited, "too many");
    let effects = machine.step(Event::Written(WriteOutcome::HeldBack(Box::new(problem))), at(2_000));
    assert_eq!(sent(&effects), 0);
    let told = effects.iter().any(|effect| matches!(effect, Effect::Reply(CallerId(9), Reply::Refused(_))));
    assert!(told && machine.transaction().resends.used == 0);
    assert!(matches!(call(&mut machine, resend(), at(3_000)), Reply::View(_)));
}

#[test]
fn a_fallback_whose_tries_are_used_up_is_none() {
    let mail = || FallbackPlan { code: code(1, &["mail"]), ..*plan(Method::Email, Some(DUE), None) };
    for (tries, then) in [(3, None), (0, None), (3, Some(()))] {
        let mut transaction = coded(code(tries, &["sms-a"]));
        let next = then.map(|()| plan(Method::Email, Some(DUE), None));
        transaction.seldom_mut().plan = Some(Box::new(FallbackPlan { next, ..mail() }));
        let (mut machine, _) = open(transaction);
        assert!(machine.transaction().plan().is_some());
        call(&mut machine, TRIED, at(1));
        let left = machine.transaction().plan().map(|plan| plan.code.attempts.max);
        assert_eq!(left, then.map(|()| 3), "the link with one try is gone, the one behind it is not");
        call(&mut machine, TRIED, at(1));
        let effects = machine.step(Event::TimerFired, DUE);
        assert_eq!(effects.iter().any(|effect| matches!(effect, Effect::Amend(_))), then.is_some());
    }
}

#[test]
fn a_restart_takes_the_fallback_that_was_due_when_all_had_failed() {
    let mut failed = pushed(Some(plan(Method::Sms, None, None)));
    let delivery = failed.recipients[0].delivery.as_mut().expect("pushed");
    (delivery.status, delivery.reason) = (DeliveryStatus::Failed, Some(DeliveryReason::TokenDead));
    let mut machine = Machine::new(failed);
    let effects = machine.step(Event::Revived, at(5));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Amend(_))), "{effects:?}");
    assert_eq!(sent(&machine.step(Event::Written(WriteOutcome::Stored), at(5))), 1);
}

#[test]
fn a_code_whose_end_is_unknown_is_not_sent_again_by_itself() {
    let name = || "sms-a".parse().expect("a name");
    let (mut machine, _) = open(coded(code(3, &["sms-a", "sms-b"])));
    assert_eq!(sent(&machine.step(Event::ProviderDown(name()), at(1))), 0);
    assert_eq!(status(&machine), DeliveryStatus::Unknown);
    assert_eq!(sent(&machine.step(Event::ProviderUp(name()), at(2))), 0);
    let mut revived = Machine::new(coded(code(3, &["sms-a", "sms-b"])));
    assert_eq!(sent(&revived.step(Event::Revived, at(3))), 0);
    assert_eq!(status(&revived), DeliveryStatus::Unknown);
    assert!(matches!(call(&mut revived, resend(), at(5_000)), Reply::View(_)), "the portal may ask for it");
    assert_eq!(provider(&revived), "sms-a");
}

#[test]
fn refused_pushes_bring_the_fallback_once_it_is_stored() {
    let (mut machine, effects) = open(pushed(Some(plan(Method::Sms, None, None))));
    assert_eq!(sent(&effects), 0);
    for (outcome, reason) in
        [(FAILED, FallbackReason::ProviderRejected), (DOWN, FallbackReason::ProviderUnavailable)]
    {
        let mut machine = machine.clone();
        let effects = machine.step(ended(Addressee::Phone(device(1)), outcome), at(5));
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Amend(_))) && sent(&effects) == 0);
        assert_eq!(machine.transaction().method, Method::Push, "not before it is stored");
        let effects = machine.step(Event::Written(WriteOutcome::Stored), at(6));
        assert_eq!(sent(&effects), 1);
        assert!(effects.contains(&Effect::CountFallback));
        let taken = machine.transaction();
        let expected = Fallback { from: Method::Push, to: Method::Sms, reason, at: at(5) };
        assert_eq!((taken.method, taken.fallback(), taken.plan()), (Method::Sms, Some(expected), None));
        assert_eq!((taken.attempts_shown().max, taken.resends.max, taken.expires_at), (3, 1, EXPIRES));
        assert!(matches!(call(&mut machine, RIGHT, at(7)), Reply::View(_)));
    }
    machine.step(ended(Addressee::Phone(device(1)), DeliveryOutcome::Relayed), at(5));
    assert_eq!(machine.step(Event::TimerFired, EXPIRES).len(), 1, "silence ends it without a fallback");
}

#[test]
fn silence_brings_the_fallback_when_its_time_has_come_and_the_phone_may_still_answer() {
    let (mut machine, effects) = open(pushed(Some(plan(Method::Sms, Some(DUE), None))));
    assert!(effects.contains(&Effect::ArmTimer(DUE)));
    machine.step(ended(Addressee::Phone(device(1)), DeliveryOutcome::Relayed), at(5));
    let early = machine.step(Event::TimerFired, UnixMs::new(DUE.get() - 1));
    assert!(!early.iter().any(|effect| matches!(effect, Effect::Amend(_))));
    machine.step(Event::TimerFired, DUE);
    let effects = machine.step(Event::Written(WriteOutcome::Stored), DUE);
    assert_eq!(sent(&effects), 1);
    assert!(effects.contains(&Effect::ArmTimer(EXPIRES)));
    let reason = machine.transaction().fallback().map(|fallback| fallback.reason);
    assert_eq!(reason, Some(FallbackReason::NoAnswer));
    let answer = Box::new(Answer {
        device_id: device(1),
        key_use: KeyUse::Device,
        decision: Decision::Accept,
        decided_at: DUE,
        jws: "a.b.c".into(),
        proof_jws: None,
    });
    let answered = Event::Answered { caller: CallerId(3), answer, wrong_number: false };
    assert_eq!(call(&mut machine, answered, DUE), Reply::Answered(State::Accepted));
    assert_eq!(
        refused(&call(&mut machine, RIGHT, DUE)),
        Some(ErrorCode::TransactionFinal),
        "the first one wins"
    );
}

#[test]
fn a_code_after_silence_wins_over_a_later_answer_and_outlives_the_phone() {
    let (mut machine, _) = open(pushed(Some(plan(Method::Sms, Some(DUE), None))));
    machine.step(Event::TimerFired, DUE);
    machine.step(Event::Written(WriteOutcome::Stored), DUE);
    machine.step(Event::DeviceGone { device_id: device(1), reason: FailureReason::DeviceRevoked }, DUE);
    machine.step(Event::Written(WriteOutcome::Stored), DUE);
    assert_eq!(machine.transaction().state, State::Pending);
    assert!(machine.transaction().recipients.is_empty());
    assert!(matches!(call(&mut machine, RIGHT, DUE), Reply::View(_)));
}

#[test]
fn a_fallback_that_fails_brings_the_next_one_with_the_tries_that_were_used() {
    let chain = plan(Method::Sms, None, Some(plan(Method::Email, None, None)));
    let (mut machine, _) = open(pushed(Some(chain)));
    machine.step(ended(Addressee::Phone(device(1)), FAILED), at(1));
    machine.step(Event::Written(WriteOutcome::Stored), at(1));
    assert_eq!(call(&mut machine, TRIED, at(2)), Reply::TriesLeft(2));
    machine.step(code_ended(&machine, DOWN), at(3));
    assert_eq!(sent(&machine.step(Event::Written(WriteOutcome::Stored), at(3))), 1);
    let taken = machine.transaction();
    let methods = taken.fallback().map(|fallback| (fallback.from, fallback.to));
    assert_eq!((taken.method, methods), (Method::Email, Some((Method::Sms, Method::Email))));
    assert_eq!(taken.attempts_shown(), Counter { used: 1, max: 3 });
    machine.step(code_ended(&machine, FAILED), at(4));
    machine.step(Event::Written(WriteOutcome::Stored), at(4));
    assert_eq!(machine.transaction().state, State::Failed(FailureReason::ProviderRejected));
}

#[test]
fn a_code_after_silence_that_fails_brings_the_next_fallback_though_the_phone_has_its_push() {
    let chain = plan(Method::Sms, Some(DUE), Some(plan(Method::Email, None, None)));
    let (mut machine, _) = open(pushed(Some(chain)));
    machine.step(ended(Addressee::Phone(device(1)), DeliveryOutcome::Relayed), at(1));
    machine.step(Event::TimerFired, DUE);
    machine.step(Event::Written(WriteOutcome::Stored), DUE);
    machine.step(code_ended(&machine, FAILED), DUE);
    assert_eq!(sent(&machine.step(Event::Written(WriteOutcome::Stored), DUE)), 1);
    machine.step(code_ended(&machine, FAILED), DUE);
    assert_eq!((machine.transaction().method, machine.transaction().state), (Method::Email, State::Pending));
}

#[test]
fn a_type_that_keeps_for_polling_takes_its_fallback_and_stays_when_that_has_failed() {
    let kept = Transaction { keep_for_polling: true, ..pushed(Some(plan(Method::Sms, None, None))) };
    let (mut machine, _) = open(kept);
    machine.step(ended(Addressee::Phone(device(1)), FAILED), at(1));
    assert_eq!(sent(&machine.step(Event::Written(WriteOutcome::Stored), at(1))), 1);
    machine.step(code_ended(&machine, FAILED), at(2));
    assert_eq!(machine.transaction().state, State::Pending);
}

#[test]
fn a_fallback_whose_write_is_refused_is_tried_again() {
    let (mut machine, _) = open(pushed(Some(plan(Method::Sms, Some(DUE), None))));
    machine.step(Event::TimerFired, DUE);
    let refused = WriteOutcome::Failed(StoreFailure::Refused);
    let effects = machine.step(Event::Written(refused), DUE);
    let again = effects.iter().find_map(|effect| match effect {
        Effect::ArmTimer(again) => Some(*again),
        _ => None,
    });
    let again = again.expect("a timer");
    assert!(again > DUE && again < EXPIRES);
    machine.step(Event::TimerFired, again);
    assert_eq!(sent(&machine.step(Event::Written(WriteOutcome::Stored), again)), 1);
}

#[test]
fn a_fallback_is_not_taken_at_or_after_the_deadline() {
    let (mut machine, _) = open(pushed(Some(plan(Method::Sms, Some(DUE), None))));
    let effects = machine.step(Event::TimerFired, EXPIRES);
    assert!(
        effects.iter().any(|effect| matches!(effect, Effect::End(ended) if ended.state == State::Timeout))
    );
}

/// What a random run does next.
#[derive(Clone, Copy, Debug)]
enum Move {
    TryWrong,
    TryRight,
    Resend,
    Cancel,
    Timer,
    Phone(DeliveryOutcome),
    /// One of the messages that are on their way ends.
    Code(u8, DeliveryOutcome),
    /// The gateway reports that one that left did not arrive.
    Undelivered(u8),
    Down(&'static str),
    Up(&'static str),
    Revoke,
    Store(u8),
    /// Whether the bounds let codes leave from now on.
    Admit(bool),
    Restart,
    Wait(u16),
}

fn any_move() -> impl Strategy<Value = Move> {
    let outcome = || prop_oneof![Just(DeliveryOutcome::Relayed), Just(FAILED), Just(DOWN), Just(CUT)];
    let name = || prop_oneof![Just("apns-main"), Just("sms-a"), Just("sms-b"), Just("mail")];
    prop_oneof![
        2 => Just(Move::TryWrong),
        1 => Just(Move::TryRight),
        2 => Just(Move::Resend),
        1 => Just(Move::Cancel),
        2 => Just(Move::Timer),
        1 => outcome().prop_map(Move::Phone),
        4 => (any::<u8>(), outcome()).prop_map(|(which, outcome)| Move::Code(which, outcome)),
        2 => any::<u8>().prop_map(Move::Undelivered),
        1 => name().prop_map(Move::Down),
        1 => name().prop_map(Move::Up),
        1 => Just(Move::Revoke),
        4 => (0..4_u8).prop_map(Move::Store),
        1 => any::<bool>().prop_map(Move::Admit),
        1 => Just(Move::Restart),
        2 => (0..15_000_u16).prop_map(Move::Wait),
    ]
}

/// The storage's compare-and-set: what stands and what is to stand.
type IsFit = fn(&Transaction, &Transaction) -> bool;

/// A message that left.
struct Message {
    sending: Sending,
    provider: String,
    /// Whether its gateway is still to say what became of it.
    is_on_its_way: bool,
    /// Whether its gateway has said that it surely sent nothing.
    has_surely_failed: bool,
}

/// Whoever has seen one revision is told of what followed by a later one.
pub(super) fn assert_news(before: Option<Arc<Transaction>>, view: &Arc<Transaction>) {
    let is_news = |before: &Arc<Transaction>| before.revision < view.revision || before == view;
    assert!(before.as_ref().is_none_or(is_news), "told behind a later revision: {before:?} {view:?}");
}

/// A machine with its storage, and what must never happen.
struct World {
    machine: Machine,
    now: UnixMs,
    /// What is on disk for good.
    durable: Option<Transaction>,
    /// The same with the marks that a power cut may take.
    stored: Option<Transaction>,
    write: Option<Effect>,
    messages: Vec<Message>,
    restarts: u32,
    admits: bool,
    /// How many messages the bounds have let leave.
    admitted: usize,
    published: Option<Arc<Transaction>>,
}

impl World {
    fn begin(transaction: Transaction) -> Self {
        let machine = Machine::new(transaction);
        let (durable, stored, write, messages) = (None, None, None, Vec::new());
        let (now, restarts, admits) = (CREATED, 0, true);
        // The start has asked for the one that it sends.
        let admitted = usize::from(machine.transaction().code().is_some());
        let published = None;
        let mut world =
            Self { machine, now, durable, stored, write, messages, restarts, admits, admitted, published };
        world.step(Event::Started { caller: CallerId(1) });
        world.answer_write(0);
        world
    }

    fn step(&mut self, event: Event) {
        for effect in self.machine.step(event, self.now) {
            match effect {
                Effect::Push(Addressee::Code(sending)) => self.leave(sending, true),
                Effect::SendIfAdmitted(sending) => self.leave(sending, false),
                Effect::Mark(marked) => self.mark(&marked),
                Effect::Publish(view) => assert_news(self.published.replace(Arc::clone(&view)), &view),
                Effect::Resend { ref resent, .. } if resent.method.sends_code() && !self.admits => {
                    let problem = Problem::new(ErrorCode::RateLimited, "too many");
                    self.step(Event::Written(WriteOutcome::HeldBack(Box::new(problem))));
                }
                Effect::Create(_)
                | Effect::End(_)
                | Effect::Attempt { .. }
                | Effect::Amend(_)
                | Effect::Resend { .. }
                | Effect::ReadBack => {
                    assert!(self.write.is_none(), "two writes at once");
                    let accepts = matches!(&effect, Effect::End(ended) if ended.state == State::Accepted);
                    assert!(!accepts || self.now < EXPIRES, "accepted too late");
                    let resends =
                        matches!(&effect, Effect::Resend { resent, .. } if resent.method.sends_code());
                    self.admitted += usize::from(resends);
                    self.write = Some(effect);
                }
                Effect::Push(Addressee::Phone(_))
                | Effect::ArmTimer(_)
                | Effect::Reply(..)
                | Effect::CountFallback
                | Effect::OweCallback
                | Effect::Retire
                | Effect::Stop => {}
                Effect::Claim(_) | Effect::EnterUser(_) => panic!("nobody claims a code: {effect:?}"),
            }
        }
    }

    fn mark(&mut self, marked: &Transaction) {
        let is_newer = |stored: &Transaction| !stored.state.is_final() && stored.revision < marked.revision;
        if self.stored.as_ref().is_some_and(is_newer) {
            self.stored = Some(marked.clone());
        }
    }

    /// A message leaves, as the actor sends it: its transaction is stored, by its present method and one of its gateways,
    /// in time; nobody is sent the same twice, and what may cost once more is asked for first and is on disk for good.
    fn leave(&mut self, sending: Sending, is_admitted: bool) {
        let present = Arc::clone(self.machine.transaction());
        if present.state.is_final() || present.sending() != Some(sending) {
            return;
        }
        if !is_admitted {
            if !self.admits {
                return self.step(Event::HeldBack { sending, reason: DeliveryReason::Throttled });
            }
            self.admitted += 1;
        }
        let may_have_cost = self.messages.iter().filter(|message| !message.has_surely_failed).count();
        assert!(may_have_cost < self.admitted, "a message that nobody has counted: {sending:?}");
        let durable = self.durable.as_ref().expect("sent before it was stored");
        assert!(!durable.state.is_final(), "sent after the end");
        assert!(self.now < EXPIRES, "sent too late");
        assert_eq!(durable.method, present.method, "sent before the fallback was stored");
        assert_eq!(durable.resends.used, present.resends.used, "sent before the resend was stored");
        assert!(is_admitted || durable.sending() == Some(sending), "sent before it was stored: {sending:?}");
        let code = present.code().expect("a code");
        let delivery = code.delivery.as_ref().expect("a delivery");
        assert!(code.gateways.contains(&delivery.provider), "by a gateway of another method: {delivery:?}");
        let provider = delivery.provider.as_str().to_owned();
        let is_the_same = |message: &Message| {
            message.provider == provider && message.sending.resends_used == sending.resends_used
        };
        assert!(!self.messages.iter().any(is_the_same), "sent twice: {provider} {sending:?}");
        let (is_on_its_way, has_surely_failed) = (true, false);
        self.messages.push(Message { sending, provider, is_on_its_way, has_surely_failed });
    }

    /// One of the messages that left and that fit.
    fn message(&mut self, which: u8, fits: impl Fn(&Message) -> bool) -> Option<&mut Message> {
        let count = self.messages.iter().filter(|message| fits(message)).count();
        let place = usize::from(which).checked_rem(count)?;
        self.messages.iter_mut().filter(|message| fits(message)).nth(place)
    }

    fn answer_write(&mut self, how: u8) {
        let Some(effect) = self.write.take() else { return };
        if effect == Effect::ReadBack {
            return self.step(Event::ReadBack(self.stored.clone().map(Box::new)));
        }
        let outcome = match how {
            0 | 1 => self.store(&effect),
            2 => WriteOutcome::Failed(StoreFailure::Refused),
            _ => {
                self.store(&effect);
                WriteOutcome::Failed(StoreFailure::Unknown)
            }
        };
        self.step(Event::Written(outcome));
    }

    fn store(&mut self, effect: &Effect) -> WriteOutcome {
        let (record, is_fit): (&Arc<Transaction>, IsFit) = match effect {
            Effect::Create(record) | Effect::End(record) => (record, |_, _| true),
            Effect::Attempt { tried, .. } => (tried, |old, new| old.attempts.used < new.attempts.used),
            Effect::Resend { resent, .. } => (resent, |old, new| old.resends.used < new.resends.used),
            Effect::Amend(record) => (record, |old, new| {
                old.revision < new.revision
                    && (old.attempts.used, old.resends.used) == (new.attempts.used, new.resends.used)
            }),
            other => panic!("not a write: {other:?}"),
        };
        if let Some(old) = &self.stored {
            if old.state.is_final() || !is_fit(old, record) {
                return WriteOutcome::Lost(Box::new(old.clone()));
            }
            assert!(
                old.code().is_none_or(|code| record.code().is_some_and(|new| {
                    new.attempts.used >= code.attempts.used
                        && new.key == code.key
                        && new.digits == code.digits
                })),
                "a try or the code was given back"
            );
            assert!(old.code().is_none_or(|code| !code.is_exhausted() || record.state != State::Accepted));
            let begins_used_up = old.fallback() != record.fallback()
                && record.code().is_some_and(|code| !record.state.is_final() && code.is_exhausted());
            assert!(!begins_used_up, "a fallback that allows no try");
        }
        let is_within = |code: &CodeState| code.attempts.max == 0 || code.attempts.used <= code.attempts.max;
        assert!(record.code().is_none_or(is_within), "a try beyond the limit");
        self.stored = Some(Transaction::clone(record));
        self.durable = self.stored.clone();
        WriteOutcome::Stored
    }

    fn apply(&mut self, next: Move) {
        let has_code = self.machine.transaction().code().is_some();
        let event = match next {
            Move::TryWrong if has_code => Event::TriedWrong { caller: CallerId(2) },
            Move::TryRight if has_code => Event::CodeVerified { caller: CallerId(3) },
            Move::TryWrong | Move::TryRight => return,
            Move::Resend => Event::Resent { caller: CallerId(4), gap: GAP, idempotency: None },
            Move::Cancel => Event::Cancelled { caller: CallerId(5), by: None },
            Move::Timer => Event::TimerFired,
            Move::Phone(outcome) => ended(Addressee::Phone(device(1)), outcome),
            Move::Code(which, outcome) => {
                let Some(message) = self.message(which, |message| message.is_on_its_way) else { return };
                message.is_on_its_way = false;
                message.has_surely_failed = matches!(outcome, DeliveryOutcome::Failed(_));
                let addressee = Addressee::Code(message.sending);
                ended(addressee, outcome)
            }
            Move::Undelivered(which) => {
                let Some(message) = self.message(which, |message| !message.has_surely_failed) else { return };
                undelivered(message.sending, DeliveryReason::Undelivered)
            }
            Move::Down(name) => Event::ProviderDown(name.parse().expect("a name")),
            Move::Up(name) => Event::ProviderUp(name.parse().expect("a name")),
            Move::Revoke => Event::DeviceGone { device_id: device(1), reason: FailureReason::DeviceRevoked },
            Move::Store(how) => return self.answer_write(how),
            Move::Admit(admits) => {
                self.admits = admits;
                return;
            }
            Move::Restart => return self.restart(),
            Move::Wait(ms) => {
                self.now = self.now.plus(DurationMs::new(ms.into()));
                return;
            }
        };
        let named = match &event {
            Event::PushEnded { addressee: Addressee::Code(sending), .. }
            | Event::Undelivered { sending, .. } => Some(*sending),
            _ => None,
        };
        let before = Arc::clone(self.machine.transaction());
        self.step(event);
        let is_of_another = named.is_some() && before.sending() != named;
        assert!(
            !is_of_another || before == *self.machine.transaction(),
            "a word of another sending: {named:?}"
        );
    }

    /// The write in flight may have happened, and marks may be lost. Who was to tell how a message ended has gone.
    fn restart(&mut self) {
        self.restarts += 1;
        self.published = None;
        if let Some(effect) = self.write.take()
            && self.restarts.is_multiple_of(2)
            && effect != Effect::ReadBack
        {
            self.store(&effect);
        }
        if self.restarts.is_multiple_of(3) {
            self.stored = self.durable.clone();
        }
        for message in &mut self.messages {
            message.is_on_its_way = false;
        }
        let stored = self.stored.clone().expect("stored at the beginning");
        self.machine = Machine::new(stored);
        self.step(Event::Revived);
    }
}

proptest! {
    #[test]
    fn any_order_sends_each_message_once_gives_no_try_back_and_has_one_end(
        begins_by_push in any::<bool>(),
        (tries, tries_of_mail) in (0..4_u32, 1..4_u32),
        moves in proptest::collection::vec(any_move(), 1..80),
    ) {
        let letter = |due_at| {
            let mail = plan(Method::Email, due_at, None);
            Box::new(FallbackPlan { code: code(tries_of_mail, &["mail"]), ..*mail })
        };
        let chain = || {
            let sms = plan(Method::Sms, Some(DUE), Some(letter(None)));
            Some(Box::new(FallbackPlan { code: code(3, &["sms-a", "sms-b"]), ..*sms }))
        };
        let by_code = || {
            let mut transaction = coded(code(tries, &["sms-a", "sms-b"]));
            transaction.seldom_mut().plan = Some(letter(Some(DUE)));
            transaction
        };
        let mut world = World::begin(if begins_by_push { pushed(chain()) } else { by_code() });
        let mut first_end = None;
        for next in moves {
            world.apply(next);
            let stored = world.stored.as_ref().map(|stored| stored.state).filter(|state| state.is_final());
            if let Some(state) = stored {
                prop_assert_eq!(state, *first_end.get_or_insert(state), "a final state changed");
            }
        }
        // Left alone it ends: by the fallback and the deadline.
        for _ in 0..6 {
            world.answer_write(0);
            world.now = world.now.max(EXPIRES);
            world.step(Event::TimerFired);
        }
        prop_assert!(world.stored.is_some_and(|stored| stored.state.is_final()));
    }
}
