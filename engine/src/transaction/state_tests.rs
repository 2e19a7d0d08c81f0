//! The machine by example at its edges, and as a property over arbitrary event orders.

mod claims;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use proptest::prelude::*;
use tocsin_model::{
    Answer, Content, Counter, Decision, Delivery, DeliveryReason, DeliveryStatus, DeviceId, DurationMs,
    ErrorCode, FailureReason, Fingerprint, Idempotency, IdempotencyKey, KeyUse, Method, Nonce, OperatorName,
    Partition, Platform, Recipient, RequestMessage, State, Transaction, TransactionId, UnixMs, User, UserId,
    UserIdRule,
};

use super::code_tests::assert_news;
use super::{CallerId, Effect, Event, Machine, Reply, StoreFailure, WriteOutcome};
use crate::protocol::{Addressee, DeliveryOutcome};

const CREATED: UnixMs = UnixMs::new(1_000_000);
const GAP: DurationMs = DurationMs::new(1_000);
const EXPIRES: UnixMs = UnixMs::new(1_060_000);

fn device(number: u8) -> DeviceId {
    DeviceId::from_random([number; 16])
}

fn recipient(number: u8) -> Recipient {
    Recipient {
        device_id: device(number),
        device_name: "phone".into(),
        platform: Platform::Ios,
        app: "bank".parse().expect("valid"),
        nonce: Nonce::from_bytes([number; 16]),
        delivery: Some(Delivery {
            provider: "apns-main".parse().expect("valid"),
            status: DeliveryStatus::Queued,
            reason: None,
        }),
    }
}

fn transaction(devices: u8) -> Transaction {
    Transaction {
        id: TransactionId::compose(CREATED, Partition::default(), [1; 16]),
        revision: 1,
        client: "portal".parse().expect("valid"),
        user: Some(User {
            realm: "retail".parse().expect("valid"),
            id: UserId::new("alice", UserIdRule::Exact).expect("valid"),
        }),
        type_name: "login".parse().expect("valid"),
        method: Method::Push,
        state: State::Pending,
        created_at: CREATED,
        expires_at: EXPIRES,
        ended_at: None,
        content: Content::default(),
        accepted_keys: [KeyUse::Device].into(),
        recipients: (1..=devices).map(recipient).collect(),
        attempts: Counter::new(3),
        resends: Counter::new(2),
        answer: None,
        keep_for_polling: false,
        request_message: RequestMessage::NotAsked,
        callback_url: None,
        call_context: None,
        seldom: None,
    }
}

fn answer(number: u8, decision: Decision) -> Box<Answer> {
    Box::new(Answer {
        device_id: device(number),
        key_use: KeyUse::Device,
        decision,
        decided_at: CREATED,
        jws: "e30.e30.AA".into(),
        proof_jws: None,
    })
}

/// A machine whose transaction is stored and pushed.
fn open_machine(devices: u8) -> Machine {
    let mut machine = Machine::new(transaction(devices));
    machine.step(Event::Started { caller: CallerId(1) }, CREATED);
    machine.step(Event::Written(WriteOutcome::Stored), CREATED);
    machine
}

fn replies(effects: &[Effect]) -> Vec<(CallerId, Reply)> {
    let reply = |effect: &Effect| match effect {
        Effect::Reply(caller, reply) => Some((*caller, reply.clone())),
        _ => None,
    };
    effects.iter().filter_map(reply).collect()
}

fn ended_as(effects: &[Effect]) -> Option<State> {
    effects.iter().find_map(|effect| match effect {
        Effect::End(ended) => Some(ended.state),
        _ => None,
    })
}

fn refusal(effects: &[Effect]) -> Option<(ErrorCode, Option<State>)> {
    replies(effects).into_iter().find_map(|(_, reply)| match reply {
        Reply::Refused(problem) => Some((problem.code, problem.state)),
        _ => None,
    })
}

#[test]
fn nothing_is_pushed_or_told_before_the_create_is_stored() {
    let mut machine = Machine::new(transaction(1));
    let effects = machine.step(Event::Started { caller: CallerId(1) }, CREATED);
    assert!(matches!(effects.as_slice(), [Effect::Create(_)]));
    let viewed = machine.step(Event::Viewed { caller: CallerId(2) }, CREATED);
    assert!(viewed.is_empty(), "what is not stored is not shown");
    let effects = machine.step(Event::Written(WriteOutcome::Stored), CREATED);
    assert!(effects.contains(&Effect::ArmTimer(EXPIRES)));
    assert!(effects.contains(&Effect::Push(Addressee::Phone(device(1)))));
    let told = replies(&effects);
    assert!(
        matches!(told.as_slice(), [(CallerId(1), Reply::View(_)), (CallerId(2), Reply::View(_))]),
        "{told:?}"
    );
}

#[test]
fn what_was_never_stored_is_unknown_to_whoever_asked_meanwhile() {
    let mut machine = Machine::new(transaction(1));
    machine.step(Event::Started { caller: CallerId(1) }, CREATED);
    machine.step(Event::Viewed { caller: CallerId(2) }, CREATED);
    let effects = machine.step(Event::Written(WriteOutcome::Failed(StoreFailure::Refused)), CREATED);
    let viewed = replies(&effects).into_iter().find(|(caller, _)| *caller == CallerId(2));
    assert!(matches!(viewed, Some((_, Reply::Refused(problem))) if problem.code == ErrorCode::NotFound));
}

#[test]
fn a_refused_create_tells_its_caller_and_stops() {
    let mut machine = Machine::new(transaction(1));
    machine.step(Event::Started { caller: CallerId(1) }, CREATED);
    let effects = machine.step(Event::Written(WriteOutcome::Failed(StoreFailure::Refused)), CREATED);
    assert_eq!(refusal(&effects), Some((ErrorCode::Busy, None)));
    assert_eq!(effects.last(), Some(&Effect::Stop));
}

#[test]
fn the_same_key_leads_to_the_earlier_transaction_and_pushes_nothing() {
    let mut machine = Machine::new(transaction(1));
    machine.step(Event::Started { caller: CallerId(1) }, CREATED);
    let earlier = TransactionId::compose(CREATED, Partition::default(), [9; 16]);
    let effects = machine.step(Event::SeenBefore { existing: Some(earlier) }, CREATED);
    assert_eq!(effects, vec![Effect::Reply(CallerId(1), Reply::SeenBefore(earlier)), Effect::Stop]);
}

