//! Anonymous transactions: who claims them, by example and as a property over arbitrary orders of claims, answers,
//! lost writes and restarts.

use super::*;
use crate::transaction::Claim;

fn unclaimed() -> Transaction {
    Transaction { user: None, method: Method::Otp, attempts: Counter::new(0), ..transaction(0) }
}

fn user_of(number: u8) -> User {
    let id = UserId::new(&format!("user-{number}"), UserIdRule::Exact).expect("valid");
    User { realm: "retail".parse().expect("valid"), id }
}

fn claim(caller: u32, number: u8) -> Event {
    let recipient = Recipient { delivery: None, ..recipient(number) };
    let claim = Box::new(Claim { user: user_of(number), recipient, attempts_max: 5, guard: None });
    Event::Claimed { caller: CallerId(caller), claim }
}

fn anonymous_machine() -> Machine {
    let mut machine = Machine::new(unclaimed());
    machine.step(Event::Started { caller: CallerId(1) }, CREATED);
    let opened = machine.step(Event::Written(WriteOutcome::Stored), CREATED);
    assert!(!opened.iter().any(|effect| matches!(effect, Effect::Push(_))), "nobody is pushed to");
    machine
}

/// A machine whose transaction phone 1 has claimed.
fn claimed_machine() -> Machine {
    let mut machine = anonymous_machine();
    machine.step(claim(2, 1), CREATED);
    machine.step(Event::Written(WriteOutcome::Stored), CREATED);
    machine
}

/// The phones that were shown the transaction as theirs.
fn shown_to(effects: &[Effect]) -> Vec<(CallerId, DeviceId)> {
    let view = |(caller, reply)| match reply {
        Reply::View(view) => Some((caller, view.recipients.first()?.device_id)),
        _ => None,
    };
    replies(effects).into_iter().filter_map(view).collect()
}

#[test]
fn a_claim_is_told_once_it_is_stored_and_approves_nothing() {
    let mut machine = anonymous_machine();
    let effects = machine.step(claim(2, 1), CREATED);
    let [Effect::Claim(claimed)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!((&claimed.user, claimed.revision), (&Some(user_of(1)), 2));
    assert_eq!(machine.transaction().user, None, "a write in flight does not show");
    let effects = machine.step(Event::Written(WriteOutcome::Stored), CREATED);
    let entered = effects.iter().position(|effect| *effect == Effect::EnterUser(user_of(1)));
    let told = effects.iter().position(|effect| matches!(effect, Effect::Reply(CallerId(2), _)));
    assert!(entered.expect("entered") < told.expect("told"), "{effects:?}");
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Publish(_))), "the portal sees whose it is");
    let stands = machine.transaction();
    assert_eq!((stands.state, stands.attempts), (State::Pending, Counter::new(5)));
}

#[test]
fn the_same_phone_is_told_the_same_again_and_another_one_that_it_is_used() {
    let mut machine = claimed_machine();
    let again = machine.step(claim(3, 1), CREATED);
    assert_eq!(shown_to(&again), [(CallerId(3), device(1))]);
    assert_eq!(again.len(), 1, "nothing is stored again");
    assert_eq!(refusal(&machine.step(claim(4, 2), CREATED)), Some((ErrorCode::OtpUsed, None)));
    assert_eq!(machine.transaction().user, Some(user_of(1)));
}

#[test]
fn of_two_claims_at_once_the_first_one_wins() {
    let mut machine = anonymous_machine();
    machine.step(claim(2, 1), CREATED);
    assert!(machine.step(claim(3, 2), CREATED).is_empty(), "it waits for the write in flight");
    let effects = machine.step(Event::Written(WriteOutcome::Stored), CREATED);
    assert_eq!(shown_to(&effects), [(CallerId(2), device(1))]);
    assert_eq!(refusal(&effects), Some((ErrorCode::OtpUsed, None)));
}

#[test]
fn a_claim_that_was_stored_first_stands() {
    let mut machine = anonymous_machine();
    machine.step(claim(2, 1), CREATED);
    let stands = claimed_machine().transaction().as_ref().clone();
    let stands = Transaction {
        user: Some(user_of(2)),
        recipients: vec![Recipient { delivery: None, ..recipient(2) }],
        ..stands
    };
    let effects = machine.step(Event::Written(WriteOutcome::Lost(Box::new(stands))), CREATED);
    assert_eq!(refusal(&effects), Some((ErrorCode::OtpUsed, None)));
    assert!(effects.contains(&Effect::EnterUser(user_of(2))), "{effects:?}");
}

