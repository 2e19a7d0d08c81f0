//! Phones that claim an anonymous transaction for their users: the first one stored stands.

use std::sync::Arc;

use tocsin_model::{ErrorCode, Fatigue, Problem, Transaction, UnixMs};

use super::{Machine, Phase};
use crate::transaction::{CallerId, Claim, Effect, Event, Reply};

impl Machine {
    /// Judges a claim; it counts once it is stored. A claimed one asks its phone alone from then on.
    pub(super) fn judge_claim(
        &mut self,
        caller: CallerId,
        claim: Box<Claim>,
        now: UnixMs,
        effects: &mut Vec<Effect>,
    ) {
        if !self.is_open_at(now) {
            return self.refuse_late(caller, now, effects);
        }
        if !self.transaction.is_unclaimed() {
            let reply = match self.is_claimed_by(&claim) {
                true => Reply::View(Arc::clone(&self.transaction)),
                false => Reply::Refused(otp_used()),
            };
            return effects.push(Effect::Reply(caller, reply));
        }
        let claimed = self.changed(now, |transaction| {
            transaction.user = Some(claim.user.clone());
            transaction.attempts.max = claim.attempts_max;
            transaction.recipients = vec![claim.recipient.clone()];
            if claim.guard != transaction.guard() {
                transaction.seldom_mut().fatigue =
                    Fatigue { guard: claim.guard, replaces: Vec::new() }.kept();
            }
        });
        effects.push(Effect::Claim(Arc::clone(&claimed)));
        self.phase = Phase::Counting { counted: claimed, call: Box::new(Event::Claimed { caller, claim }) };
    }

    fn is_claimed_by(&self, claim: &Claim) -> bool {
        self.transaction.recipient(&claim.recipient.device_id).is_some()
    }

    /// Whether what is about to stand has the user that this machine did not know yet.
    pub(super) fn gains_a_user(&self, stands: &Transaction) -> bool {
        self.transaction.user.is_none() && stands.user.is_some()
    }
}

/// `409 otp_used`: another phone has claimed it, or there was never anything to claim.
pub(crate) fn otp_used() -> Problem {
    Problem::new(ErrorCode::OtpUsed, "another phone has used this one-time password; have a new one shown")
}