#[test]
fn an_answer_counts_until_the_last_millisecond() {
    for (now, taken) in [(EXPIRES.get() - 1, true), (EXPIRES.get(), false), (EXPIRES.get() + 1, false)] {
        let mut machine = open_machine(1);
        let event =
            Event::Answered { caller: CallerId(2), answer: answer(1, Decision::Accept), wrong_number: false };
        let effects = machine.step(event, UnixMs::new(now));
        if taken {
            assert_eq!(ended_as(&effects), Some(State::Accepted), "at {now}");
            assert!(replies(&effects).is_empty(), "nobody is told before it is stored");
        } else {
            assert_eq!(ended_as(&effects), Some(State::Timeout), "at {now}");
            assert!(replies(&effects).is_empty(), "nobody is told before it is stored");
            let effects = machine.step(Event::Written(WriteOutcome::Stored), UnixMs::new(now));
            assert_eq!(refusal(&effects), Some((ErrorCode::TransactionFinal, Some(State::Timeout))));
        }
    }
}

#[test]
fn a_phone_that_answers_has_fetched_whatever_the_network_said() {
    for status in [DeliveryStatus::Queued, DeliveryStatus::Relayed, DeliveryStatus::Unknown] {
        let mut pushed = transaction(2);
        let delivery = pushed.recipients[0].delivery.as_mut().expect("pushed");
        (delivery.status, delivery.reason) = (status, Some(DeliveryReason::Cut));
        let mut machine = Machine::new(pushed);
        machine.step(Event::Revived, CREATED);
        let by_push =
            Event::Answered { caller: CallerId(2), answer: answer(1, Decision::Accept), wrong_number: false };
        machine.step(by_push, CREATED);
        machine.step(Event::Written(WriteOutcome::Stored), CREATED);
        let told = |number: usize| {
            let delivery = machine.transaction().recipients[number].delivery.as_ref().expect("pushed");
            (delivery.status, delivery.reason)
        };
        assert_eq!(told(0), (DeliveryStatus::Fetched, None), "{status:?}");
        assert_ne!(told(1).0, DeliveryStatus::Fetched, "the other phone has not answered");
    }
}

#[test]
fn who_sees_it_overdue_is_told_of_the_answer_that_came_in_time() {
    let mut machine = open_machine(1);
    let in_time = UnixMs::new(EXPIRES.get() - 1);
    machine.step(
        Event::Answered { caller: CallerId(2), answer: answer(1, Decision::Decline), wrong_number: false },
        in_time,
    );
    assert!(
        machine.step(Event::SeenOverdue { caller: CallerId(3) }, EXPIRES).is_empty(),
        "it waits for the write"
    );
    let effects = machine.step(Event::Written(WriteOutcome::Stored), EXPIRES);
    assert_eq!(refusal(&effects), Some((ErrorCode::TransactionFinal, Some(State::Declined))));
}

#[test]
fn the_timer_ends_it_not_before_its_deadline() {
    for (now, ends) in [(EXPIRES.get() - 1, false), (EXPIRES.get(), true), (EXPIRES.get() + 1, true)] {
        let mut machine = open_machine(1);
        let effects = machine.step(Event::TimerFired, UnixMs::new(now));
        assert_eq!(ended_as(&effects).is_some(), ends, "at {now}");
        assert_eq!(effects.contains(&Effect::ArmTimer(EXPIRES)), !ends, "at {now}");
    }
}

#[test]
fn the_winning_answer_again_gets_its_first_reply_and_another_one_is_refused() {
    let mut machine = open_machine(2);
    machine.step(
        Event::Answered { caller: CallerId(2), answer: answer(1, Decision::Decline), wrong_number: false },
        CREATED,
    );
    let effects = machine.step(Event::Written(WriteOutcome::Stored), CREATED);
    assert_eq!(replies(&effects), vec![(CallerId(2), Reply::Answered(State::Declined))]);
    let late = UnixMs::new(EXPIRES.get() + 5);
    let again = machine.step(
        Event::Answered { caller: CallerId(3), answer: answer(1, Decision::Decline), wrong_number: false },
        late,
    );
    assert_eq!(replies(&again), vec![(CallerId(3), Reply::Answered(State::Declined))]);
    for other in [answer(1, Decision::Accept), answer(2, Decision::Decline)] {
        let refused = machine
            .step(Event::Answered { caller: CallerId(4), answer: other, wrong_number: false }, CREATED);
        assert_eq!(refusal(&refused), Some((ErrorCode::TransactionFinal, Some(State::Declined))));
    }
}

#[test]
fn a_cancel_says_whether_its_client_or_an_operator_made_it() {
    let operator: OperatorName = "console".parse().expect("a name");
    for by in [None, Some(operator)] {
        let mut machine = open_machine(2);
        let effects = machine.step(Event::Cancelled { caller: CallerId(2), by: by.clone() }, CREATED);
        let ended = effects.iter().find_map(|effect| match effect {
            Effect::End(ended) => Some(Arc::clone(ended)),
            _ => None,
        });
        assert_eq!(ended.map(|ended| ended.cancelled_by().cloned()), Some(by));
    }
}

#[test]
fn calls_wait_for_the_write_in_flight_and_the_first_one_wins() {
    let mut machine = open_machine(2);
    machine.step(Event::Cancelled { caller: CallerId(2), by: None }, CREATED);
    let waiting = machine.step(
        Event::Answered { caller: CallerId(3), answer: answer(1, Decision::Accept), wrong_number: false },
        CREATED,
    );
    assert!(waiting.is_empty());
    let effects = machine.step(Event::Written(WriteOutcome::Stored), CREATED);
    assert_eq!(refusal(&effects), Some((ErrorCode::TransactionFinal, Some(State::Cancelled))));
    assert_eq!(machine.transaction().state, State::Cancelled);
}

#[test]
fn waiting_calls_are_bounded() {
    let mut machine = open_machine(1);
    machine.step(Event::Cancelled { caller: CallerId(0), by: None }, CREATED);
    let refused = (1..=17)
        .map(|number| machine.step(Event::Cancelled { caller: CallerId(number), by: None }, CREATED))
        .filter(|effects| refusal(effects).is_some_and(|(code, _)| code == ErrorCode::Busy))
        .count();
    assert_eq!(refused, 1, "the seventeenth meets the bound of sixteen");
}

#[test]
fn a_competitor_that_was_stored_first_stands() {
    let mut machine = open_machine(1);
    machine.step(Event::Cancelled { caller: CallerId(2), by: None }, CREATED);
    let stands = Transaction { state: State::Timeout, revision: 7, ..transaction(1) };
    let effects = machine.step(Event::Written(WriteOutcome::Lost(Box::new(stands))), CREATED);
    assert_eq!(refusal(&effects), Some((ErrorCode::TransactionFinal, Some(State::Timeout))));
    assert!(effects.contains(&Effect::Retire));
}

