//! Codes, gateways and fallbacks in the machine: by example at their edges, and as a property over arbitrary orders.

use std::sync::Arc;

use proptest::prelude::*;
use tocsin_model::{
    Answer, CodeAddress, CodeDigits, CodeKeyId, CodeState, Content, Counter, Decision, Delivery,
    DeliveryReason, DeliveryStatus, DeviceId, DurationMs, ErrorCode, FailureReason, Fallback, FallbackPlan,
    FallbackReason, KeyUse, Method, Nonce, Partition, PhoneNumber, Platform, Recipient, RequestMessage,
    Seldom, State, Transaction, TransactionId, UnixMs,
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
        accepted_keys: vec![KeyUse::Device],
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
    effects.iter().filter(|effect| **effect == Effect::Push(Addressee::Code)).count()
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
    machine.step(ended(Addressee::Code, DeliveryOutcome::Relayed), at(59_001));
    assert!(matches!(call(&mut machine, resend(), at(59_500)), Reply::View(_)));
    assert_eq!(refused(&call(&mut machine, RIGHT, EXPIRES)), Some(ErrorCode::TransactionFinal));
    assert_eq!(machine.transaction().state, State::Timeout);
}

#[test]
fn the_same_code_leaves_again_as_often_as_the_type_allows_after_the_gap() {
    let (mut machine, _) = open(coded(code(3, &["sms-a", "sms-b"])));
    assert_eq!(refused(&call(&mut machine, resend(), at(2_000))), Some(ErrorCode::RateLimited), "on its way");
    machine.step(ended(Addressee::Code, FAILED), at(10));
    machine.step(ended(Addressee::Code, DeliveryOutcome::Relayed), at(20));
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
        machine.step(ended(Addressee::Code, DeliveryOutcome::Relayed), at(now));
    }
    assert_eq!(refused(&call(&mut machine, resend(), at(9_000))), Some(ErrorCode::ResendLimit));
}

#[test]
fn where_resends_are_switched_off_the_first_is_refused() {
    let (mut machine, _) = open(Transaction { resends: Counter::new(0), ..coded(code(3, &["sms-a"])) });
    machine.step(ended(Addressee::Code, DeliveryOutcome::Relayed), at(10));
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
    assert_eq!(sent(&machine.step(ended(Addressee::Code, DOWN), at(1))), 1);
    assert_eq!((provider(&machine), status(&machine)), ("sms-b", DeliveryStatus::Queued));
    let effects = machine.step(ended(Addressee::Code, FAILED), at(2));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::End(_))), "the last one has failed, too");
    for outcome in [DeliveryOutcome::Relayed, CUT] {
        let (mut machine, _) = open(coded(code(3, &["sms-a", "sms-b"])));
        assert_eq!(sent(&machine.step(ended(Addressee::Code, outcome), at(1))), 0);
        assert_eq!(
            sent(&machine.step(ended(Addressee::Code, FAILED), at(2))),
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
    let effects = machine.step(ended(Addressee::Code, refused), at(1));
    assert_eq!((sent(&effects), provider(&machine)), (0, "sms-a"));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::End(_))));
}

fn undelivered(provider: &str, resends_used: u32, reason: DeliveryReason) -> Event {
    let provider = provider.parse().expect("a name");
    Event::Undelivered { caller: CallerId(5), provider, resends_used, reason }
}

