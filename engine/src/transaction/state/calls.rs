//! Calls of portals and phones: judged when no write is in flight, else when it has ended.

use std::sync::Arc;

use tocsin_model::{
    Answer, DeliveryStatus, DeviceId, DeviceStatus, DurationMs, ErrorCode, FailureReason, Idempotency,
    KeyUse, OperatorName, Problem, State, Transaction, UnixMs,
};

use super::codes::queue_code_again;
use super::{Cause, Machine, Phase, is_unfinished};
use crate::protocol::Addressee;
use crate::transaction::{CallerId, Effect, Event, Reply};

impl Machine {
    /// Judges a call now, or keeps it until the write in flight has ended.
    pub(super) fn on_call(&mut self, event: Event, now: UnixMs, effects: &mut Vec<Effect>) {
        if !self.is_writing() {
            return self.judge(event, now, effects);
        }
        if let Err(event) = self.let_wait(event)
            && let Some(caller) = caller_of(&event)
        {
            effects.push(Effect::Reply(caller, Reply::Refused(too_many_waiting())));
        }
    }

    pub(super) fn judge(&mut self, event: Event, now: UnixMs, effects: &mut Vec<Effect>) {
        match event {
            Event::Answered { caller, answer, wrong_number } => {
                self.judge_answer(caller, *answer, wrong_number, now, effects);
            }
            Event::TriedWrong { caller } => self.judge_wrong_try(caller, now, effects),
            Event::CodeVerified { caller } => self.judge_right_code(caller, now, effects),
            Event::PinTried { caller, device_id, exhausted } => {
                self.judge_pin_try(caller, device_id, exhausted, now, effects);
            }
            Event::Claimed { caller, claim } => self.judge_claim(caller, claim, now, effects),
            Event::Resent { caller, gap, idempotency } => {
                self.judge_resend(caller, gap, idempotency, now, effects);
            }
            Event::Undelivered { caller, sending, reason } => {
                self.judge_undelivered(caller, sending, reason, now, effects);
            }
            Event::Cancelled { caller, by } => self.judge_cancel(caller, by, now, effects),
            Event::SeenOverdue { caller } => self.judge_overdue(caller, now, effects),
            other => debug_assert!(false, "not a call: {other:?}"),
        }
    }