#[test]
fn a_write_of_unknown_end_is_read_back() {
    let mut machine = open_machine(1);
    let asked = machine.step(
        Event::Answered { caller: CallerId(2), answer: answer(1, Decision::Accept), wrong_number: false },
        CREATED,
    );
    let Some(Effect::End(written)) = asked.first() else { panic!("an end was expected: {asked:?}") };
    let written = Box::new(Transaction::clone(written));
    let effects = machine.step(Event::Written(WriteOutcome::Failed(StoreFailure::Unknown)), CREATED);
    assert_eq!(effects, vec![Effect::ReadBack]);
    let effects = machine.step(Event::ReadBack(Some(written)), CREATED);
    assert_eq!(replies(&effects), vec![(CallerId(2), Reply::Answered(State::Accepted))]);
}

#[test]
fn a_refused_timeout_is_written_again() {
    let mut machine = open_machine(1);
    machine.step(Event::TimerFired, EXPIRES);
    let effects = machine.step(Event::Written(WriteOutcome::Failed(StoreFailure::Refused)), EXPIRES);
    let [Effect::ArmTimer(again)] = effects.as_slice() else { panic!("a timer was expected: {effects:?}") };
    assert_eq!(ended_as(&machine.step(Event::TimerFired, *again)), Some(State::Timeout));
}

#[test]
fn it_fails_when_every_push_failed_and_says_whose_fault_it_was() {
    for (reason, expected) in [
        (DeliveryReason::TokenDead, FailureReason::ProviderRejected),
        (DeliveryReason::Unavailable, FailureReason::ProviderUnavailable),
    ] {
        let mut machine = open_machine(2);
        let failed = |number| Event::PushEnded {
            addressee: Addressee::Phone(device(number)),
            outcome: DeliveryOutcome::Failed(reason),
        };
        assert_eq!(ended_as(&machine.step(failed(1), CREATED)), None, "one push is left");
        assert_eq!(ended_as(&machine.step(failed(2), CREATED)), Some(State::Failed(expected)));
    }
}

#[test]
fn it_stays_when_phones_ask_by_themselves_or_a_push_is_unknown() {
    let failed = DeliveryOutcome::Failed(DeliveryReason::TokenDead);
    let mut polled = open_machine(0);
    polled.step(Event::PushEnded { addressee: Addressee::Phone(device(1)), outcome: failed }, CREATED);
    assert_eq!(polled.transaction().state, State::Pending);
    let mut machine = Machine::new(Transaction { keep_for_polling: true, ..transaction(1) });
    machine.step(Event::Revived, CREATED);
    assert_eq!(
        ended_as(
            &machine
                .step(Event::PushEnded { addressee: Addressee::Phone(device(1)), outcome: failed }, CREATED)
        ),
        None
    );
    let mut machine = open_machine(2);
    let unknown = DeliveryOutcome::Unknown(DeliveryReason::Cut);
    machine.step(Event::PushEnded { addressee: Addressee::Phone(device(1)), outcome: unknown }, CREATED);
    assert_eq!(
        ended_as(
            &machine
                .step(Event::PushEnded { addressee: Addressee::Phone(device(2)), outcome: failed }, CREATED)
        ),
        None
    );
}

#[test]
fn a_revived_transaction_repeats_only_pushes_not_known_to_be_with_the_network() {
    let mut record = transaction(4);
    let statuses =
        [DeliveryStatus::Queued, DeliveryStatus::Sent, DeliveryStatus::Relayed, DeliveryStatus::Fetched];
    for (recipient, status) in record.recipients.iter_mut().zip(statuses) {
        if let Some(delivery) = &mut recipient.delivery {
            delivery.status = status;
        }
    }
    let effects = Machine::new(record).step(Event::Revived, CREATED);
    let pushed: Vec<&Effect> = effects.iter().filter(|effect| matches!(effect, Effect::Push(_))).collect();
    assert_eq!(
        pushed,
        vec![&Effect::Push(Addressee::Phone(device(1))), &Effect::Push(Addressee::Phone(device(2)))]
    );
}

#[test]
fn a_revived_transaction_past_its_deadline_pushes_nothing_and_times_out() {
    let mut machine = Machine::new(transaction(1));
    assert_eq!(machine.step(Event::Revived, EXPIRES), vec![Effect::ArmTimer(EXPIRES)]);
    assert_eq!(ended_as(&machine.step(Event::TimerFired, EXPIRES)), Some(State::Timeout));
}

#[test]
fn what_a_fallen_provider_had_in_hand_is_repeated_once() {
    let provider = || "apns-main".parse().expect("valid");
    let mut machine = open_machine(2);
    machine.step(
        Event::PushEnded { addressee: Addressee::Phone(device(2)), outcome: DeliveryOutcome::Relayed },
        CREATED,
    );
    machine.step(Event::ProviderDown(provider()), CREATED);
    let statuses: Vec<_> = machine
        .transaction()
        .recipients
        .iter()
        .filter_map(|recipient| recipient.delivery.as_ref().map(|delivery| delivery.status))
        .collect();
    assert_eq!(statuses, vec![DeliveryStatus::Unknown, DeliveryStatus::Relayed]);
    assert_eq!(
        machine.step(Event::ProviderUp(provider()), CREATED),
        vec![Effect::Push(Addressee::Phone(device(1)))]
    );
    machine.step(Event::ProviderDown(provider()), CREATED);
    assert!(machine.step(Event::ProviderUp(provider()), CREATED).is_empty(), "once is enough");
}

#[test]
fn a_repetition_that_cannot_be_sent_does_not_undo_a_push_that_may_have_arrived() {
    let provider = || "apns-main".parse().expect("valid");
    let failed = |reason| Event::PushEnded {
        addressee: Addressee::Phone(device(1)),
        outcome: DeliveryOutcome::Failed(reason),
    };
    let mut fallen = open_machine(1);
    fallen.step(Event::PushWritten { addressee: Addressee::Phone(device(1)) }, CREATED);
    fallen.step(Event::ProviderDown(provider()), CREATED);
    fallen.step(Event::ProviderUp(provider()), CREATED);
    let mut restarted = Machine::new(transaction(1));
    restarted.step(Event::Revived, CREATED);
    for mut machine in [fallen, restarted] {
        machine.step(Event::PushWritten { addressee: Addressee::Phone(device(1)) }, CREATED);
        assert_eq!(ended_as(&machine.step(failed(DeliveryReason::Unavailable), CREATED)), None);
        let delivery = machine.transaction().recipients[0].delivery.clone().expect("one");
        assert_eq!((delivery.status, delivery.reason), (DeliveryStatus::Unknown, Some(DeliveryReason::Cut)));
        let refused = ended_as(&machine.step(failed(DeliveryReason::TokenDead), CREATED));
        assert_eq!(refused, Some(State::Failed(FailureReason::ProviderRejected)), "a definite no is one");
    }
}

