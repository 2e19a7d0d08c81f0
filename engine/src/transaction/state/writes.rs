//! How the one write in flight ended, and what stands then.
//!
//! Whoever caused the write is told here and nowhere else, so that nobody is told before it is durable.

use std::sync::Arc;

use tocsin_model::{ErrorCode, Problem, Transaction, UnixMs};

use super::calls::{caller_of, device_removed};
use super::{Cause, Machine, Phase, WRITE_RETRY, idempotency_mismatch, is_unfinished};
use crate::protocol::Addressee;
use crate::transaction::{CallerId, Effect, Event, Reply, StoreFailure, WriteOutcome};

impl Machine {
    pub(super) fn on_written(&mut self, outcome: WriteOutcome, now: UnixMs, effects: &mut Vec<Effect>) {
        match std::mem::replace(&mut self.phase, Phase::Open) {
            Phase::Creating { caller } => self.on_created(caller, outcome, now, effects),
            Phase::Counting { counted, call } => self.on_counted(counted, call, outcome, now, effects),
            Phase::Amending { amended } => self.on_amended(amended, outcome, now, effects),
            Phase::Ending { ended, cause } => self.on_ended(ended, cause, outcome, now, effects),
            // An answer to a write that was given up is no news.
            other @ (Phase::New | Phase::Open | Phase::Final | Phase::Gone) => self.phase = other,
        }
    }

    pub(super) fn on_created(
        &mut self,
        caller: CallerId,
        outcome: WriteOutcome,
        now: UnixMs,
        effects: &mut Vec<Effect>,
    ) {
        match outcome {
            WriteOutcome::Stored => {
                self.open(effects);
                if now < self.transaction.expires_at {
                    effects.extend(self.addressees_whose_push(is_unfinished).map(Effect::Push));
                }
                effects.push(Effect::Reply(caller, Reply::View(Arc::clone(&self.transaction))));
            }
            WriteOutcome::Failed(StoreFailure::Unknown) => {
                self.phase = Phase::Creating { caller };
                effects.push(Effect::ReadBack);
            }
            WriteOutcome::Lost(_)
            | WriteOutcome::Absent
            | WriteOutcome::DeviceRevoked
            | WriteOutcome::SeenBefore
            | WriteOutcome::Mismatch
            | WriteOutcome::HeldBack(_) => {
                self.phase = Phase::Creating { caller };
                self.give_up(Reply::Refused(Problem::internal()), effects);
            }
            WriteOutcome::Failed(failure) => {
                self.phase = Phase::Creating { caller };
                self.give_up(Reply::Refused(store_problem(failure)), effects);
            }
        }
    }

    pub(super) fn on_counted(
        &mut self,
        counted: Arc<Transaction>,
        call: Box<Event>,
        outcome: WriteOutcome,
        now: UnixMs,
        effects: &mut Vec<Effect>,
    ) {
        match outcome {
            WriteOutcome::Stored => self.adopt_counted(counted, &call, now, effects),
            WriteOutcome::Lost(stands) => {
                self.adopt_standing(stands, now, effects);
                self.on_call(*call, now, effects);
            }
            WriteOutcome::SeenBefore => self.tell(&call, Reply::View(Arc::clone(&self.transaction)), effects),
            WriteOutcome::Mismatch => self.tell(&call, Reply::Refused(idempotency_mismatch()), effects),
            WriteOutcome::HeldBack(problem) => self.tell(&call, Reply::Refused(*problem), effects),
            WriteOutcome::Absent => self.vanish(caller_of(&call), effects),
            WriteOutcome::Failed(StoreFailure::Unknown) => {
                self.phase = Phase::Counting { counted, call };
                effects.push(Effect::ReadBack);
            }
            WriteOutcome::Failed(failure) => {
                self.tell(&call, Reply::Refused(store_problem(failure)), effects);
            }
            // Only a claim is judged by its phone.
            WriteOutcome::DeviceRevoked => self.tell(&call, Reply::Refused(device_removed()), effects),
        }
    }