#[test]
fn a_message_that_did_not_arrive_goes_by_the_next_gateway_and_then_ends_it() {
    use DeliveryReason::{AddressRefused, Undelivered};
    for first in [DeliveryOutcome::Relayed, CUT] {
        let (mut machine, _) = open(coded(code(3, &["sms-a", "sms-b"])));
        machine.step(ended(Addressee::Code, first), at(1));
        let effects = machine.step(undelivered("sms-a", 0, Undelivered), at(2));
        assert_eq!((sent(&effects), provider(&machine)), (1, "sms-b"));
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Reply(CallerId(5), Reply::View(_)))));
        assert_eq!(sent(&machine.step(undelivered("sms-a", 0, Undelivered), at(3))), 0, "told twice");
        machine.step(ended(Addressee::Code, DeliveryOutcome::Relayed), at(4));
        assert_eq!(sent(&machine.step(undelivered("sms-a", 0, Undelivered), at(5))), 0, "of the one before");
        let effects = machine.step(undelivered("sms-b", 0, Undelivered), at(6));
        assert!(effects.iter().any(|effect| matches!(effect, Effect::End(_))), "nobody is left");
    }
    let (mut machine, _) = open(coded(code(3, &["sms-a", "sms-b"])));
    machine.step(ended(Addressee::Code, DeliveryOutcome::Relayed), at(1));
    let effects = machine.step(undelivered("sms-a", 0, AddressRefused), at(2));
    assert!(sent(&effects) == 0 && effects.iter().any(|effect| matches!(effect, Effect::End(_))));
}

#[test]
fn a_report_of_another_sending_or_of_one_that_is_over_changes_nothing() {
    let reason = DeliveryReason::Undelivered;
    let (mut machine, _) = open(coded(code(3, &["sms-a", "sms-b"])));
    assert_eq!(sent(&machine.step(undelivered("sms-a", 0, reason), at(1))), 0, "still being handed over");
    machine.step(ended(Addressee::Code, DeliveryOutcome::Relayed), at(1));
    for foreign in [undelivered("sms-b", 0, reason), undelivered("sms-a", 1, reason)] {
        assert_eq!(sent(&machine.step(foreign, at(2))), 0);
        assert_eq!(status(&machine), DeliveryStatus::Relayed);
    }
    assert!(matches!(call(&mut machine, RIGHT, at(3)), Reply::View(_)));
    assert_eq!(machine.step(undelivered("sms-a", 0, reason), at(4)).len(), 1, "only a reply");
    assert_eq!((machine.transaction().state, status(&machine)), (State::Accepted, DeliveryStatus::Fetched));
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
    machine.step(ended(Addressee::Code, DOWN), at(3));
    assert_eq!(sent(&machine.step(Event::Written(WriteOutcome::Stored), at(3))), 1);
    let taken = machine.transaction();
    let methods = taken.fallback().map(|fallback| (fallback.from, fallback.to));
    assert_eq!((taken.method, methods), (Method::Email, Some((Method::Sms, Method::Email))));
    assert_eq!(taken.attempts_shown(), Counter { used: 1, max: 3 });
    machine.step(ended(Addressee::Code, FAILED), at(4));
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
    machine.step(ended(Addressee::Code, FAILED), DUE);
    assert_eq!(sent(&machine.step(Event::Written(WriteOutcome::Stored), DUE)), 1);
    machine.step(ended(Addressee::Code, FAILED), DUE);
    assert_eq!((machine.transaction().method, machine.transaction().state), (Method::Email, State::Pending));
}