/// A login whose pushes have been told and then lost, as its record in the storage still says.
fn told_and_lost() -> (u32, Transaction) {
    let mut machine = open_machine(3);
    let stored = Transaction::clone(machine.transaction());
    for number in 1..=3 {
        machine.step(Event::PushWritten { addressee: Addressee::Phone(device(number)) }, CREATED);
        machine.step(
            Event::PushEnded {
                addressee: Addressee::Phone(device(number)),
                outcome: DeliveryOutcome::Relayed,
            },
            CREATED,
        );
    }
    assert!(machine.transaction().revision > stored.revision);
    (machine.transaction().revision, stored)
}

#[test]
fn a_revision_never_falls_however_often_what_was_told_is_lost() {
    let (mut told, stored) = told_and_lost();
    for life in 1..=5 {
        let now = CREATED.plus(DurationMs::new(life * 100));
        let mut machine = Machine::new(stored.clone());
        machine.step(Event::Revived, now);
        assert!(machine.transaction().revision > told, "life {life}");
        for number in 1..=3 {
            machine.step(
                Event::PushEnded {
                    addressee: Addressee::Phone(device(number)),
                    outcome: DeliveryOutcome::Relayed,
                },
                now,
            );
        }
        told = machine.transaction().revision;
    }
}

#[test]
fn an_outcome_after_a_power_cut_is_news_to_whoever_saw_what_was_lost() {
    let (told, stored) = told_and_lost();
    let mut machine = Machine::new(stored);
    machine.step(Event::Revived, EXPIRES);
    let effects = machine.step(Event::TimerFired, EXPIRES);
    let ended = effects.iter().find_map(|effect| match effect {
        Effect::End(ended) => Some(ended),
        _ => None,
    });
    assert!(ended.is_some_and(|ended| ended.revision > told), "{effects:?}");
}

#[test]
fn a_removed_phones_answer_on_the_way_is_refused() {
    let mut machine = open_machine(2);
    let effects = machine.step(gone(1), CREATED);
    assert!(matches!(effects.as_slice(), [Effect::Amend(_)]), "{effects:?}");
    let waits = machine.step(
        Event::Answered { caller: CallerId(9), answer: answer(1, Decision::Accept), wrong_number: false },
        CREATED,
    );
    assert_eq!(waits, [], "it is judged when the phone has left for good");
    let refused = machine.step(Event::Written(WriteOutcome::Stored), CREATED);
    assert_eq!(refusal(&refused), Some((ErrorCode::DeviceRevoked, None)));
    let late = machine.step(
        Event::Answered { caller: CallerId(2), answer: answer(1, Decision::Accept), wrong_number: false },
        CREATED,
    );
    assert_eq!(refusal(&late), Some((ErrorCode::DeviceRevoked, None)));
    assert_eq!(ended_as(&late), None);
    let other = machine.step(
        Event::Answered { caller: CallerId(3), answer: answer(2, Decision::Accept), wrong_number: false },
        CREATED,
    );
    assert_eq!(ended_as(&other), Some(State::Accepted));
}

#[test]
fn the_last_wrong_try_fails_it() {
    let mut machine = open_machine(1);
    for left in [2, 1, 0] {
        let effects = machine.step(Event::TriedWrong { caller: CallerId(2) }, CREATED);
        assert!(matches!(effects.as_slice(), [Effect::Attempt { .. }]), "{effects:?}");
        let effects = machine.step(Event::Written(WriteOutcome::Stored), CREATED);
        assert_eq!(replies(&effects), vec![(CallerId(2), Reply::TriesLeft(left))]);
    }
    assert_eq!(machine.transaction().state, State::Failed(FailureReason::AttemptsExceeded));
}

#[test]
fn row_057_ttl_covers_attempts() {
    for (offset, counts) in [(-1_i64, true), (0, false), (1, false)] {
        let now = UnixMs::new(EXPIRES.get().checked_add_signed(offset).expect("a time"));
        let mut machine = open_machine(1);
        let tried = machine.step(Event::TriedWrong { caller: CallerId(2) }, now);
        let counted = tried.iter().any(|effect| matches!(effect, Effect::Attempt { .. }));
        assert_eq!(counted, counts, "{offset} ms");
        assert_eq!(ended_as(&tried), (!counts).then_some(State::Timeout), "{offset} ms");
    }
    // A try moves the deadline by nothing: a right answer behind it is late.
    let mut machine = open_machine(1);
    machine.step(Event::TriedWrong { caller: CallerId(2) }, UnixMs::new(EXPIRES.get() - 1));
    machine.step(Event::Written(WriteOutcome::Stored), UnixMs::new(EXPIRES.get() - 1));
    assert_eq!((machine.transaction().expires_at, machine.transaction().attempts.used), (EXPIRES, 1));
    let late =
        Event::Answered { caller: CallerId(3), answer: answer(1, Decision::Accept), wrong_number: false };
    assert_eq!(ended_as(&machine.step(late, EXPIRES)), Some(State::Timeout));
}

#[test]
fn a_mark_never_carries_an_old_counter_past_a_try_in_flight() {
    let mut machine = open_machine(1);
    machine.step(Event::TriedWrong { caller: CallerId(2) }, CREATED);
    let relayed =
        Event::PushEnded { addressee: Addressee::Phone(device(1)), outcome: DeliveryOutcome::Relayed };
    let effects = machine.step(relayed, CREATED);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Mark(_))), "{effects:?}");
    machine.step(Event::Written(WriteOutcome::Stored), CREATED);
    let record = machine.transaction();
    assert_eq!(record.attempts.used, 1);
    assert_eq!(
        record.recipients[0].delivery.as_ref().map(|found| found.status),
        Some(DeliveryStatus::Relayed)
    );
}

#[test]
fn a_removed_phone_ends_it_when_it_was_the_last_one() {
    let mut machine = open_machine(2);
    assert_eq!(ended_as(&machine.step(gone(1), CREATED)), None);
    assert!(machine.transaction().recipient(&device(1)).is_some(), "it is not stored yet");
    machine.step(Event::Written(WriteOutcome::Stored), CREATED);
    assert!(machine.transaction().recipient(&device(1)).is_none());
    let effects = machine.step(gone(2), CREATED);
    assert_eq!(ended_as(&effects), Some(State::Failed(FailureReason::DeviceRevoked)));
}