    /// What was counted is durable: its caller is told, and a push that is to be repeated leaves.
    fn adopt_counted(
        &mut self,
        counted: Arc<Transaction>,
        call: &Event,
        now: UnixMs,
        effects: &mut Vec<Effect>,
    ) {
        let again: Vec<Addressee> = match call {
            Event::Resent { .. } if counted.method.sends_code() => {
                counted.sending().map(Addressee::Code).into_iter().collect()
            }
            Event::Resent { .. } => {
                self.phones_whose_push(|status| !is_unfinished(status)).map(Addressee::Phone).collect()
            }
            _ => Vec::new(),
        };
        // Whoever is told of a claim may rely on it that it stands among its user's.
        self.adopt(counted, effects);
        let counted = &self.transaction;
        let reply = match call {
            Event::Resent { .. } | Event::Undelivered { .. } | Event::Claimed { .. } => {
                Reply::View(Arc::clone(counted))
            }
            Event::TriedWrong { .. } => {
                Reply::TriesLeft(counted.code().map_or(counted.attempts, |code| code.attempts).left())
            }
            _ => Reply::TriesLeft(counted.attempts.left()),
        };
        self.tell(call, reply, effects);
        if !again.is_empty() && self.is_open_at(now) {
            return effects.extend(again.into_iter().map(Effect::Push));
        }
        if matches!(call, Event::Undelivered { .. }) {
            return self.send_if_admitted(now, effects);
        }
        // A push may have failed meanwhile, or its phone may have been removed by its last try.
        self.end_if_no_push_is_left(now, effects);
    }

    fn tell(&self, call: &Event, reply: Reply, effects: &mut Vec<Effect>) {
        if let Some(caller) = caller_of(call) {
            effects.push(Effect::Reply(caller, reply));
        }
    }

    pub(super) fn on_ended(
        &mut self,
        ended: Arc<Transaction>,
        cause: Cause,
        outcome: WriteOutcome,
        now: UnixMs,
        effects: &mut Vec<Effect>,
    ) {
        match outcome {
            WriteOutcome::Stored => {
                self.adopt(ended, effects);
                self.tell_cause(cause, effects);
            }
            WriteOutcome::Lost(stands) => {
                self.adopt(Arc::from(stands), effects);
                self.judge_loser(cause, &ended, now, effects);
            }
            // The word that the phone is gone comes by itself, and ends it where no other phone is left.
            WriteOutcome::DeviceRevoked => {
                if let Some(caller) = cause.caller() {
                    effects.push(Effect::Reply(caller, Reply::Refused(device_removed())));
                }
            }
            WriteOutcome::SeenBefore | WriteOutcome::Mismatch | WriteOutcome::HeldBack(_) => {
                self.on_end_refused(cause, StoreFailure::Unavailable, now, effects);
            }
            WriteOutcome::Absent => self.vanish(cause.caller(), effects),
            WriteOutcome::Failed(StoreFailure::Unknown) => {
                self.phase = Phase::Ending { ended, cause };
                effects.push(Effect::ReadBack);
            }
            WriteOutcome::Failed(failure) => self.on_end_refused(cause, failure, now, effects),
        }
    }

    /// The final state is not stored: its caller may come again, and the engine's own one is retried.
    pub(super) fn on_end_refused(
        &mut self,
        cause: Cause,
        failure: StoreFailure,
        now: UnixMs,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(caller) = cause.caller() {
            effects.push(Effect::Reply(caller, Reply::Refused(store_problem(failure))));
        }
        let again = match cause {
            Cause::Engine => now.plus(WRITE_RETRY),
            Cause::Answer(_) | Cause::Cancel(_) | Cause::Code(_) | Cause::Late(_) => {
                self.alarm().max(now.plus(WRITE_RETRY))
            }
        };
        effects.push(Effect::ArmTimer(again));
    }

    /// The write's answer was lost; what is stored now decides.
    pub(super) fn on_read_back(
        &mut self,
        record: Option<Box<Transaction>>,
        now: UnixMs,
        effects: &mut Vec<Effect>,
    ) {
        let outcome = match (&self.phase, record) {
            (Phase::Creating { .. }, Some(_)) => WriteOutcome::Stored,
            (Phase::Creating { .. }, None) => WriteOutcome::Failed(StoreFailure::Refused),
            (Phase::Counting { counted, .. }, Some(stands)) => self.found(counted, stands),
            (Phase::Amending { amended }, Some(stands)) => self.found(amended, stands),
            (Phase::Ending { ended, .. }, Some(stands)) => self.found(ended, stands),
            (Phase::Counting { .. } | Phase::Amending { .. } | Phase::Ending { .. }, None) => {
                WriteOutcome::Absent
            }
            (Phase::New | Phase::Open | Phase::Final | Phase::Gone, _) => return,
        };
        self.on_written(outcome, now, effects);
    }