    pub(super) fn judge_answer(
        &mut self,
        caller: CallerId,
        answer: Answer,
        wrong_number: bool,
        now: UnixMs,
        effects: &mut Vec<Effect>,
    ) {
        if self.is_open_at(now) && !self.may_answer(&answer.device_id) {
            // It was removed while its answer was on the way here.
            return effects.push(Effect::Reply(caller, Reply::Refused(device_removed())));
        }
        if !self.is_open_at(now) {
            let repeated =
                self.transaction.answer.as_ref().is_some_and(|winner| is_same_answer(winner, &answer));
            if repeated {
                return effects.push(Effect::Reply(caller, Reply::Answered(self.transaction.state)));
            }
            return self.refuse_late(caller, now, effects);
        }
        let outcome =
            if wrong_number { State::Failed(FailureReason::WrongNumber) } else { answer.decision.outcome() };
        let ended = self.changed(now, |transaction| {
            if let Some(delivery) =
                transaction.recipient_mut(&answer.device_id).and_then(|recipient| recipient.delivery.as_mut())
            {
                delivery.status = DeliveryStatus::Fetched;
                delivery.reason = None;
            }
            // A right PIN is a try too; only a wrong one takes one away, and that is counted on the phone.
            transaction.attempts.used += u32::from(answer.key_use == KeyUse::Pin);
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

    /// Notes a wrong PIN on this transaction. A phone that was removed by it can answer no more.
    fn judge_pin_try(
        &mut self,
        caller: CallerId,
        device_id: DeviceId,
        exhausted: bool,
        now: UnixMs,
        effects: &mut Vec<Effect>,
    ) {
        if !self.is_open_at(now) {
            return self.refuse_late(caller, now, effects);
        }
        let used_before = self.transaction.attempts.used;
        let tried = self.changed(now, |transaction| {
            transaction.attempts.used += 1;
            if exhausted {
                transaction.recipients.retain(|recipient| recipient.device_id != device_id);
                if transaction.recipients.is_empty() && transaction.code().is_none() {
                    transaction.recipients.clone_from(&self.transaction.recipients);
                    transaction.state = State::Failed(FailureReason::AttemptsExceeded);
                }
            }
        });
        effects.push(Effect::Attempt { tried: Arc::clone(&tried), used_before });
        let call = Box::new(Event::PinTried { caller, device_id, exhausted });
        self.phase = Phase::Counting { counted: tried, call };
    }

    /// Counts a repeated push; it leaves once that is stored.
    fn judge_resend(
        &mut self,
        caller: CallerId,
        gap: DurationMs,
        idempotency: Option<Box<Idempotency>>,
        now: UnixMs,
        effects: &mut Vec<Effect>,
    ) {
        if !self.is_open_at(now) {
            return self.refuse_late(caller, now, effects);
        }
        if let Err(problem) = self.check_resend(gap, now) {
            return effects.push(Effect::Reply(caller, Reply::Refused(problem)));
        }
        let used_before = self.transaction.resends.used;
        let resent = self.changed(now, |transaction| {
            transaction.resends.used += 1;
            transaction.seldom_mut().resent_at = Some(now);
            if transaction.method.sends_code() {
                return queue_code_again(transaction);
            }
            let deliveries = transaction.recipients.iter_mut().filter_map(|found| found.delivery.as_mut());
            for delivery in deliveries.filter(|delivery| delivery.status == DeliveryStatus::Failed) {
                delivery.status = DeliveryStatus::Queued;
                delivery.reason = None;
            }
        });
        let call = Box::new(Event::Resent { caller, gap, idempotency: idempotency.clone() });
        effects.push(Effect::Resend { resent: Arc::clone(&resent), used_before, idempotency });
        self.phase = Phase::Counting { counted: resent, call };
    }

    fn check_resend(&self, gap: DurationMs, now: UnixMs) -> Result<(), Problem> {
        let sends_code = self.transaction.method.sends_code();
        let is_sent = match sends_code {
            true => self.transaction.code().is_some_and(|code| !code.is_custom()),
            false => self.phones_whose_push(|_| true).next().is_some(),
        };
        if !is_sent {
            let detail = "nothing was sent for this transaction, so nothing can be sent again";
            return Err(Problem::new(ErrorCode::InvalidField, detail).with_field("id"));
        }
        if self.transaction.resends.left() == 0 {
            let detail = "it was repeated as often as the type allows";
            return Err(Problem::new(ErrorCode::ResendLimit, detail));
        }
        let wait = self.transaction.last_push_at().plus(gap).since(now);
        if wait.get() > 0 {
            let detail = "the last one left a moment ago";
            return Err(Problem::new(ErrorCode::RateLimited, detail).with_retry_after(wait));
        }
        let is_addressed = |addressee: &Addressee| matches!(addressee, Addressee::Code(_)) == sends_code;
        if !self.addressees_whose_push(|status| !is_unfinished(status)).any(|found| is_addressed(&found)) {
            let detail = "the last one is still on its way to the network";
            return Err(Problem::new(ErrorCode::RateLimited, detail));
        }
        Ok(())
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
            if by.is_some() {
                transaction.seldom_mut().cancelled_by = by;
            }
        });
        self.end(ended, Cause::Cancel(caller), effects);
    }

    pub(super) fn tell_cause(&self, cause: Cause, effects: &mut Vec<Effect>) {
        match cause {
            Cause::Answer(caller) => {
                effects.push(Effect::Reply(caller, Reply::Answered(self.transaction.state)));
            }
            Cause::Cancel(caller) | Cause::Code(caller) => {
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
            (Cause::Answer(caller), Some(answer)) => {
                let wrong_number = lost.state == State::Failed(FailureReason::WrongNumber);
                self.judge_answer(caller, *answer.clone(), wrong_number, now, effects);
            }
            (Cause::Answer(caller), None) => {
                effects.push(Effect::Reply(caller, Reply::Refused(Problem::internal())));
            }
            (Cause::Cancel(caller), _) => {
                self.judge_cancel(caller, lost.cancelled_by().cloned(), now, effects);
            }
            (Cause::Code(caller), _) => self.judge_right_code(caller, now, effects),
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

pub(super) const fn caller_of(event: &Event) -> Option<CallerId> {
    match event {
        Event::Started { caller }
        | Event::Viewed { caller }
        | Event::SeenOverdue { caller }
        | Event::Answered { caller, .. }
        | Event::TriedWrong { caller }
        | Event::CodeVerified { caller }
        | Event::PinTried { caller, .. }
        | Event::Claimed { caller, .. }
        | Event::Resent { caller, .. }
        | Event::Undelivered { caller, .. }
        | Event::Cancelled { caller, .. } => Some(*caller),
        Event::SeenBefore { .. }
        | Event::Locked(_)
        | Event::Revived
        | Event::Written(_)
        | Event::ReadBack(_)
        | Event::PushWritten { .. }
        | Event::PushEnded { .. }
        | Event::HeldBack { .. }
        | Event::ProviderDown(_)
        | Event::ProviderUp(_)
        | Event::Fetched { .. }
        | Event::DeviceGone { .. }
        | Event::EndedElsewhere(_)
        | Event::TimerFired => None,
    }
}

pub(super) fn device_removed() -> Problem {
    Problem::new(ErrorCode::DeviceRevoked, "the device was removed; enrol it again")
        .with_device_status(DeviceStatus::Revoked)
}

fn too_many_waiting() -> Problem {
    Problem::new(ErrorCode::Busy, "too many calls wait for this transaction")
}