#[test]
fn a_phone_whose_leaving_was_refused_leaves_by_the_timer_and_answers_nothing_meanwhile() {
    let mut machine = open_machine(2);
    machine.step(gone(1), CREATED);
    let effects = machine.step(Event::Written(WriteOutcome::Failed(StoreFailure::Refused)), CREATED);
    assert!(matches!(effects.as_slice(), [Effect::ArmTimer(_)]), "{effects:?}");
    let late = machine.step(
        Event::Answered { caller: CallerId(2), answer: answer(1, Decision::Accept), wrong_number: false },
        CREATED,
    );
    assert_eq!(refusal(&late), Some((ErrorCode::DeviceRevoked, None)));
    let effects = machine.step(Event::TimerFired, CREATED);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Amend(_))), "{effects:?}");
    machine.step(Event::Written(WriteOutcome::Stored), CREATED);
    assert!(machine.transaction().recipient(&device(1)).is_none());
}

#[test]
fn a_phone_that_goes_during_another_write_leaves_behind_it() {
    let mut machine = open_machine(2);
    machine.step(Event::TriedWrong { caller: CallerId(2) }, CREATED);
    assert_eq!(machine.step(gone(1), CREATED), []);
    let effects = machine.step(Event::Written(WriteOutcome::Stored), CREATED);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Amend(_))), "{effects:?}");
    let counted = machine.transaction().attempts.used;
    machine.step(Event::Written(WriteOutcome::Stored), CREATED);
    assert_eq!((counted, machine.transaction().recipients.len()), (1, 1));
}

#[test]
fn a_provider_that_comes_back_during_a_write_is_heard_behind_it() {
    let mut machine = open_machine(1);
    machine.step(Event::ProviderDown("apns-main".parse().expect("valid")), CREATED);
    machine.step(Event::TriedWrong { caller: CallerId(2) }, CREATED);
    for _ in 0..2 {
        assert_eq!(machine.step(Event::ProviderUp("apns-main".parse().expect("valid")), CREATED), []);
    }
    let effects = machine.step(Event::Written(WriteOutcome::Stored), CREATED);
    let pushes = effects.iter().filter(|effect| matches!(effect, Effect::Push(_))).count();
    assert_eq!(pushes, 1, "{effects:?}");
}

fn gone(number: u8) -> Event {
    Event::DeviceGone { device_id: device(number), reason: FailureReason::DeviceRevoked }
}

/// A machine whose phones have all been reached.
fn relayed_machine(devices: u8) -> Machine {
    let mut machine = open_machine(devices);
    for number in 1..=devices {
        let outcome = DeliveryOutcome::Relayed;
        machine.step(Event::PushEnded { addressee: Addressee::Phone(device(number)), outcome }, CREATED);
    }
    machine
}

fn resend(caller: u32) -> Event {
    Event::Resent { caller: CallerId(caller), gap: GAP, idempotency: None }
}

#[test]
fn a_wrong_number_is_final_and_the_same_answer_gets_the_same_reply() {
    let mut machine = open_machine(1);
    let wrong = |caller| Event::Answered {
        caller: CallerId(caller),
        answer: answer(1, Decision::Accept),
        wrong_number: true,
    };
    let failed = State::Failed(FailureReason::WrongNumber);
    assert_eq!(ended_as(&machine.step(wrong(2), CREATED)), Some(failed));
    let effects = machine.step(Event::Written(WriteOutcome::Stored), CREATED);
    assert_eq!(replies(&effects), vec![(CallerId(2), Reply::Answered(failed))]);
    let again =
        Event::Answered { caller: CallerId(3), answer: answer(1, Decision::Accept), wrong_number: false };
    let again = machine.step(again, CREATED);
    assert_eq!(replies(&again), vec![(CallerId(3), Reply::Answered(failed))], "nothing un-fails");
}

#[test]
fn tries_of_a_pin_are_told_on_the_transaction_and_end_it_only_with_its_last_phone() {
    let mut machine = open_machine(2);
    let tried =
        |number, exhausted| Event::PinTried { caller: CallerId(2), device_id: device(number), exhausted };
    for (number, exhausted, used, recipients) in [(1, false, 1, 2), (1, true, 2, 1)] {
        let effects = machine.step(tried(number, exhausted), CREATED);
        assert!(matches!(effects.as_slice(), [Effect::Attempt { .. }]), "{effects:?}");
        machine.step(Event::Written(WriteOutcome::Stored), CREATED);
        let record = machine.transaction();
        assert_eq!((record.attempts.used, record.recipients.len()), (used, recipients));
        assert_eq!(record.state, State::Pending);
    }
    machine.step(tried(2, true), CREATED);
    let effects = machine.step(Event::Written(WriteOutcome::Stored), CREATED);
    assert!(effects.contains(&Effect::Retire));
    assert_eq!(machine.transaction().state, State::Failed(FailureReason::AttemptsExceeded));
}

#[test]
fn a_right_pin_is_a_try_too() {
    let mut machine = open_machine(1);
    let tried = Event::PinTried { caller: CallerId(2), device_id: device(1), exhausted: false };
    machine.step(tried, CREATED);
    machine.step(Event::Written(WriteOutcome::Stored), CREATED);
    let right = Box::new(Answer { key_use: KeyUse::Pin, ..*answer(1, Decision::Accept) });
    machine.step(Event::Answered { caller: CallerId(3), answer: right, wrong_number: false }, CREATED);
    machine.step(Event::Written(WriteOutcome::Stored), CREATED);
    assert_eq!((machine.transaction().state, machine.transaction().attempts.used), (State::Accepted, 2));
}

#[test]
fn a_right_pin_that_comes_after_the_last_try_is_refused_and_leaves_it_open() {
    let mut machine = open_machine(2);
    let right = Box::new(Answer { key_use: KeyUse::Pin, ..*answer(1, Decision::Accept) });
    machine.step(Event::Answered { caller: CallerId(2), answer: right, wrong_number: false }, CREATED);
    let effects = machine.step(Event::Written(WriteOutcome::DeviceRevoked), CREATED);
    assert_eq!(refusal(&effects), Some((ErrorCode::DeviceRevoked, None)));
    let other =
        Event::Answered { caller: CallerId(3), answer: answer(2, Decision::Accept), wrong_number: false };
    assert_eq!(ended_as(&machine.step(other, CREATED)), Some(State::Accepted));
}

