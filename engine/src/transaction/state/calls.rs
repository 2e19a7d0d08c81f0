//! Calls of portals and phones: judged when no write is in flight, else when it has ended.

use std::sync::Arc;

use tocsin_model::{
    Answer, DeliveryStatus, ErrorCode, FailureReason, OperatorName, Problem, State, Transaction, UnixMs,
};

use super::{Cause, Machine, Phase, WAITING_MAX};
use crate::transaction::{CallerId, Effect, Event, Reply};

impl Machine {
    /// Judges a call now, or keeps it until the write in flight has ended.
    pub(super) fn on_call(&mut self, event: Event, now: UnixMs, effects: &mut Vec<Effect>) {
        if !self.is_writing() {
            return self.judge(event, now, effects);
        }
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push(event);
        } else if let Some(caller) = caller_of(&event) {
            effects.push(Effect::Reply(caller, Reply::Refused(too_many_waiting())));
        }
    }

    pub(super) fn judge(&mut self, event: Event, now: UnixMs, effects: &mut Vec<Effect>) {
        match event {
            Event::Answered { caller, answer } => self.judge_answer(caller, *answer, now, effects),
            Event::TriedWrong { caller } => self.judge_wrong_try(caller, now, effects),
            Event::Cancelled { caller, by } => self.judge_cancel(caller, by, now, effects),
            Event::SeenOverdue { caller } => self.judge_overdue(caller, now, effects),
            other => debug_assert!(false, "not a call: {other:?}"),
        }
    }

    pub(super) fn judge_answer(
        &mut self,
        caller: CallerId,
        answer: Answer,
        now: UnixMs,
        effects: &mut Vec<Effect>,
    ) {
        if self.is_open_at(now) && !self.may_answer(&answer.device_id) {
            // It was removed while its answer was on the way here.
            let problem = Problem::new(ErrorCode::DeviceRevoked, "the device was removed; enrol it again");
            return effects.push(Effect::Reply(caller, Reply::Refused(problem)));
        }
        if !self.is_open_at(now) {
            let repeated =
                self.transaction.answer.as_ref().is_some_and(|winner| is_same_answer(winner, &answer));
            if repeated {
                return effects.push(Effect::Reply(caller, Reply::Answered(self.transaction.state)));
            }
            return self.refuse_late(caller, now, effects);
        }
        let outcome = answer.decision.outcome();
        let ended = self.changed(now, |transaction| {
            if let Some(delivery) =
                transaction.recipient_mut(&answer.device_id).and_then(|recipient| recipient.delivery.as_mut())
            {
                delivery.status = DeliveryStatus::Fetched;
                delivery.reason = None;
            }
            transaction.answer = Some(Box::new(answer));
            transaction.state = outcome;
        });
        self.end(ended, Cause::Answer(caller), effects);
    }

    /// Past its end nothing is taken; past its deadline it ends now, and the caller is told once that is stored.
    pub(super) fn refuse_late(&mut self, caller: CallerId, now: UnixMs, effects: &mut Vec<Effect>) {
        let problem = match self.phase {
            Phase::Open => {
                let ended = self.changed(now, |transaction| transaction.state = State::Timeout);
                return self.end(ended, Cause::Late(caller), effects);
            }
            Phase::Gone => Problem::not_found(),
            _ => Problem::transaction_final(self.transaction.state),
        };
        effects.push(Effect::Reply(caller, Reply::Refused(problem)));
    }

    /// Somebody saw it past its deadline. A clock that was set back since then has given it time again.
    pub(super) fn judge_overdue(&mut self, caller: CallerId, now: UnixMs, effects: &mut Vec<Effect>) {
        if self.is_open_at(now) {
            let problem = Problem::new(ErrorCode::Busy, "the server's clock was set; ask again");
            return effects.push(Effect::Reply(caller, Reply::Refused(problem)));
        }
        self.refuse_late(caller, now, effects);
    }

    pub(super) fn judge_wrong_try(&mut self, caller: CallerId, now: UnixMs, effects: &mut Vec<Effect>) {
        if !self.is_open_at(now) {
            return self.refuse_late(caller, now, effects);
        }
        let used_before = self.transaction.attempts.used;
        let tried = self.changed(now, |transaction| {
            transaction.attempts.used += 1;
            if transaction.attempts.left() == 0 {
                transaction.state = State::Failed(FailureReason::AttemptsExceeded);
            }
        });
        effects.push(Effect::Attempt { tried: Arc::clone(&tried), used_before });
        self.phase = Phase::Counting { tried, caller };
    }

    pub(super) fn judge_cancel(
        &mut self,
        caller: CallerId,
        by: Option<OperatorName>,
        now: UnixMs,
        effects: &mut Vec<Effect>,
    ) {
        if !self.is_open_at(now) {
            return self.refuse_late(caller, now, effects);
        }
        let ended = self.changed(now, |transaction| {
            transaction.state = State::Cancelled;
            transaction.cancelled_by = by;
        });
        self.end(ended, Cause::Cancel(caller), effects);
    }

    pub(super) fn tell_cause(&self, cause: Cause, effects: &mut Vec<Effect>) {
        match cause {
            Cause::Answer(caller) => {
                effects.push(Effect::Reply(caller, Reply::Answered(self.transaction.state)));
            }
            Cause::Cancel(caller) => {
                effects.push(Effect::Reply(caller, Reply::View(Arc::clone(&self.transaction))));
            }
            Cause::Late(caller) => self.tell_final(caller, effects),
            Cause::Engine => {}
        }
    }

    pub(super) fn tell_final(&self, caller: CallerId, effects: &mut Vec<Effect>) {
        let problem = Problem::transaction_final(self.transaction.state);
        effects.push(Effect::Reply(caller, Reply::Refused(problem)));
    }

    pub(super) fn judge_loser(
        &mut self,
        cause: Cause,
        lost: &Transaction,
        now: UnixMs,
        effects: &mut Vec<Effect>,
    ) {
        match (cause, &lost.answer) {
            (Cause::Answer(caller), Some(answer)) => self.judge_answer(caller, *answer.clone(), now, effects),
            (Cause::Answer(caller), None) => {
                effects.push(Effect::Reply(caller, Reply::Refused(Problem::internal())));
            }
            (Cause::Cancel(caller), _) => {
                self.judge_cancel(caller, lost.cancelled_by.clone(), now, effects);
            }
            (Cause::Late(caller), _) => self.tell_final(caller, effects),
            (Cause::Engine, _) => {}
        }
    }
}

/// Whether an answer repeats the winning one: device and decision; the nonce was checked before, and is one
/// per transaction and device.
fn is_same_answer(winner: &Answer, answer: &Answer) -> bool {
    winner.device_id == answer.device_id && winner.decision == answer.decision
}

const fn caller_of(event: &Event) -> Option<CallerId> {
    match event {
        Event::Started { caller }
        | Event::Viewed { caller }
        | Event::SeenOverdue { caller }
        | Event::Answered { caller, .. }
        | Event::TriedWrong { caller }
        | Event::Cancelled { caller, .. } => Some(*caller),
        Event::SeenBefore { .. }
        | Event::Revived
        | Event::Written(_)
        | Event::ReadBack(_)
        | Event::PushWritten { .. }
        | Event::PushEnded { .. }
        | Event::ProviderDown(_)
        | Event::ProviderUp(_)
        | Event::Fetched { .. }
        | Event::DeviceGone { .. }
        | Event::TimerFired => None,
    }
}

fn too_many_waiting() -> Problem {
    Problem::new(ErrorCode::Busy, "too many calls wait for this transaction")
}