#[test]
fn a_claim_counts_until_the_last_millisecond() {
    for (now, is_taken) in [(UnixMs::new(EXPIRES.get() - 1), true), (EXPIRES, false)] {
        let mut machine = anonymous_machine();
        let effects = machine.step(claim(2, 1), now);
        assert_eq!(effects.iter().any(|effect| matches!(effect, Effect::Claim(_))), is_taken);
        assert_eq!(ended_as(&effects), (!is_taken).then_some(State::Timeout));
    }
}

#[test]
fn what_is_not_anonymous_is_claimed_by_nobody() {
    let mut machine = open_machine(1);
    assert_eq!(refusal(&machine.step(claim(2, 2), CREATED)), Some((ErrorCode::OtpUsed, None)));
}

#[test]
fn a_claim_by_a_phone_that_was_removed_meanwhile_leaves_it_free() {
    let mut machine = anonymous_machine();
    machine.step(claim(2, 1), CREATED);
    let effects = machine.step(Event::Written(WriteOutcome::DeviceRevoked), CREATED);
    assert_eq!(refusal(&effects), Some((ErrorCode::DeviceRevoked, None)));
    assert!(machine.transaction().is_unclaimed());
    machine.step(claim(3, 2), CREATED);
    let effects = machine.step(Event::Written(WriteOutcome::Stored), CREATED);
    assert_eq!(shown_to(&effects), [(CallerId(3), device(2))]);
}

#[test]
fn only_the_claimers_phone_answers_and_its_removal_ends_it() {
    let answered = |number| Event::Answered {
        caller: CallerId(3),
        answer: answer(number, Decision::Accept),
        wrong_number: false,
    };
    let mut machine = claimed_machine();
    assert_eq!(refusal(&machine.step(answered(2), CREATED)), Some((ErrorCode::DeviceRevoked, None)));
    assert_eq!(ended_as(&machine.step(answered(1), CREATED)), Some(State::Accepted));
    let mut machine = claimed_machine();
    let ended = ended_as(&machine.step(gone(1), CREATED));
    assert_eq!(ended, Some(State::Failed(FailureReason::DeviceRevoked)));
}

#[test]
fn nobody_resends_it() {
    for mut machine in [anonymous_machine(), claimed_machine()] {
        let later = UnixMs::new(CREATED.get() + 10_000);
        assert_eq!(refusal(&machine.step(resend(9), later)), Some((ErrorCode::InvalidField, None)));
    }
}

/// What a random run does next.
#[derive(Clone, Debug)]
enum Step {
    Claim(u8),
    Answer(u8),
    Remove(u8),
    Cancel,
    Timer,
    /// Answers the write in flight: stored, refused, or an answer that is lost after or before the write.
    Store(u8),
    Restart(bool),
    Wait(u16),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..=3_u8).prop_map(Step::Claim),
        2 => (1..=3_u8).prop_map(Step::Answer),
        1 => (1..=3_u8).prop_map(Step::Remove),
        1 => Just(Step::Cancel),
        1 => Just(Step::Timer),
        6 => (0..5_u8).prop_map(Step::Store),
        1 => any::<bool>().prop_map(Step::Restart),
        1 => (0..30_000_u16).prop_map(Step::Wait),
    ]
}

/// A machine with its storage, and an auditor that knows what must never happen.
struct Claims {
    machine: Machine,
    now: UnixMs,
    stored: Transaction,
    in_flight: Option<Effect>,
    callers: u32,
    open_calls: Vec<CallerId>,
    removed: Vec<DeviceId>,
    claimer: Option<User>,
}

impl Claims {
    fn new() -> Self {
        Self {
            machine: anonymous_machine(),
            now: CREATED,
            stored: unclaimed(),
            in_flight: None,
            callers: 1,
            open_calls: Vec::new(),
            removed: Vec::new(),
            claimer: None,
        }
    }

    fn caller(&mut self) -> CallerId {
        self.callers += 1;
        self.open_calls.push(CallerId(self.callers));
        CallerId(self.callers)
    }