#[test]
fn a_repeated_push_leaves_once_it_is_counted() {
    let mut machine = relayed_machine(2);
    let later = UnixMs::new(CREATED.get() + 1_000);
    let effects = machine.step(resend(2), later);
    let [Effect::Resend { resent, used_before: 0, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!((resent.resends.used, resent.last_push_at(), resent.expires_at), (1, later, EXPIRES));
    let effects = machine.step(Event::Written(WriteOutcome::Stored), later);
    assert!(
        matches!(replies(&effects).as_slice(), [(CallerId(2), Reply::View(view))] if view.resends.used == 1)
    );
    for number in [1, 2] {
        assert!(effects.contains(&Effect::Push(Addressee::Phone(device(number)))));
    }
}

#[test]
fn resends_and_wrong_pins_are_judged_when_a_phone_has_left() {
    let later = UnixMs::new(CREATED.get() + 1_000);
    let mut machine = relayed_machine(2);
    machine.step(gone(1), later);
    assert_eq!(machine.step(resend(2), later), []);
    let effects = machine.step(Event::Written(WriteOutcome::Stored), later);
    let asked = effects.iter().find_map(|effect| match effect {
        Effect::Resend { resent, .. } => Some(resent.recipients.len()),
        _ => None,
    });
    assert_eq!(asked, Some(1), "{effects:?}");

    let mut machine = open_machine(2);
    machine.step(gone(1), CREATED);
    let last = Event::PinTried { caller: CallerId(2), device_id: device(2), exhausted: true };
    assert_eq!(machine.step(last, CREATED), []);
    let effects = machine.step(Event::Written(WriteOutcome::Stored), CREATED);
    let state = effects.iter().find_map(|effect| match effect {
        Effect::Attempt { tried, .. } => Some(tried.state),
        _ => None,
    });
    assert_eq!(state, Some(State::Failed(FailureReason::AttemptsExceeded)), "{effects:?}");
}

#[test]
fn resends_have_a_limit_and_a_gap_and_need_a_push() {
    let mut machine = relayed_machine(1);
    let mut now = CREATED;
    for (wait_ms, told) in [
        (999, Some(ErrorCode::RateLimited)),
        (1, None),
        (999, Some(ErrorCode::RateLimited)),
        (1, None),
        (5_000, Some(ErrorCode::ResendLimit)),
    ] {
        now = UnixMs::new(now.get() + wait_ms);
        let effects = machine.step(resend(2), now);
        assert_eq!(refusal(&effects).map(|(code, _)| code), told, "{effects:?}");
        if told.is_none() {
            machine.step(Event::Written(WriteOutcome::Stored), now);
        }
    }
    let mut unsent = transaction(1);
    unsent.recipients[0].delivery = None;
    let mut machine = Machine::new(unsent);
    machine.step(Event::Revived, now);
    assert_eq!(refusal(&machine.step(resend(2), now)), Some((ErrorCode::InvalidField, None)));
    let mut on_its_way = open_machine(1);
    assert_eq!(refusal(&on_its_way.step(resend(2), now)), Some((ErrorCode::RateLimited, None)));
    assert_eq!(
        refusal(&machine.step(Event::Cancelled { caller: CallerId(3), by: None }, EXPIRES)),
        None,
        "it ends by its deadline"
    );
    machine.step(Event::Written(WriteOutcome::Stored), EXPIRES);
    assert_eq!(
        refusal(&machine.step(resend(4), EXPIRES)),
        Some((ErrorCode::TransactionFinal, Some(State::Timeout)))
    );
}

#[test]
fn a_resend_that_cannot_be_sent_does_not_undo_the_push_that_was() {
    let mut machine = relayed_machine(1);
    let later = UnixMs::new(CREATED.get() + 1_000);
    machine.step(resend(2), later);
    machine.step(Event::Written(WriteOutcome::Stored), later);
    let failed = DeliveryOutcome::Failed(DeliveryReason::Unavailable);
    let effects =
        machine.step(Event::PushEnded { addressee: Addressee::Phone(device(1)), outcome: failed }, later);
    assert_eq!(ended_as(&effects), None);
    assert_eq!(machine.transaction().state, State::Pending);
}

#[test]
fn a_resend_that_was_promised_before_shows_the_view_and_pushes_nothing() {
    for (outcome, told) in
        [(WriteOutcome::SeenBefore, None), (WriteOutcome::Mismatch, Some(ErrorCode::IdempotencyMismatch))]
    {
        let mut machine = relayed_machine(1);
        let later = UnixMs::new(CREATED.get() + 1_000);
        machine.step(resend(2), later);
        let effects = machine.step(Event::Written(outcome), later);
        assert_eq!(refusal(&effects).map(|(code, _)| code), told);
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Push(_))));
        assert_eq!(machine.transaction().resends.used, 0);
    }
}

/// What a random run does next.
#[derive(Clone, Debug)]
enum Move {
    Answer(u8, bool),
    AnswerByPin(u8, bool),
    TryWrong,
    TryPin(u8, bool),
    Resend(Option<u8>),
    Cancel,
    View,
    SeeOverdue,
    Timer,
    Revoke(u8),
    Push(u8, u8),
    Fetch(u8),
    ProviderDown,
    ProviderUp,
    /// Answers the write in flight: stored, refused, lost answer after or before the write.
    Store(u8),
    Restart,
    /// Another call ends it in the storage.
    EndElsewhere,
    /// The word of that.
    HearOfTheEnd,
    Wait(u16),
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        (1..=2_u8, any::<bool>()).prop_map(|(number, accept)| Move::Answer(number, accept)),
        (1..=2_u8, any::<bool>()).prop_map(|(number, wrong)| Move::AnswerByPin(number, wrong)),
        Just(Move::TryWrong),
        (1..=2_u8, any::<bool>()).prop_map(|(number, exhausted)| Move::TryPin(number, exhausted)),
        proptest::option::of(0..2_u8).prop_map(Move::Resend),
        Just(Move::Cancel),
        Just(Move::View),
        Just(Move::SeeOverdue),
        Just(Move::Timer),
        (1..=2_u8).prop_map(Move::Revoke),
        (1..=2_u8, 0..3_u8).prop_map(|(number, outcome)| Move::Push(number, outcome)),
        (1..=2_u8).prop_map(Move::Fetch),
        Just(Move::ProviderDown),
        Just(Move::ProviderUp),
        (0..5_u8).prop_map(Move::Store),
        (0..5_u8).prop_map(Move::Store),
        Just(Move::Restart),
        Just(Move::EndElsewhere),
        Just(Move::HearOfTheEnd),
        (0..30_000_u16).prop_map(Move::Wait),
    ]
}

