//! Pushes and how far they came, providers that fall, phones that are removed, and the deadline.

use std::sync::Arc;

use tocsin_model::{
    Delivery, DeliveryReason, DeliveryStatus, FailureReason, FallbackReason, ProviderName, State,
    Transaction, UnixMs,
};

use super::{Cause, Machine, Phase, REPEATS_MAX, WRITE_RETRY, is_unfinished, may_repeat};
use crate::protocol::{Addressee, DeliveryOutcome};
use crate::transaction::{Effect, Event};

impl Machine {
    pub(super) fn on_push_ended(
        &mut self,
        addressee: Addressee,
        outcome: DeliveryOutcome,
        now: UnixMs,
        effects: &mut Vec<Effect>,
    ) {
        if let (Addressee::Code(sending), DeliveryOutcome::Failed(reason)) = (addressee, outcome)
            && reason.may_work_elsewhere()
            && self.try_next_gateway(sending, now, effects)
        {
            return;
        }
        let (status, reason) = match outcome {
            DeliveryOutcome::Relayed => (DeliveryStatus::Relayed, None),
            DeliveryOutcome::Failed(reason) => (DeliveryStatus::Failed, Some(reason)),
            DeliveryOutcome::Unknown(reason) => (DeliveryStatus::Unknown, Some(reason)),
        };
        self.on_push(addressee, status, reason, now, effects);
    }

    /// Notes how far a push came. A phone that fetched the challenge has it, whatever the network says later.
    pub(super) fn on_push(
        &mut self,
        addressee: Addressee,
        status: DeliveryStatus,
        reason: Option<DeliveryReason>,
        now: UnixMs,
        effects: &mut Vec<Effect>,
    ) {
        if !self.takes_pushes() {
            return;
        }
        if !self.note_delivery(addressee, status, reason) {
            return;
        }
        effects.push(Effect::Publish(Arc::clone(&self.transaction)));
        // A mark beside a try in flight would carry the old counter; the try's own record carries the mark.
        // `sent` is worth no write: after a restart a push leaves again under the same ids, and a code is unknown, either
        // way.
        if matches!(self.phase, Phase::Open) && status != DeliveryStatus::Sent {
            effects.push(Effect::Mark(Arc::clone(&self.transaction)));
            self.end_if_no_push_is_left(now, effects);
        }
    }

    pub(super) fn note_delivery(
        &mut self,
        addressee: Addressee,
        status: DeliveryStatus,
        reason: Option<DeliveryReason>,
    ) -> bool {
        let advance = |transaction: &mut Transaction| {
            let Some(delivery) = delivery_to(transaction, addressee) else { return false };
            // A sending of a code is never repeated, so nothing comes after its failure.
            let is_over =
                matches!(addressee, Addressee::Code(_)) && delivery.status == DeliveryStatus::Failed;
            if is_over || !is_news(delivery.status, status, reason) {
                return false;
            }
            delivery.status = status;
            delivery.reason = reason;
            transaction.revision += 1;
            true
        };
        let noted = advance(Arc::make_mut(&mut self.transaction));
        if let Phase::Counting { counted: written, .. } | Phase::Amending { amended: written } =
            &mut self.phase
        {
            advance(Arc::make_mut(written));
        }
        noted
    }

    /// Takes the fallback when all that the present method sent has failed, and ends it when nothing is left.
    pub(super) fn end_if_no_push_is_left(&mut self, now: UnixMs, effects: &mut Vec<Effect>) {
        if !self.is_open_at(now) {
            return;
        }
        let is_unavailable =
            |delivery: &Delivery| delivery.reason.is_some_and(DeliveryReason::is_unavailable);
        if self.transaction.needs_fallback() {
            let reason = match self.transaction.present_deliveries().any(is_unavailable) {
                true => FallbackReason::ProviderUnavailable,
                false => FallbackReason::ProviderRejected,
            };
            return self.fall_back(reason, now, effects);
        }
        if !self.transaction.has_lost_every_push() {
            return;
        }
        let reason = match self.transaction.deliveries().any(is_unavailable) {
            true => FailureReason::ProviderUnavailable,
            false => FailureReason::ProviderRejected,
        };
        let ended = self.changed(now, |transaction| transaction.state = State::Failed(reason));
        self.end(ended, Cause::Engine, effects);
    }

    /// What was in the provider's hands may or may not have left the house.
    pub(super) fn on_provider_down(&mut self, provider: &ProviderName, effects: &mut Vec<Effect>) {
        let in_hand: Vec<Addressee> = self.addressees_of_provider(provider, is_unfinished);
        let mut noted = false;
        for addressee in in_hand {
            noted |= self.note_delivery(addressee, DeliveryStatus::Unknown, Some(DeliveryReason::Cut));
        }
        if noted && !self.transaction.state.is_final() {
            effects.push(Effect::Publish(Arc::clone(&self.transaction)));
        }
    }

