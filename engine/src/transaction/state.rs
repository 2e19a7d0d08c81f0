//! The life of a transaction as a pure machine: it takes events and the time, and answers with effects.
//!
//! ```text
//!            Started                Written(Stored)
//!   (new) ───────────► Creating ───────────────────► Open ◄───────────────┐
//!                         │                          │  │                 │ Written(Stored), tries left
//!       SeenBefore,       │        Answered,         │  │ TriedWrong      │
//!       Refused, Absent   │        Cancelled,        │  └──────► Counting ┤
//!                         ▼        timer at or       │                    │ last try
//!                       Gone       after expires_at, ▼                    ▼
//!                                  all pushes     Ending ──────────────► Final
//!                                  failed            │  Written(Stored)    ▲
//!                                                    │  Written(Lost)      │
//!                                                    └─────────────────────┘
//! ```
//!
//! Invariants: one write is in flight at a time, and while it is, competing calls wait in a bounded list and
//! are judged again when it ended; a final record never changes; counters only rise; nothing is pushed and
//! nobody is told before the write it depends on is durable; no answer is taken at or after `expires_at`.

use std::sync::Arc;

use tocsin_model::{
    Answer, DeliveryReason, DeliveryStatus, DeviceId, DurationMs, ErrorCode, FailureReason, Problem,
    ProviderName, State, Transaction, UnixMs,
};

use super::{CallerId, Effect, Event, Reply, StoreFailure, WriteOutcome};
use crate::protocol::DeliveryOutcome;

/// Calls that may wait for the write in flight; one more is told `busy`.
const WAITING_MAX: usize = 16;

/// How long a refused final write waits before it is tried again.
const WRITE_RETRY: DurationMs = DurationMs::new(200);

/// How often a push whose end is unknown is repeated after its provider came back.
const REPEATS_MAX: u8 = 1;

/// The machine of one transaction.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The record as this machine knows it; durable unless the phase says that a write is in flight.
    transaction: Arc<Transaction>,
    phase: Phase,
    waiting: Vec<Event>,
    repeats: u8,
}

#[derive(Clone, Debug)]
enum Phase {
    New,
    Creating { caller: CallerId },
    Open,
    Counting { tried: Arc<Transaction>, caller: CallerId },
    Ending { ended: Arc<Transaction>, cause: Cause },
    Final,
    Gone,
}

/// Who made the final write, and is told of it.
#[derive(Clone, Copy, Debug)]
enum Cause {
    Answer(CallerId),
    Cancel(CallerId),
    /// A call that came past the deadline.
    Late(CallerId),
    Engine,
}

impl Machine {
    /// A machine for a transaction that is to be stored ([`Event::Started`]) or was read ([`Event::Revived`]).
    pub fn new(transaction: Transaction) -> Self {
        Self { transaction: Arc::new(transaction), phase: Phase::New, waiting: Vec::new(), repeats: 0 }
    }

    /// The record as it stands; a write in flight does not show.
    pub fn transaction(&self) -> &Arc<Transaction> {
        &self.transaction
    }

