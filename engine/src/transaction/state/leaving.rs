//! Phones that may answer no more: each leaves by a write, so that no restart lets it back in.
//!
//! Who has gone is kept until that write is durable, however often it is refused; the deadline ends it all at last.

use std::sync::Arc;

use tocsin_model::{DeviceId, FailureReason, State, Transaction, UnixMs};

use super::{Cause, Machine, Phase, WRITE_RETRY};
use crate::transaction::{Effect, StoreFailure, WriteOutcome};

/// Phones that have gone and are still in the record. At most as many as it has recipients.
#[derive(Clone, Debug, Default)]
pub(super) struct Leaving {
    phones: Vec<(DeviceId, FailureReason)>,
    /// Whether the last write was refused; the timer tries again.
    is_refused: bool,
}

impl Machine {
    pub(super) fn on_device_gone(&mut self, device_id: DeviceId, reason: FailureReason) {
        let is_known = self.transaction.recipient(&device_id).is_some();
        if !is_known || matches!(self.phase, Phase::Final | Phase::Gone) {
            return;
        }
        let leaving = self.leaving.get_or_insert_default();
        if leaving.phones.iter().all(|(known, _)| *known != device_id) {
            leaving.phones.push((device_id, reason));
        }
    }

    /// Whether this phone was asked and has not gone.
    pub(super) fn may_answer(&self, device_id: &DeviceId) -> bool {
        let is_leaving = |leaving: &Leaving| leaving.phones.iter().any(|(gone, _)| gone == device_id);
        self.transaction.recipient(device_id).is_some() && !self.leaving.as_deref().is_some_and(is_leaving)
    }

    pub(super) fn leaving_is_due(&self) -> bool {
        self.leaving.as_ref().is_some_and(|leaving| !leaving.is_refused)
    }

    pub(super) fn retry_leaving(&mut self) {
        if let Some(leaving) = &mut self.leaving {
            leaving.is_refused = false;
        }
    }

    /// Begins the write that takes them out of the record, or ends it when nobody is left. Past the deadline there
    /// is nothing to leave any more.
    pub(super) fn let_leave(&mut self, now: UnixMs, effects: &mut Vec<Effect>) {
        let Some(leaving) = self.leaving.take() else { return };
        let Some((_, reason)) = leaving.phones.last().copied().filter(|_| self.is_open_at(now)) else {
            return;
        };
        let stays = |device_id: &DeviceId| leaving.phones.iter().all(|(gone, _)| gone != device_id);
        let changed = self.changed(now, |transaction| {
            transaction.recipients.retain(|recipient| stays(&recipient.device_id));
            if transaction.recipients.is_empty() && transaction.code().is_none() {
                // The record of how it ended keeps who was asked.
                transaction.recipients.clone_from(&self.transaction.recipients);
                transaction.state = State::Failed(reason);
            }
        });
        self.leaving = Some(leaving);
        if changed.state.is_final() {
            self.hold_leaving();
            return self.end(changed, Cause::Engine, effects);
        }
        effects.push(Effect::Amend(Arc::clone(&changed)));
        self.phase = Phase::Amending { amended: changed };
    }

    pub(super) fn on_amended(
        &mut self,
        amended: Arc<Transaction>,
        outcome: WriteOutcome,
        now: UnixMs,
        effects: &mut Vec<Effect>,
    ) {
        match outcome {
            WriteOutcome::Stored => {
                let has_new_code = amended.fallback() != self.transaction.fallback();
                self.adopt(amended, effects);
                if has_new_code {
                    return self.begin_fallback(now, effects);
                }
                self.end_if_no_push_is_left(now, effects);
            }
            WriteOutcome::Lost(stands) => self.adopt_standing(stands, now, effects),
            WriteOutcome::Absent => self.vanish(None, effects),
            WriteOutcome::Failed(StoreFailure::Unknown) => {
                self.phase = Phase::Amending { amended };
                effects.push(Effect::ReadBack);
            }
            // The last four are no answers to such a write.
            WriteOutcome::Failed(
                StoreFailure::Refused | StoreFailure::Unavailable | StoreFailure::Stopped,
            )
            | WriteOutcome::DeviceRevoked
            | WriteOutcome::SeenBefore
            | WriteOutcome::Mismatch
            | WriteOutcome::HeldBack(_) => {
                self.hold_leaving();
                effects.push(Effect::ArmTimer(now.plus(WRITE_RETRY)));
            }
        }
    }

    /// The timer decides when it is tried again.
    fn hold_leaving(&mut self) {
        if let Some(leaving) = &mut self.leaving {
            leaving.is_refused = true;
        }
    }

    /// Forgets who has left the record that stands now.
    pub(super) fn prune_leaving(&mut self) {
        let Some(mut leaving) = self.leaving.take() else { return };
        leaving.phones.retain(|(device_id, _)| self.transaction.recipient(device_id).is_some());
        if !leaving.phones.is_empty() && !self.transaction.state.is_final() {
            self.leaving = Some(leaving);
        }
    }
}