    fn step(&mut self, event: Event) {
        for effect in self.machine.step(event, self.now) {
            match &effect {
                Effect::Reply(caller, reply) => {
                    let index = self.open_calls.iter().position(|open| open == caller);
                    self.open_calls.swap_remove(index.expect("told twice"));
                    self.audit(reply);
                }
                Effect::Claim(_) | Effect::End(_) | Effect::Amend(_) | Effect::ReadBack => {
                    assert!(self.in_flight.replace(effect).is_none(), "one write at a time");
                }
                Effect::EnterUser(user) => assert_eq!(self.stored.user.as_ref(), Some(user)),
                Effect::Push(_) => panic!("an anonymous transaction was pushed"),
                _ => {}
            }
        }
    }

    fn audit(&self, reply: &Reply) {
        match reply {
            Reply::View(view) if view.user.is_some() => {
                assert_eq!(view.user, self.stored.user, "told too soon")
            }
            Reply::Refused(problem) if problem.code == ErrorCode::OtpUsed => {
                assert!(self.stored.user.is_some(), "used by nobody");
            }
            Reply::Answered(state) => assert_eq!(*state, self.stored.state, "told before stored"),
            _ => {}
        }
    }

    /// The storage's own compare-and-set.
    fn write(&mut self, effect: &Effect) -> WriteOutcome {
        let (Effect::Claim(record) | Effect::End(record) | Effect::Amend(record)) = effect else {
            panic!("not a write: {effect:?}");
        };
        let is_free = self.stored.is_unclaimed() && self.stored.revision < record.revision;
        if self.stored.state.is_final() || (matches!(effect, Effect::Claim(_)) && !is_free) {
            return WriteOutcome::Lost(Box::new(self.stored.clone()));
        }
        if matches!(effect, Effect::Claim(_)) {
            if self.removed.contains(&record.recipients[0].device_id) {
                return WriteOutcome::DeviceRevoked;
            }
            assert_eq!(self.claimer, None, "claimed twice");
            self.claimer.clone_from(&record.user);
        }
        self.stored = Transaction::clone(record);
        assert_eq!(self.stored.user, self.claimer, "it changed hands");
        WriteOutcome::Stored
    }

    fn answer_write(&mut self, how: u8) {
        let Some(effect) = self.in_flight.take() else { return };
        if effect == Effect::ReadBack {
            return self.step(Event::ReadBack(Some(Box::new(self.stored.clone()))));
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

    fn apply(&mut self, next: Step) {
        match next {
            Step::Claim(number) => {
                let caller = self.caller();
                self.step(claim(caller.0, number));
            }
            Step::Answer(number) => {
                let (caller, answer) = (self.caller(), answer(number, Decision::Accept));
                self.step(Event::Answered { caller, answer, wrong_number: false });
            }
            Step::Remove(number) => {
                self.removed.push(device(number));
                self.step(gone(number));
            }
            Step::Cancel => {
                let caller = self.caller();
                self.step(Event::Cancelled { caller, by: None });
            }
            Step::Timer => self.step(Event::TimerFired),
            Step::Store(how) => self.answer_write(how),
            Step::Restart(is_written) => self.restart(is_written),
            Step::Wait(ms) => self.now = UnixMs::new(self.now.get() + u64::from(ms)),
        }
    }

    /// A killed process: the write in flight may have happened, and every caller is gone.
    fn restart(&mut self, is_written: bool) {
        if let Some(effect) = self.in_flight.take().filter(|effect| is_written && *effect != Effect::ReadBack)
        {
            self.write(&effect);
        }
        self.open_calls.clear();
        self.machine = Machine::new(self.stored.clone());
        self.step(Event::Revived);
    }
}

proptest! {
    #[test]
    fn in_any_order_one_phone_claims_it_and_nobody_else_answers(
        steps in proptest::collection::vec(any_step(), 1..60),
    ) {
        let mut claims = Claims::new();
        for next in steps {
            claims.apply(next);
        }
        for _ in 0..64 {
            claims.answer_write(0);
        }
        prop_assert!(claims.open_calls.is_empty(), "left without a word: {:?}", claims.open_calls);
        if let (State::Accepted, Some(answer)) = (claims.stored.state, &claims.stored.answer) {
            prop_assert_eq!(claims.stored.recipients[0].device_id, answer.device_id);
            prop_assert!(claims.claimer.is_some(), "accepted by nobody");
        }
    }
}
