//! Codes: tries of them, the gateways that send them, and the step from a method to its fallback.

use std::sync::Arc;

use tocsin_model::{
    Delivery, DeliveryReason, DeliveryStatus, FailureReason, FallbackReason, ProviderName, Sending, State,
    Transaction, UnixMs,
};

use super::{Cause, Machine, Phase, is_unfinished};
use crate::protocol::Addressee;
use crate::transaction::{CallerId, Effect, Event, Reply};

impl Machine {
    pub(super) fn judge_wrong_try(&mut self, caller: CallerId, now: UnixMs, effects: &mut Vec<Effect>) {
        if !self.is_open_at(now) {
            return self.refuse_late(caller, now, effects);
        }
        let used_before = self.transaction.attempts.used;
        let tried = self.changed(now, |transaction| {
            transaction.attempts.used += 1;
            let is_over = match transaction.code_mut() {
                Some(code) => {
                    code.attempts.used += 1;
                    code.is_exhausted()
                }
                None => transaction.attempts.left() == 0,
            };
            transaction.drop_used_up_fallbacks();
            if is_over {
                transaction.state = State::Failed(FailureReason::AttemptsExceeded);
            }
        });
        effects.push(Effect::Attempt { tried: Arc::clone(&tried), used_before });
        self.phase = Phase::Counting { counted: tried, call: Box::new(Event::TriedWrong { caller }) };
    }

    /// The right code ends it; the right code again is told the same.
    pub(super) fn judge_right_code(&mut self, caller: CallerId, now: UnixMs, effects: &mut Vec<Effect>) {
        if !self.is_open_at(now) {
            let was_right = self.transaction.code().is_some_and(|code| code.verified_at.is_some());
            if was_right && self.transaction.state == State::Accepted {
                return effects.push(Effect::Reply(caller, Reply::View(Arc::clone(&self.transaction))));
            }
            return self.refuse_late(caller, now, effects);
        }
        let ended = self.changed(now, |transaction| {
            transaction.attempts.used += 1;
            if let Some(code) = transaction.code_mut() {
                code.attempts.used += 1;
                code.verified_at = Some(now);
                if let Some(delivery) = &mut code.delivery {
                    // Whatever the network said of it, the user has read it.
                    delivery.status = DeliveryStatus::Fetched;
                    delivery.reason = None;
                }
            }
            transaction.state = State::Accepted;
        });
        self.end(ended, Cause::Code(caller), effects);
    }

    /// Keeps a word of the present sending until the write in flight has ended. There is one such word at most.
    pub(super) fn keep_word_of(&mut self, sending: Sending, event: Event) {
        if self.transaction.sending() == Some(sending) {
            // Beyond the bound of the others: it must not be lost.
            self.waiting.get_or_insert_default().events.push_back(event);
        }
    }

    /// Sends the code by the next gateway, if there is one and time; answers whether it does. A gateway that has
    /// failed surely sent nothing, so this is no second message.
    pub(super) fn try_next_gateway(
        &mut self,
        failed: Sending,
        now: UnixMs,
        effects: &mut Vec<Effect>,
    ) -> bool {
        if !self.is_open_at(now) || self.transaction.sending() != Some(failed) {
            return false;
        }
        let present = self.transaction.code().and_then(|code| code.delivery.as_ref());
        let is_awaited = present.is_some_and(|delivery| is_unfinished(delivery.status));
        let next = self.transaction.code().and_then(|code| code.next_gateway()).cloned();
        let Some(next) = next.filter(|_| is_awaited) else { return false };
        let transaction = Arc::make_mut(&mut self.transaction);
        queue_code_by(transaction, next);
        transaction.revision += 1;
        effects.push(Effect::Publish(Arc::clone(&self.transaction)));
        effects.push(Effect::Mark(Arc::clone(&self.transaction)));
        effects.extend(self.transaction.sending().map(Addressee::Code).map(Effect::Push));
        true
    }