/// A machine with the storage around it, and an auditor that knows what must never happen.
struct World {
    machine: Machine,
    now: UnixMs,
    stored: Option<Transaction>,
    in_flight: VecDeque<Effect>,
    callers: u32,
    open_calls: HashMap<CallerId, ()>,
    finals_stored: Vec<State>,
    owed: u32,
    attempts_seen: u32,
    resends_seen: u32,
    /// Phones whose PIN was tried too often, as the storage knows them.
    revoked: Vec<DeviceId>,
    revoked_before_the_end: Vec<DeviceId>,
    promise: Option<Fingerprint>,
    /// Until it hears of that, the machine goes on as it must.
    ended_elsewhere: bool,
    published: Option<Arc<Transaction>>,
}

fn calling() -> Transaction {
    let callback_url = tocsin_model::CallbackUrl::parse("https://portal.example/done").ok();
    Transaction { callback_url, ..transaction(2) }
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            machine: Machine::new(calling()),
            now: CREATED,
            stored: None,
            in_flight: VecDeque::new(),
            callers: 0,
            open_calls: HashMap::new(),
            finals_stored: Vec::new(),
            owed: 0,
            attempts_seen: 0,
            resends_seen: 0,
            revoked: Vec::new(),
            revoked_before_the_end: Vec::new(),
            promise: None,
            ended_elsewhere: false,
            published: None,
        };
        let caller = world.caller();
        world.step(Event::Started { caller });
        world
    }

    fn caller(&mut self) -> CallerId {
        self.callers += 1;
        self.open_calls.insert(CallerId(self.callers), ());
        CallerId(self.callers)
    }

    fn step(&mut self, event: Event) {
        let was_final = self.stored.as_ref().is_some_and(|stored| stored.state.is_final());
        for effect in self.machine.step(event, self.now) {
            match &effect {
                Effect::Reply(caller, reply) => {
                    assert!(self.open_calls.remove(caller).is_some(), "told twice: {effect:?}");
                    self.audit_reply(reply);
                }
                Effect::Push(_) => {
                    let has_ended = was_final && !self.ended_elsewhere;
                    assert!(self.stored.is_some() && !has_ended, "pushed before stored or after the end")
                }
                Effect::Publish(view) => {
                    assert!(self.stored.is_some(), "published before stored");
                    assert_news(self.published.replace(Arc::clone(view)), view);
                }
                Effect::Mark(marked) => self.mark(marked),
                Effect::Create(_)
                | Effect::End(_)
                | Effect::Attempt { .. }
                | Effect::Amend(_)
                | Effect::Claim(_)
                | Effect::Resend { .. }
                | Effect::ReadBack => {
                    self.in_flight.push_back(effect.clone());
                    assert_eq!(self.in_flight.len(), 1, "one write at a time");
                }
                Effect::OweCallback => {
                    assert_eq!(
                        self.finals_stored.len(),
                        1,
                        "a callback was owed before its outcome was stored"
                    );
                    assert!(!was_final || self.owed == 0, "a callback was owed twice");
                    self.owed += 1;
                }
                Effect::ArmTimer(_)
                | Effect::CountFallback
                | Effect::SendIfAdmitted(_)
                | Effect::EnterUser(_)
                | Effect::Retire
                | Effect::Stop => {}
            }
        }
        if let Some(stored) = &self.stored {
            assert!(stored.attempts.used >= self.attempts_seen, "a try was given back");
            self.attempts_seen = stored.attempts.used;
            assert!(stored.resends.used >= self.resends_seen, "a resend was given back");
            assert!(stored.resends.used <= stored.resends.max, "resent too often");
            self.resends_seen = stored.resends.used;
            assert_eq!(stored.expires_at, EXPIRES, "its life was changed");
        }
    }

    fn audit_reply(&self, reply: &Reply) {
        let stored = self.stored.as_ref().map(|stored| stored.state);
        match reply {
            Reply::Answered(state) => assert_eq!(stored, Some(*state), "told before stored"),
            Reply::View(view) if view.state.is_final() => {
                assert_eq!(stored, Some(view.state), "shown before stored")
            }
            Reply::TriesLeft(left) => {
                let truth = self.stored.as_ref().map(|stored| stored.attempts.left());
                assert!(truth.is_some_and(|truth| truth <= *left), "more tries left than told");
            }
            Reply::Refused(problem) if problem.code == ErrorCode::TransactionFinal => {
                assert_eq!(stored, problem.state, "told before stored");
            }
            Reply::View(_) | Reply::SeenBefore(_) | Reply::Refused(_) => {}
        }
    }

    fn mark(&mut self, marked: &Arc<Transaction>) {
        let newer = |stored: &Transaction| !stored.state.is_final() && stored.revision < marked.revision;
        if self.stored.as_ref().is_some_and(newer) {
            self.stored = Some(Transaction::clone(marked));
        }
    }

    /// The storage's own compare-and-set.
    fn write(&mut self, effect: &Effect) -> WriteOutcome {
        match effect {
            Effect::Create(record) => self.stored = Some(Transaction::clone(record)),
            Effect::End(record) | Effect::Attempt { tried: record, .. } => {
                let Some(stored) = &self.stored else { return WriteOutcome::Absent };
                let counter_moved = matches!(effect, Effect::Attempt { used_before, .. } if stored.attempts.used != *used_before);
                let by_pin = record.answer.as_ref().filter(|answer| answer.key_use == KeyUse::Pin);
                if by_pin.is_some_and(|answer| self.revoked.contains(&answer.device_id)) {
                    return WriteOutcome::DeviceRevoked;
                }
                if stored.state.is_final() || counter_moved {
                    return WriteOutcome::Lost(Box::new(stored.clone()));
                }
                if record.state.is_final() {
                    self.revoked_before_the_end.clone_from(&self.revoked);
                    self.finals_stored.push(record.state);
                }
                self.stored = Some(Transaction::clone(record));
            }
            Effect::Amend(record) => {
                let Some(stored) = &self.stored else { return WriteOutcome::Absent };
                let fits = stored.revision < record.revision && stored.attempts == record.attempts;
                if stored.state.is_final() || !fits {
                    return WriteOutcome::Lost(Box::new(stored.clone()));
                }
                self.stored = Some(Transaction::clone(record));
            }
            Effect::Resend { resent, used_before, idempotency } => {
                let Some(stored) = &self.stored else { return WriteOutcome::Absent };
                match idempotency.as_ref().map(|promise| promise.fingerprint) {
                    Some(fingerprint) if self.promise.is_some_and(|kept| kept == fingerprint) => {
                        return WriteOutcome::SeenBefore;
                    }
                    Some(_) if self.promise.is_some() => return WriteOutcome::Mismatch,
                    _ => {}
                }
                if stored.state.is_final() || stored.resends.used != *used_before {
                    return WriteOutcome::Lost(Box::new(stored.clone()));
                }
                self.promise = idempotency.as_ref().map(|promise| promise.fingerprint).or(self.promise);
                self.stored = Some(Transaction::clone(resent));
            }
            other => panic!("not a write: {other:?}"),
        }
        WriteOutcome::Stored
    }

    fn answer_write(&mut self, how: u8) {
        let Some(effect) = self.in_flight.pop_front() else { return };
        if effect == Effect::ReadBack {
            return self.step(Event::ReadBack(self.stored.clone().map(Box::new)));
        }
        let outcome = match how {
            0 | 1 => self.write(&effect),
            2 => WriteOutcome::Failed(StoreFailure::Refused),
            _ => {
                if how % 2 == 1 {
                    self.write(&effect);
                }
                WriteOutcome::Failed(StoreFailure::Unknown)
            }
        };
        self.step(Event::Written(outcome));
    }

    fn apply(&mut self, next: Move) {
        match next {
            Move::Answer(number, accept) => {
                let decision = if accept { Decision::Accept } else { Decision::Decline };
                let caller = self.caller();
                self.step(Event::Answered { caller, answer: answer(number, decision), wrong_number: false });
            }
            Move::TryWrong => {
                let caller = self.caller();
                self.step(Event::TriedWrong { caller });
            }
            Move::AnswerByPin(number, wrong_number) => {
                let caller = self.caller();
                let answer = Box::new(Answer { key_use: KeyUse::Pin, ..*answer(number, Decision::Accept) });
                self.step(Event::Answered { caller, answer, wrong_number });
            }
            Move::TryPin(number, exhausted) => {
                if exhausted {
                    self.revoked.push(device(number));
                }
                let caller = self.caller();
                self.step(Event::PinTried { caller, device_id: device(number), exhausted });
            }
            Move::Resend(promised) => {
                let caller = self.caller();
                let idempotency = promised.map(|number| {
                    let key = IdempotencyKey::new("key").expect("valid");
                    Box::new(Idempotency { key, fingerprint: Fingerprint::from_bytes([number; 32]) })
                });
                self.step(Event::Resent { caller, gap: GAP, idempotency });
            }
            Move::Cancel => {
                let caller = self.caller();
                self.step(Event::Cancelled { caller, by: None });
            }
            Move::View => {
                let caller = self.caller();
                self.step(Event::Viewed { caller });
            }
            Move::SeeOverdue => {
                let caller = self.caller();
                self.step(Event::SeenOverdue { caller });
            }
            Move::Timer => self.step(Event::TimerFired),
            Move::Revoke(number) => self.step(gone(number)),
            Move::Push(number, outcome) => {
                let outcome = match outcome {
                    0 => DeliveryOutcome::Relayed,
                    1 => DeliveryOutcome::Failed(DeliveryReason::Unavailable),
                    _ => DeliveryOutcome::Unknown(DeliveryReason::Cut),
                };
                self.step(Event::PushEnded { addressee: Addressee::Phone(device(number)), outcome });
            }
            Move::Fetch(number) => self.step(Event::Fetched { device_id: device(number) }),
            Move::ProviderDown => self.step(Event::ProviderDown("apns-main".parse().expect("valid"))),
            Move::ProviderUp => self.step(Event::ProviderUp("apns-main".parse().expect("valid"))),
            Move::Store(how) => self.answer_write(how),
            Move::Restart => self.restart(),
            Move::EndElsewhere => self.end_elsewhere(),
            Move::HearOfTheEnd => {
                if let Some(stored) = self.stored.clone() {
                    self.step(Event::EndedElsewhere(Box::new(stored)));
                }
            }
            Move::Wait(ms) => self.now = UnixMs::new(self.now.get() + u64::from(ms)),
        }
    }

    /// As a start does that takes its place.
    fn end_elsewhere(&mut self) {
        let pending = self.stored.as_ref().filter(|stored| !stored.state.is_final());
        let Some(pending) = pending.cloned() else { return };
        let revision = pending.revision_after_a_gap(self.now);
        let (state, ended_at) = (State::Cancelled, Some(self.now));
        self.stored = Some(Transaction { state, revision, ended_at, ..pending });
        self.revoked_before_the_end.clone_from(&self.revoked);
        self.finals_stored.push(state);
        self.ended_elsewhere = true;
    }

    /// A killed process: the write in flight may have happened, and every caller is gone.
    fn restart(&mut self) {
        if let Some(effect) = self.in_flight.pop_front()
            && self.callers.is_multiple_of(2)
            && effect != Effect::ReadBack
        {
            self.write(&effect);
        }
        self.open_calls.clear();
        self.published = None;
        match self.stored.clone() {
            Some(stored) => {
                self.machine = Machine::new(stored);
                self.step(Event::Revived);
            }
            // Nothing was stored, so the portal starts anew.
            None => {
                self.machine = Machine::new(calling());
                let caller = self.caller();
                self.step(Event::Started { caller });
            }
        }
    }
}