    /// Repeats, under the same ids and at most once, what was cut when the provider broke down.
    pub(super) fn on_provider_up(&mut self, provider: &ProviderName, now: UnixMs, effects: &mut Vec<Effect>) {
        if self.takes_pushes() && self.is_writing() {
            // Judged again when the write has ended; a provider that comes back twice meanwhile counts once.
            let event = Event::ProviderUp(provider.clone());
            let is_known = self.waiting.as_ref().is_some_and(|waiting| waiting.events.contains(&event));
            if !is_known {
                // With no room the push stays unknown.
                let _ = self.let_wait(event);
            }
            return;
        }
        if !self.is_open_at(now) || self.repeats >= REPEATS_MAX {
            return;
        }
        let mut cut = self.addressees_of_provider(provider, |status| status == DeliveryStatus::Unknown);
        cut.retain(may_repeat);
        if !cut.is_empty() {
            self.repeats += 1;
            effects.extend(cut.into_iter().map(Effect::Push));
        }
    }

    /// Whether news of pushes counts: it is stored and not about to end.
    pub(super) fn takes_pushes(&self) -> bool {
        match &self.phase {
            Phase::Open | Phase::Amending { .. } => true,
            Phase::Counting { counted, .. } => !counted.state.is_final(),
            Phase::New | Phase::Creating { .. } | Phase::Ending { .. } | Phase::Final | Phase::Gone => false,
        }
    }

    fn addressees_of_provider(
        &self,
        provider: &ProviderName,
        chosen: impl Fn(DeliveryStatus) -> bool + Copy,
    ) -> Vec<Addressee> {
        if !self.takes_pushes() {
            return Vec::new();
        }
        let by_provider = |addressee: &Addressee| {
            let delivery = match addressee {
                Addressee::Phone(device_id) => {
                    self.transaction.recipient(device_id).and_then(|found| found.delivery.as_ref())
                }
                Addressee::Code(_) => self.transaction.code().and_then(|code| code.delivery.as_ref()),
            };
            delivery.is_some_and(|delivery| delivery.provider == *provider)
        };
        self.addressees_whose_push(chosen).filter(by_provider).collect()
    }

    pub(super) fn on_timer(&mut self, now: UnixMs, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Open if now < self.transaction.expires_at => {
                // The timer is also what retries a write of our own that was refused.
                self.retry_leaving();
                if self.is_silent_too_long(now) {
                    effects.push(Effect::ArmTimer(self.transaction.expires_at));
                    self.fall_back(FallbackReason::NoAnswer, now, effects);
                } else {
                    effects.push(Effect::ArmTimer(self.alarm()));
                    self.end_if_no_push_is_left(now, effects);
                }
            }
            Phase::Open => {
                let ended = self.changed(now, |transaction| transaction.state = State::Timeout);
                self.end(ended, Cause::Engine, effects);
            }
            Phase::Creating { .. }
            | Phase::Counting { .. }
            | Phase::Amending { .. }
            | Phase::Ending { .. } => {
                effects.push(Effect::ArmTimer(now.plus(WRITE_RETRY)));
            }
            Phase::New | Phase::Final | Phase::Gone => {}
        }
    }

    pub(super) fn end(&mut self, ended: Arc<Transaction>, cause: Cause, effects: &mut Vec<Effect>) {
        effects.push(Effect::End(Arc::clone(&ended)));
        self.phase = Phase::Ending { ended, cause };
    }

    /// The next revision of the record; when the change makes it final, `now` is its end.
    pub(super) fn changed(&self, now: UnixMs, change: impl FnOnce(&mut Transaction)) -> Arc<Transaction> {
        let mut next = Transaction::clone(&self.transaction);
        change(&mut next);
        next.revision += 1;
        if next.state.is_final() {
            next.ended_at = Some(now);
        }
        Arc::new(next)
    }

    pub(super) fn is_open_at(&self, now: UnixMs) -> bool {
        matches!(self.phase, Phase::Open) && now < self.transaction.expires_at
    }
}

/// How far what was sent to `addressee` came, to be changed; `None` for another sending of the code than the last one.
pub(super) fn delivery_to(transaction: &mut Transaction, addressee: Addressee) -> Option<&mut Delivery> {
    match addressee {
        Addressee::Phone(device_id) => {
            transaction.recipient_mut(&device_id).and_then(|found| found.delivery.as_mut())
        }
        Addressee::Code(sending) if transaction.sending() == Some(sending) => {
            transaction.code_mut().and_then(|code| code.delivery.as_mut())
        }
        Addressee::Code(_) => None,
    }
}

/// Whether a word about a push changes what is known. A phone that fetched the challenge has it, whatever the
/// network says later; and a push that may have arrived stays so when its repetition could not be sent.
fn is_news(known: DeliveryStatus, status: DeliveryStatus, reason: Option<DeliveryReason>) -> bool {
    match (known, status) {
        (DeliveryStatus::Fetched, _) => false,
        // What the network has taken is with it, even if a repetition could not be sent.
        (
            DeliveryStatus::Relayed,
            DeliveryStatus::Failed | DeliveryStatus::Unknown | DeliveryStatus::Sent,
        ) => false,
        (DeliveryStatus::Unknown, DeliveryStatus::Sent) => false,
        (DeliveryStatus::Unknown, DeliveryStatus::Failed) => {
            !reason.is_some_and(DeliveryReason::is_unavailable)
        }
        (_, _) => known != status,
    }
}