    /// Takes one event and answers with what is to be done, in order.
    pub fn step(&mut self, event: Event, now: UnixMs) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.apply(event, now, &mut effects);
        while !self.is_writing() && !self.waiting.is_empty() {
            let event = self.waiting.remove(0);
            self.apply(event, now, &mut effects);
        }
        effects
    }

    fn apply(&mut self, event: Event, now: UnixMs, effects: &mut Vec<Effect>) {
        match event {
            Event::Started { caller } => self.on_started(caller, effects),
            Event::SeenBefore { existing } => self.on_seen_before(existing, effects),
            Event::Revived => self.on_revived(now, effects),
            Event::Written(outcome) => self.on_written(outcome, now, effects),
            Event::ReadBack(record) => self.on_read_back(record, now, effects),
            Event::PushWritten { device_id } => {
                self.on_push(device_id, DeliveryStatus::Sent, None, now, effects);
            }
            Event::PushEnded { device_id, outcome } => self.on_push_ended(device_id, outcome, now, effects),
            Event::ProviderDown(provider) => self.on_provider_down(&provider, effects),
            Event::ProviderUp(provider) => self.on_provider_up(&provider, now, effects),
            Event::Fetched { device_id } => {
                self.on_push(device_id, DeliveryStatus::Fetched, None, now, effects);
            }
            Event::DeviceRevoked { device_id } => self.on_device_revoked(device_id, now, effects),
            Event::TimerFired => self.on_timer(now, effects),
            // What is being stored is shown once it is stored.
            Event::Viewed { .. } if matches!(self.phase, Phase::Creating { .. }) => {
                self.on_call(event, now, effects);
            }
            Event::Viewed { caller } => effects.push(Effect::Reply(caller, self.view())),
            Event::Answered { .. }
            | Event::TriedWrong { .. }
            | Event::Cancelled { .. }
            | Event::SeenOverdue { .. } => {
                self.on_call(event, now, effects);
            }
        }
    }

    fn view(&self) -> Reply {
        match self.phase {
            Phase::New | Phase::Creating { .. } | Phase::Gone => Reply::Refused(Problem::not_found()),
            Phase::Open | Phase::Counting { .. } | Phase::Ending { .. } | Phase::Final => {
                Reply::View(Arc::clone(&self.transaction))
            }
        }
    }

    fn is_writing(&self) -> bool {
        matches!(self.phase, Phase::Creating { .. } | Phase::Counting { .. } | Phase::Ending { .. })
    }
}

/// Birth and rebirth.
impl Machine {
    fn on_started(&mut self, caller: CallerId, effects: &mut Vec<Effect>) {
        self.phase = Phase::Creating { caller };
        effects.push(Effect::Create(Arc::clone(&self.transaction)));
    }

    fn on_seen_before(&mut self, existing: Option<tocsin_model::TransactionId>, effects: &mut Vec<Effect>) {
        let reply = existing.map_or_else(|| Reply::Refused(idempotency_mismatch()), Reply::SeenBefore);
        self.give_up(reply, effects);
    }

    /// A record that is read anew may hold pushes that nobody is working on any more.
    fn on_revived(&mut self, now: UnixMs, effects: &mut Vec<Effect>) {
        if self.transaction.state.is_final() {
            self.phase = Phase::Final;
            effects.push(Effect::Publish(Arc::clone(&self.transaction)));
            effects.push(Effect::Retire);
            return;
        }
        self.open(now, effects);
        // Whether they had left before the fall, nobody knows: only `sent` in memory would have told.
        for device_id in self.devices_whose_push(is_unfinished).collect::<Vec<_>>() {
            self.note_delivery(device_id, DeliveryStatus::Unknown, Some(DeliveryReason::Cut));
        }
    }

    /// Pushes what is not known to be with the network, and arms the timer.
    fn open(&mut self, now: UnixMs, effects: &mut Vec<Effect>) {
        self.phase = Phase::Open;
        effects.push(Effect::ArmTimer(self.transaction.expires_at));
        if now < self.transaction.expires_at {
            effects.extend(self.devices_whose_push(is_unfinished).map(Effect::Push));
        }
    }

    fn devices_whose_push(&self, chosen: impl Fn(DeliveryStatus) -> bool) -> impl Iterator<Item = DeviceId> {
        self.transaction.recipients.iter().filter_map(move |recipient| {
            recipient
                .delivery
                .as_ref()
                .filter(|delivery| chosen(delivery.status))
                .map(|_| recipient.device_id)
        })
    }

    /// The create did not happen: everybody is told, and the machine is over.
    fn give_up(&mut self, reply: Reply, effects: &mut Vec<Effect>) {
        if let Phase::Creating { caller } = self.phase {
            effects.push(Effect::Reply(caller, reply));
        }
        self.phase = Phase::Gone;
        effects.push(Effect::Stop);
    }
}