#[test]
fn a_type_that_keeps_for_polling_takes_its_fallback_and_stays_when_that_has_failed() {
    let kept = Transaction { keep_for_polling: true, ..pushed(Some(plan(Method::Sms, None, None))) };
    let (mut machine, _) = open(kept);
    machine.step(ended(Addressee::Phone(device(1)), FAILED), at(1));
    assert_eq!(sent(&machine.step(Event::Written(WriteOutcome::Stored), at(1))), 1);
    machine.step(ended(Addressee::Code, FAILED), at(2));
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
    Code(DeliveryOutcome),
    Down(&'static str),
    Up(&'static str),
    Revoke,
    Store(u8),
    Restart,
    Wait(u16),
}

fn any_move() -> impl Strategy<Value = Move> {
    let outcome = || prop_oneof![Just(DeliveryOutcome::Relayed), Just(FAILED), Just(DOWN), Just(CUT)];
    let name = || prop_oneof![Just("apns-main"), Just("sms-a"), Just("sms-b"), Just("mail")];
    prop_oneof![
        Just(Move::TryWrong),
        Just(Move::TryRight),
        Just(Move::Resend),
        Just(Move::Cancel),
        Just(Move::Timer),
        outcome().prop_map(Move::Phone),
        outcome().prop_map(Move::Code),
        outcome().prop_map(Move::Code),
        name().prop_map(Move::Down),
        name().prop_map(Move::Up),
        Just(Move::Revoke),
        (0..4_u8).prop_map(Move::Store),
        (0..4_u8).prop_map(Move::Store),
        Just(Move::Restart),
        (0..15_000_u16).prop_map(Move::Wait),
    ]
}

/// The storage's compare-and-set: what stands and what is to stand.
type IsFit = fn(&Transaction, &Transaction) -> bool;

/// A machine with its storage, and what must never happen.
struct World {
    machine: Machine,
    now: UnixMs,
    stored: Option<Transaction>,
    write: Option<Effect>,
    /// Messages that left, by gateway and the number of resends before.
    messages: Vec<(String, Method, u32)>,
    restarts: u32,
}

impl World {
    fn begin(transaction: Transaction) -> Self {
        let machine = Machine::new(transaction);
        let (stored, write, messages) = (None, None, Vec::new());
        let mut world = Self { machine, now: CREATED, stored, write, messages, restarts: 0 };
        world.step(Event::Started { caller: CallerId(1) });
        world.answer_write(0);
        world
    }

    fn step(&mut self, event: Event) {
        for effect in self.machine.step(event, self.now) {
            match effect {
                Effect::Push(Addressee::Code) => self.leave(),
                Effect::Mark(marked) => self.mark(&marked),
                Effect::Create(_)
                | Effect::End(_)
                | Effect::Attempt { .. }
                | Effect::Amend(_)
                | Effect::Resend { .. }
                | Effect::ReadBack => {
                    assert!(self.write.is_none(), "two writes at once");
                    let accepts = matches!(&effect, Effect::End(ended) if ended.state == State::Accepted);
                    assert!(!accepts || self.now < EXPIRES, "accepted too late");
                    self.write = Some(effect);
                }
                Effect::Push(Addressee::Phone(_))
                | Effect::ArmTimer(_)
                | Effect::Reply(..)
                | Effect::CountFallback
                | Effect::OweCallback
                | Effect::Publish(_)
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

    /// A message leaves: its transaction is stored, by its present method, in time; and nobody gets it twice from one
    /// gateway but by a resend.
    fn leave(&mut self) {
        let stored = self.stored.as_ref().expect("sent before it was stored");
        assert!(!stored.state.is_final(), "sent after the end");
        assert!(self.now < EXPIRES, "sent too late");
        let present = self.machine.transaction();
        assert_eq!(stored.method, present.method, "sent before the fallback was stored");
        assert_eq!(stored.resends.used, present.resends.used, "sent before the resend was stored");
        let message = (provider(&self.machine).to_owned(), present.method, present.resends.used);
        assert!(!self.messages.contains(&message), "sent twice: {message:?}");
        self.messages.push(message);
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
        }
        self.stored = Some(Transaction::clone(record));
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
            Move::Code(outcome) => ended(Addressee::Code, outcome),
            Move::Down(name) => Event::ProviderDown(name.parse().expect("a name")),
            Move::Up(name) => Event::ProviderUp(name.parse().expect("a name")),
            Move::Revoke => Event::DeviceGone { device_id: device(1), reason: FailureReason::DeviceRevoked },
            Move::Store(how) => return self.answer_write(how),
            Move::Restart => return self.restart(),
            Move::Wait(ms) => {
                self.now = self.now.plus(DurationMs::new(ms.into()));
                return;
            }
        };
        self.step(event);
    }

    /// The write in flight may have happened.
    fn restart(&mut self) {
        self.restarts += 1;
        if let Some(effect) = self.write.take()
            && self.restarts.is_multiple_of(2)
            && effect != Effect::ReadBack
        {
            self.store(&effect);
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
        moves in proptest::collection::vec(any_move(), 1..80),
    ) {
        let chain = || Some(plan(Method::Sms, Some(DUE), Some(plan(Method::Email, None, None))));
        let by_code = || {
            let mut transaction = coded(code(3, &["sms-a", "sms-b"]));
            transaction.seldom_mut().plan = Some(plan(Method::Email, Some(DUE), None));
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