proptest! {
    #[test]
    fn any_order_of_events_has_one_final_state_and_rising_counters(
        moves in proptest::collection::vec(any_move(), 1..80),
    ) {
        let mut world = World::new();
        let mut first_final = None;
        for next in moves {
            world.apply(next);
            let stored = world.stored.as_ref().map(|stored| stored.state).filter(|state| state.is_final());
            if let Some(state) = stored {
                let first = *first_final.get_or_insert(state);
                prop_assert_eq!(state, first, "a final state changed");
            }
        }
        prop_assert!(world.finals_stored.len() <= 1, "{:?}", world.finals_stored);
        prop_assert!(world.owed <= 1, "a callback was owed {} times", world.owed);
        let accepted = world.stored.as_ref().filter(|stored| stored.state == State::Accepted);
        if let Some(stored) = accepted {
            let by_answer = stored.answer.as_ref().is_some_and(|answer| answer.decision == Decision::Accept);
            prop_assert!(by_answer, "accepted without an accepting answer");
            let by_lost_pin = stored.answer.as_ref().is_some_and(|answer| {
                answer.key_use == KeyUse::Pin && world.revoked_before_the_end.contains(&answer.device_id)
            });
            prop_assert!(!by_lost_pin, "accepted by the PIN of a phone that was removed before");
            prop_assert!(stored.ended_at.is_some_and(|ended_at| ended_at < stored.expires_at), "accepted too late");
        }
    }

    #[test]
    fn every_caller_is_told_once_the_storage_answers(moves in proptest::collection::vec(any_move(), 1..40)) {
        let mut world = World::new();
        for next in moves {
            world.apply(next);
        }
        for _ in 0..64 {
            world.answer_write(0);
        }
        prop_assert!(world.open_calls.is_empty(), "callers left without a word: {:?}", world.open_calls);
    }
}