/// Writes.
impl Machine {
    fn on_written(&mut self, outcome: WriteOutcome, now: UnixMs, effects: &mut Vec<Effect>) {
        match std::mem::replace(&mut self.phase, Phase::Open) {
            Phase::Creating { caller } => self.on_created(caller, outcome, now, effects),
            Phase::Counting { tried, caller } => self.on_counted(tried, caller, outcome, now, effects),
            Phase::Ending { ended, cause } => self.on_ended(ended, cause, outcome, now, effects),
            // An answer to a write that was given up is no news.
            other @ (Phase::New | Phase::Open | Phase::Final | Phase::Gone) => self.phase = other,
        }
    }

    fn on_created(
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

    fn on_counted(
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

    fn on_ended(
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
                let answer = ended.answer.clone();
                self.adopt(Arc::from(stands), effects);
                self.judge_loser(cause, answer, now, effects);
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
    fn on_end_refused(
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
    fn on_read_back(&mut self, record: Option<Box<Transaction>>, now: UnixMs, effects: &mut Vec<Effect>) {
        let outcome = match (&self.phase, record) {
            (Phase::Creating { .. }, Some(_)) => WriteOutcome::Stored,
            (Phase::Creating { .. }, None) => WriteOutcome::Failed(StoreFailure::Refused),
            (Phase::Counting { tried, .. }, Some(stands)) => found(tried, stands),
            (Phase::Ending { ended, .. }, Some(stands)) => found(ended, stands),
            (Phase::Counting { .. } | Phase::Ending { .. }, None) => WriteOutcome::Absent,
            (Phase::New | Phase::Open | Phase::Final | Phase::Gone, _) => return,
        };
        self.on_written(outcome, now, effects);
    }

    /// Takes over a record that is durable.
    fn adopt(&mut self, stands: Arc<Transaction>, effects: &mut Vec<Effect>) {
        self.transaction = stands;
        effects.push(Effect::Publish(Arc::clone(&self.transaction)));
        if self.transaction.state.is_final() {
            self.phase = Phase::Final;
            effects.push(Effect::Retire);
        } else {
            self.phase = Phase::Open;
        }
    }

    /// The record is gone although it was stored: nothing can be decided any more.
    fn vanish(&mut self, caller: Option<CallerId>, effects: &mut Vec<Effect>) {
        if let Some(caller) = caller {
            effects.push(Effect::Reply(caller, Reply::Refused(Problem::not_found())));
        }
        self.phase = Phase::Gone;
        effects.push(Effect::Stop);
    }
}

/// Calls.
impl Machine {
    /// Judges a call now, or keeps it until the write in flight has ended.
    fn on_call(&mut self, event: Event, now: UnixMs, effects: &mut Vec<Effect>) {
        if !self.is_writing() {
            return self.judge(event, now, effects);
        }
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push(event);
        } else if let Some(caller) = caller_of(&event) {
            effects.push(Effect::Reply(caller, Reply::Refused(too_many_waiting())));
        }
    }

    fn judge(&mut self, event: Event, now: UnixMs, effects: &mut Vec<Effect>) {
        match event {
            Event::Answered { caller, answer } => self.judge_answer(caller, *answer, now, effects),
            Event::TriedWrong { caller } => self.judge_wrong_try(caller, now, effects),
            Event::Cancelled { caller } => self.judge_cancel(caller, now, effects),
            Event::SeenOverdue { caller } => self.judge_overdue(caller, now, effects),
            other => debug_assert!(false, "not a call: {other:?}"),
        }
    }

    fn judge_answer(&mut self, caller: CallerId, answer: Answer, now: UnixMs, effects: &mut Vec<Effect>) {
        if self.is_open_at(now) && self.transaction.recipient(&answer.device_id).is_none() {
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
            transaction.answer = Some(answer);
            transaction.state = outcome;
        });
        self.end(ended, Cause::Answer(caller), effects);
    }

    /// Past its end nothing is taken; past its deadline it ends now, and the caller is told once that is stored.
    fn refuse_late(&mut self, caller: CallerId, now: UnixMs, effects: &mut Vec<Effect>) {
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
    fn judge_overdue(&mut self, caller: CallerId, now: UnixMs, effects: &mut Vec<Effect>) {
        if self.is_open_at(now) {
            let problem = Problem::new(ErrorCode::Busy, "the server's clock was set; ask again");
            return effects.push(Effect::Reply(caller, Reply::Refused(problem)));
        }
        self.refuse_late(caller, now, effects);
    }

    fn judge_wrong_try(&mut self, caller: CallerId, now: UnixMs, effects: &mut Vec<Effect>) {
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

    fn judge_cancel(&mut self, caller: CallerId, now: UnixMs, effects: &mut Vec<Effect>) {
        if !self.is_open_at(now) {
            return self.refuse_late(caller, now, effects);
        }
        let ended = self.changed(now, |transaction| transaction.state = State::Cancelled);
        self.end(ended, Cause::Cancel(caller), effects);
    }

    fn tell_cause(&self, cause: Cause, effects: &mut Vec<Effect>) {
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

    fn tell_final(&self, caller: CallerId, effects: &mut Vec<Effect>) {
        let problem = Problem::transaction_final(self.transaction.state);
        effects.push(Effect::Reply(caller, Reply::Refused(problem)));
    }

    fn judge_loser(&mut self, cause: Cause, answer: Option<Answer>, now: UnixMs, effects: &mut Vec<Effect>) {
        match (cause, answer) {
            (Cause::Answer(caller), Some(answer)) => self.judge_answer(caller, answer, now, effects),
            (Cause::Answer(caller), None) => {
                effects.push(Effect::Reply(caller, Reply::Refused(Problem::internal())));
            }
            (Cause::Cancel(caller), _) => self.judge_cancel(caller, now, effects),
            (Cause::Late(caller), _) => self.tell_final(caller, effects),
            (Cause::Engine, _) => {}
        }
    }
}

/// Pushes, phones and time.
impl Machine {
    fn on_push_ended(
        &mut self,
        device_id: DeviceId,
        outcome: DeliveryOutcome,
        now: UnixMs,
        effects: &mut Vec<Effect>,
    ) {
        let (status, reason) = match outcome {
            DeliveryOutcome::Relayed => (DeliveryStatus::Relayed, None),
            DeliveryOutcome::Failed(reason) => (DeliveryStatus::Failed, Some(reason)),
            DeliveryOutcome::Unknown(reason) => (DeliveryStatus::Unknown, Some(reason)),
        };
        self.on_push(device_id, status, reason, now, effects);
    }

    /// Notes how far a push came. A phone that fetched the challenge has it, whatever the network says later.
    fn on_push(
        &mut self,
        device_id: DeviceId,
        status: DeliveryStatus,
        reason: Option<DeliveryReason>,
        now: UnixMs,
        effects: &mut Vec<Effect>,
    ) {
        if !matches!(self.phase, Phase::Open | Phase::Counting { .. }) {
            return;
        }
        if !self.note_delivery(device_id, status, reason) {
            return;
        }
        effects.push(Effect::Publish(Arc::clone(&self.transaction)));
        // A mark beside a try in flight would carry the old counter; the try's own record carries the mark.
        // `sent` is worth no write: after a restart it is pushed again under the same ids either way.
        if matches!(self.phase, Phase::Open) && status != DeliveryStatus::Sent {
            effects.push(Effect::Mark(Arc::clone(&self.transaction)));
            self.end_if_no_push_is_left(now, effects);
        }
    }

    fn note_delivery(
        &mut self,
        device_id: DeviceId,
        status: DeliveryStatus,
        reason: Option<DeliveryReason>,
    ) -> bool {
        let advance = |transaction: &mut Transaction| {
            let Some(delivery) =
                transaction.recipient_mut(&device_id).and_then(|found| found.delivery.as_mut())
            else {
                return false;
            };
            if !is_news(delivery.status, status, reason) {
                return false;
            }
            delivery.status = status;
            delivery.reason = reason;
            transaction.revision += 1;
            true
        };
        let noted = advance(Arc::make_mut(&mut self.transaction));
        if let Phase::Counting { tried, .. } = &mut self.phase {
            advance(Arc::make_mut(tried));
        }
        noted
    }

    fn end_if_no_push_is_left(&mut self, now: UnixMs, effects: &mut Vec<Effect>) {
        if self.transaction.keep_for_polling || !self.is_open_at(now) {
            return;
        }
        let deliveries =
            || self.transaction.recipients.iter().filter_map(|recipient| recipient.delivery.as_ref());
        let all_failed = deliveries().all(|delivery| delivery.status == DeliveryStatus::Failed);
        if !all_failed || deliveries().next().is_none() {
            return;
        }
        let unavailable =
            deliveries().any(|delivery| delivery.reason.is_some_and(DeliveryReason::is_unavailable));
        let reason =
            if unavailable { FailureReason::ProviderUnavailable } else { FailureReason::ProviderRejected };
        let ended = self.changed(now, |transaction| transaction.state = State::Failed(reason));
        self.end(ended, Cause::Engine, effects);
    }

    /// What was in the provider's hands may or may not have left the house.
    fn on_provider_down(&mut self, provider: &ProviderName, effects: &mut Vec<Effect>) {
        let in_hand: Vec<DeviceId> = self.devices_of_provider(provider, is_unfinished);
        let mut noted = false;
        for device_id in in_hand {
            noted |= self.note_delivery(device_id, DeliveryStatus::Unknown, Some(DeliveryReason::Cut));
        }
        if noted && !self.transaction.state.is_final() {
            effects.push(Effect::Publish(Arc::clone(&self.transaction)));
        }
    }

    /// Repeats, under the same ids and at most once, what was cut when the provider broke down.
    fn on_provider_up(&mut self, provider: &ProviderName, now: UnixMs, effects: &mut Vec<Effect>) {
        if !self.is_open_at(now) || self.repeats >= REPEATS_MAX {
            return;
        }
        let cut = self.devices_of_provider(provider, |status| status == DeliveryStatus::Unknown);
        if !cut.is_empty() {
            self.repeats += 1;
            effects.extend(cut.into_iter().map(Effect::Push));
        }
    }

    fn devices_of_provider(
        &self,
        provider: &ProviderName,
        chosen: impl Fn(DeliveryStatus) -> bool,
    ) -> Vec<DeviceId> {
        if !matches!(self.phase, Phase::Open | Phase::Counting { .. }) {
            return Vec::new();
        }
        let by_provider = |device_id: &DeviceId| {
            let delivery = self.transaction.recipient(device_id).and_then(|found| found.delivery.as_ref());
            delivery.is_some_and(|delivery| delivery.provider == *provider)
        };
        self.devices_whose_push(chosen).filter(by_provider).collect()
    }

    fn on_device_revoked(&mut self, device_id: DeviceId, now: UnixMs, effects: &mut Vec<Effect>) {
        if self.is_writing() {
            // Judged again when the write has ended; beyond the bound the deadline still ends it.
            if self.waiting.len() < WAITING_MAX {
                self.waiting.push(Event::DeviceRevoked { device_id });
            }
            return;
        }
        if !self.is_open_at(now) || self.transaction.recipient(&device_id).is_none() {
            return;
        }
        let changed = self.changed(now, |transaction| {
            transaction.recipients.retain(|recipient| recipient.device_id != device_id);
        });
        if changed.recipients.is_empty() {
            let ended = self.changed(now, |transaction| {
                transaction.state = State::Failed(FailureReason::DeviceRevoked);
            });
            return self.end(ended, Cause::Engine, effects);
        }
        self.transaction = changed;
        effects.push(Effect::Mark(Arc::clone(&self.transaction)));
        effects.push(Effect::Publish(Arc::clone(&self.transaction)));
        self.end_if_no_push_is_left(now, effects);
    }

    fn on_timer(&mut self, now: UnixMs, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Open if now < self.transaction.expires_at => {
                effects.push(Effect::ArmTimer(self.transaction.expires_at));
                // The timer is also what retries a final write that was refused.
                self.end_if_no_push_is_left(now, effects);
            }
            Phase::Open => {
                let ended = self.changed(now, |transaction| transaction.state = State::Timeout);
                self.end(ended, Cause::Engine, effects);
            }
            Phase::Creating { .. } | Phase::Counting { .. } | Phase::Ending { .. } => {
                effects.push(Effect::ArmTimer(now.plus(WRITE_RETRY)));
            }
            Phase::New | Phase::Final | Phase::Gone => {}
        }
    }

    fn end(&mut self, ended: Arc<Transaction>, cause: Cause, effects: &mut Vec<Effect>) {
        effects.push(Effect::End(Arc::clone(&ended)));
        self.phase = Phase::Ending { ended, cause };
    }

    /// The next revision of the record; when the change makes it final, `now` is its end.
    fn changed(&self, now: UnixMs, change: impl FnOnce(&mut Transaction)) -> Arc<Transaction> {
        let mut next = Transaction::clone(&self.transaction);
        change(&mut next);
        next.revision += 1;
        if next.state.is_final() {
            next.ended_at = Some(now);
        }
        Arc::new(next)
    }

    fn is_open_at(&self, now: UnixMs) -> bool {
        matches!(self.phase, Phase::Open) && now < self.transaction.expires_at
    }
}

impl Cause {
    const fn caller(self) -> Option<CallerId> {
        match self {
            Self::Answer(caller) | Self::Cancel(caller) | Self::Late(caller) => Some(caller),
            Self::Engine => None,
        }
    }
}

/// Whether somebody may still be working on a push.
const fn is_unfinished(status: DeliveryStatus) -> bool {
    matches!(status, DeliveryStatus::Queued | DeliveryStatus::Sent)
}

/// Whether a word about a push changes what is known. A phone that fetched the challenge has it, whatever the
/// network says later; and a push that may have arrived stays so when its repetition could not be sent.
fn is_news(known: DeliveryStatus, status: DeliveryStatus, reason: Option<DeliveryReason>) -> bool {
    match (known, status) {
        (DeliveryStatus::Fetched, _) => false,
        (DeliveryStatus::Unknown, DeliveryStatus::Sent) => false,
        (DeliveryStatus::Unknown, DeliveryStatus::Failed) => {
            !reason.is_some_and(DeliveryReason::is_unavailable)
        }
        (_, _) => known != status,
    }
}

/// Whether an answer repeats the winning one: device and decision; the nonce was checked before, and is one
/// per transaction and device.
fn is_same_answer(winner: &Answer, answer: &Answer) -> bool {
    winner.device_id == answer.device_id && winner.decision == answer.decision
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

const fn caller_of(event: &Event) -> Option<CallerId> {
    match event {
        Event::Started { caller }
        | Event::Viewed { caller }
        | Event::SeenOverdue { caller }
        | Event::Answered { caller, .. }
        | Event::TriedWrong { caller }
        | Event::Cancelled { caller } => Some(*caller),
        Event::SeenBefore { .. }
        | Event::Revived
        | Event::Written(_)
        | Event::ReadBack(_)
        | Event::PushWritten { .. }
        | Event::PushEnded { .. }
        | Event::ProviderDown(_)
        | Event::ProviderUp(_)
        | Event::Fetched { .. }
        | Event::DeviceRevoked { .. }
        | Event::TimerFired => None,
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

fn too_many_waiting() -> Problem {
    Problem::new(ErrorCode::Busy, "too many calls wait for this transaction")
}

fn idempotency_mismatch() -> Problem {
    Problem::new(
        ErrorCode::IdempotencyMismatch,
        "the idempotency key was used for another request; take a new key for a new request",
    )
}