    /// The storage says that it has ended. A write in flight was stored before, or loses; it is judged behind that. Where
    /// its end is known already, the record has lost what told of an erased user.
    pub(super) fn on_ended_elsewhere(&mut self, record: Box<Transaction>, effects: &mut Vec<Effect>) {
        if !record.state.is_final() {
            return;
        }
        if self.is_writing() {
            // With no room it is found out by the next write, at the deadline at the latest.
            let _ = self.let_wait(Event::EndedElsewhere(record));
        } else if matches!(self.phase, Phase::Open) {
            self.adopt(Arc::from(record), effects);
        } else if matches!(self.phase, Phase::Final) {
            self.transaction = Arc::from(record);
        }
    }

    /// Takes over what stands in place of what was to be written. It may be a step of our own whose write was taken for
    /// refused: the message that it called for has not left yet.
    pub(super) fn adopt_standing(
        &mut self,
        stands: Box<Transaction>,
        now: UnixMs,
        effects: &mut Vec<Effect>,
    ) {
        let has_new_code = stands.fallback() != self.transaction.fallback();
        let has_later_sending = stands.sending() > self.transaction.sending();
        self.adopt(Arc::from(stands), effects);
        if has_new_code {
            self.begin_fallback(now, effects);
        } else if has_later_sending {
            self.send_if_admitted(now, effects);
        }
    }

    /// Takes over a record that is durable. News may have been told while it was being written: whoever saw that is
    /// shown a later revision.
    pub(super) fn adopt(&mut self, mut stands: Arc<Transaction>, effects: &mut Vec<Effect>) {
        if stands.revision <= self.transaction.revision {
            Arc::make_mut(&mut stands).revision = self.transaction.revision + 1;
        }
        if self.gains_a_user(&stands) {
            effects.extend(stands.user.clone().map(Effect::EnterUser));
        }
        self.transaction = stands;
        self.prune_leaving();
        effects.push(Effect::Publish(Arc::clone(&self.transaction)));
        if self.transaction.state.is_final() {
            self.phase = Phase::Final;
            if self.transaction.callback_url.is_some() {
                effects.push(Effect::OweCallback);
            }
            effects.push(Effect::Retire);
        } else {
            self.phase = Phase::Open;
        }
    }

    /// What a read-back says of a write: stored if the record has come at least as far, lost if it went elsewhere,
    /// refused if nothing happened. News that came since the write left is in no record yet.
    fn found(&self, written: &Transaction, stands: Box<Transaction>) -> WriteOutcome {
        let before = &self.transaction;
        let rose = stands.attempts.used > before.attempts.used || stands.resends.used > before.resends.used;
        if stands.revision >= self.sent_revision
            && stands.state == written.state
            && stands.attempts == written.attempts
            && stands.resends == written.resends
            && stands.user == written.user
        {
            WriteOutcome::Stored
        } else if stands.state.is_final() || rose {
            WriteOutcome::Lost(stands)
        } else {
            WriteOutcome::Failed(StoreFailure::Refused)
        }
    }

    /// The record is gone although it was stored: nothing can be decided any more.
    pub(super) fn vanish(&mut self, caller: Option<CallerId>, effects: &mut Vec<Effect>) {
        if let Some(caller) = caller {
            effects.push(Effect::Reply(caller, Reply::Refused(Problem::not_found())));
        }
        self.phase = Phase::Gone;
        effects.push(Effect::Stop);
    }
}

fn store_problem(failure: StoreFailure) -> Problem {
    match failure {
        StoreFailure::Refused => Problem::new(ErrorCode::Busy, "the storage is busy; nothing was stored"),
        StoreFailure::Unavailable | StoreFailure::Unknown | StoreFailure::Stopped => Problem::new(
            ErrorCode::StorageUnavailable,
            "the storage takes no writes; ask again for the state",
        ),
    }
}
