//! Codes: tries of them, the gateways that send them, and the step from a method to its fallback.

use std::sync::Arc;

use tocsin_model::{
    Delivery, DeliveryReason, DeliveryStatus, FailureReason, FallbackReason, ProviderName, State,
    Transaction, UnixMs,
};

use super::{Cause, Machine, Phase, is_unfinished};
use crate::protocol::{Addressee, DeliveryOutcome};
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

    /// Sends the code by the next gateway, if there is one and time; answers whether it does. A gateway that has
    /// failed surely sent nothing, so this is no second message.
    pub(super) fn try_next_gateway(&mut self, now: UnixMs, effects: &mut Vec<Effect>) -> bool {
        if !self.takes_pushes() || now >= self.transaction.expires_at {
            return false;
        }
        let present = self.transaction.code().and_then(|code| code.delivery.as_ref());
        let is_awaited = present.is_some_and(|delivery| is_unfinished(delivery.status));
        let next = self.transaction.code().and_then(|code| code.next_gateway()).cloned();
        let Some(next) = next.filter(|_| is_awaited) else { return false };
        let advance = |transaction: &mut Transaction| {
            if let Some(code) = transaction.code_mut() {
                code.delivery = Some(queued(next.clone()));
                transaction.revision += 1;
            }
        };
        advance(Arc::make_mut(&mut self.transaction));
        if let Phase::Counting { counted: written, .. } | Phase::Amending { amended: written } =
            &mut self.phase
        {
            advance(Arc::make_mut(written));
        }
        effects.push(Effect::Publish(Arc::clone(&self.transaction)));
        if matches!(self.phase, Phase::Open) {
            effects.push(Effect::Mark(Arc::clone(&self.transaction)));
        }
        effects.push(Effect::Push(Addressee::Code));
        true
    }

    /// The gateway that took the message says that it did not arrive: as if it had failed at once. A code that the user
    /// has typed, a gateway that was left meanwhile and a message that is still being handed over are not touched.
    pub(super) fn on_undelivered(
        &mut self,
        provider: &ProviderName,
        reason: DeliveryReason,
        now: UnixMs,
        effects: &mut Vec<Effect>,
    ) {
        let is_with = |delivery: &Delivery| {
            delivery.provider == *provider
                && matches!(delivery.status, DeliveryStatus::Relayed | DeliveryStatus::Unknown)
        };
        let present = self.transaction.code().and_then(|code| code.delivery.as_ref());
        if !self.takes_pushes() || !present.is_some_and(is_with) {
            return;
        }
        let doubt = |transaction: &mut Transaction| {
            if let Some(delivery) = transaction.code_mut().and_then(|code| code.delivery.as_mut()) {
                delivery.status = DeliveryStatus::Sent;
            }
        };
        doubt(Arc::make_mut(&mut self.transaction));
        if let Phase::Counting { counted: written, .. } | Phase::Amending { amended: written } =
            &mut self.phase
        {
            doubt(Arc::make_mut(written));
        }
        self.on_push_ended(Addressee::Code, DeliveryOutcome::Failed(reason), now, effects);
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
        if self.is_open_at(now) {
            effects.push(Effect::Push(Addressee::Code));
        }
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
    if let Some(code) = transaction.code_mut()
        && let Some(first) = code.gateways.first().cloned()
    {
        code.delivery = Some(queued(first));
    }
}

const fn queued(provider: ProviderName) -> Delivery {
    Delivery { provider, status: DeliveryStatus::Queued, reason: None }
}
