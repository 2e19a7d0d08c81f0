//! How the one write in flight ended, and what stands then.
//!
//! Whoever caused the write is told here and nowhere else, so that nobody is told before it is durable.

use std::sync::Arc;

use tocsin_model::{ErrorCode, Problem, Transaction, UnixMs};

use super::{Cause, Machine, Phase, WRITE_RETRY};
use crate::transaction::{CallerId, Effect, Event, Reply, StoreFailure, WriteOutcome};

impl Machine {
    pub(super) fn on_written(&mut self, outcome: WriteOutcome, now: UnixMs, effects: &mut Vec<Effect>) {
        match std::mem::replace(&mut self.phase, Phase::Open) {
            Phase::Creating { caller } => self.on_created(caller, outcome, now, effects),
            Phase::Counting { tried, caller } => self.on_counted(tried, caller, outcome, now, effects),
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
                self.open(now, effects);
                effects.push(Effect::Reply(caller, Reply::View(Arc::clone(&self.transaction))));
            }
            WriteOutcome::Failed(StoreFailure::Unknown) => {
                self.phase = Phase::Creating { caller };
                effects.push(Effect::ReadBack);
            }
            WriteOutcome::Lost(_) | WriteOutcome::Absent => {
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
        tried: Arc<Transaction>,
        caller: CallerId,
        outcome: WriteOutcome,
        now: UnixMs,
        effects: &mut Vec<Effect>,
    ) {
        match outcome {
            WriteOutcome::Stored => {
                effects.push(Effect::Reply(caller, Reply::TriesLeft(tried.attempts.left())));
                self.adopt(tried, effects);
            }
            WriteOutcome::Lost(stands) => {
                self.adopt(Arc::from(stands), effects);
                self.on_call(Event::TriedWrong { caller }, now, effects);
            }
            WriteOutcome::Absent => self.vanish(Some(caller), effects),
            WriteOutcome::Failed(StoreFailure::Unknown) => {
                self.phase = Phase::Counting { tried, caller };
                effects.push(Effect::ReadBack);
            }
            WriteOutcome::Failed(failure) => {
                effects.push(Effect::Reply(caller, Reply::Refused(store_problem(failure))));
            }
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
            Cause::Answer(_) | Cause::Cancel(_) | Cause::Late(_) => {
                self.transaction.expires_at.max(now.plus(WRITE_RETRY))
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
            (Phase::Counting { tried, .. }, Some(stands)) => found(tried, stands),
            (Phase::Amending { amended }, Some(stands)) => found(amended, stands),
            (Phase::Ending { ended, .. }, Some(stands)) => found(ended, stands),
            (Phase::Counting { .. } | Phase::Amending { .. } | Phase::Ending { .. }, None) => {
                WriteOutcome::Absent
            }
            (Phase::New | Phase::Open | Phase::Final | Phase::Gone, _) => return,
        };
        self.on_written(outcome, now, effects);
    }

    /// Takes over a record that is durable.
    pub(super) fn adopt(&mut self, stands: Arc<Transaction>, effects: &mut Vec<Effect>) {
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

    /// The record is gone although it was stored: nothing can be decided any more.
    pub(super) fn vanish(&mut self, caller: Option<CallerId>, effects: &mut Vec<Effect>) {
        if let Some(caller) = caller {
            effects.push(Effect::Reply(caller, Reply::Refused(Problem::not_found())));
        }
        self.phase = Phase::Gone;
        effects.push(Effect::Stop);
    }
}

/// What a read-back says of a write: stored if the record has come at least as far, lost if it went elsewhere,
/// refused if nothing happened.
fn found(written: &Transaction, stands: Box<Transaction>) -> WriteOutcome {
    if stands.revision >= written.revision
        && stands.state == written.state
        && stands.attempts == written.attempts
    {
        WriteOutcome::Stored
    } else if stands.state.is_final() || stands.attempts.used >= written.attempts.used.max(1) {
        WriteOutcome::Lost(stands)
    } else {
        WriteOutcome::Failed(StoreFailure::Refused)
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