    /// The gateway says that a message did not arrive, perhaps before it has answered us: the next one is to send, once
    /// that is stored. A code that the user has typed and a sending that another one followed are not touched.
    pub(super) fn judge_undelivered(
        &mut self,
        caller: CallerId,
        sending: Sending,
        reason: DeliveryReason,
        now: UnixMs,
        effects: &mut Vec<Effect>,
    ) {
        let is_meant = self.is_open_at(now) && self.transaction.sending() == Some(sending);
        let code = self.transaction.code().filter(|code| {
            let is_over = |delivery: &Delivery| {
                matches!(delivery.status, DeliveryStatus::Fetched | DeliveryStatus::Failed)
            };
            is_meant && !code.delivery.as_ref().is_none_or(is_over)
        });
        let Some(code) = code else { return effects.push(Effect::Reply(caller, self.view())) };
        if let Some(next) = code.next_gateway().filter(|_| reason.may_work_elsewhere()).cloned() {
            let counted = self.changed(now, |transaction| queue_code_by(transaction, next));
            effects.push(Effect::Amend(Arc::clone(&counted)));
            let call = Box::new(Event::Undelivered { caller, sending, reason });
            self.phase = Phase::Counting { counted, call };
            return;
        }
        let transaction = Arc::make_mut(&mut self.transaction);
        if let Some(delivery) = transaction.code_mut().and_then(|code| code.delivery.as_mut()) {
            delivery.status = DeliveryStatus::Failed;
            delivery.reason = Some(reason);
        }
        transaction.revision += 1;
        effects.push(Effect::Publish(Arc::clone(&self.transaction)));
        effects.push(Effect::Mark(Arc::clone(&self.transaction)));
        effects.push(Effect::Reply(caller, self.view()));
        self.end_if_no_push_is_left(now, effects);
    }

    /// What is stored now calls for one more message: it leaves if the rules let it.
    pub(super) fn send_if_admitted(&self, now: UnixMs, effects: &mut Vec<Effect>) {
        if self.is_open_at(now) {
            effects.extend(self.transaction.sending().map(Effect::SendIfAdmitted));
        }
    }

    /// Begins the write that takes the fallback, if there is one.
    pub(super) fn fall_back(&mut self, reason: FallbackReason, now: UnixMs, effects: &mut Vec<Effect>) {
        if self.transaction.plan().is_none() || !self.is_open_at(now) {
            return;
        }
        let amended = self.changed(now, |transaction| transaction.fall_back(reason, now));
        effects.push(Effect::Amend(Arc::clone(&amended)));
        self.phase = Phase::Amending { amended };
    }

    /// The fallback is stored: its code leaves.
    pub(super) fn begin_fallback(&mut self, now: UnixMs, effects: &mut Vec<Effect>) {
        if self.transaction.state.is_final() {
            return;
        }
        effects.push(Effect::CountFallback);
        effects.push(Effect::ArmTimer(self.alarm()));
        self.send_if_admitted(now, effects);
    }

    /// When the timer is to fire next.
    pub(super) fn alarm(&self) -> UnixMs {
        let expires_at = self.transaction.expires_at;
        let due_at = self.transaction.plan().and_then(|plan| plan.due_at);
        due_at.map_or(expires_at, |due_at| due_at.min(expires_at))
    }

    pub(super) fn is_silent_too_long(&self, now: UnixMs) -> bool {
        self.transaction.plan().and_then(|plan| plan.due_at).is_some_and(|due_at| now >= due_at)
    }
}

/// The same code once more, by the first gateway again.
pub(super) fn queue_code_again(transaction: &mut Transaction) {
    if let Some(first) = transaction.code().and_then(|code| code.gateways.first()).cloned() {
        queue_code_by(transaction, first);
    }
}

fn queue_code_by(transaction: &mut Transaction, provider: ProviderName) {
    if let Some(code) = transaction.code_mut() {
        code.delivery = Some(Delivery { provider, status: DeliveryStatus::Queued, reason: None });
    }
}
