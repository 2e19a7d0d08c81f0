//! The life of a transaction as a pure machine: it takes events and the time, and answers with effects.
//!
//! ```text
//!            Started                Written(Stored)
//!   (new) ───────────► Creating ───────────────────► Open ◄───────────────┐
//!                         │                          │  │                 │ Written(Stored), tries left
//!       SeenBefore,       │        Answered,         │  │ TriedWrong,     │ resends left: pushed again
//!       Refused, Absent   │        CodeVerified,     │  │ PinTried,       │ claimed: it has a user and a phone
//!                         │        Cancelled,        │  │ Resent, Claimed │
//!                         ▼        timer at or       │  │                 │
//!                       Gone       after expires_at, │  └──────► Counting ┤
//!                                  all pushes        │                    │ last try, and no other phone is left
//!                                  failed, last      ▼                    ▼
//!                                  phone removed  Ending ──────────────► Final
//!                                                    │  Written(Stored)    ▲
//!                                                    │  Written(Lost)      │
//!                                                    └─────────────────────┘
//! ```
//!
//! An answer ends it as its decision says, or as `failed/wrong_number`; one by a PIN whose phone was removed while
//! the write was on its way leaves it `Open`. A wrong PIN is counted on its phone, outside of this machine, before
//! it comes here as `PinTried`: here it is only told how many were made on this transaction.
//!
//! Invariants: one write is in flight at a time, and while it is, competing calls wait in a bounded list and
//! are judged again when it ended; a final record never changes; counters only rise; nothing is pushed and
//! nobody is told before the write it depends on is durable; no answer is taken at or after `expires_at`.
//!
//! A phone that may answer no more leaves by a write of its own, `Amending`, which returns to `Open`. So does the step to
//! a fallback, when all that was sent has failed or the user was silent for so long: its code leaves once that is stored.
//! What was answered to the challenge before goes on to count: the first valid answer or code ends it.
//!
//! A code is sent again only when the portal asks: one whose end is unknown may have arrived, and no gateway knows a
//! repetition by its id. Two sendings can be on their way at once, such as an SMS and the e-mail that followed on
//! silence; each word names the sending that it is about, and one of another than the present sending is no news. A
//! gateway that surely sent nothing is followed by the next at once; after one that may have, and reports that it did not
//! arrive, the next sends once that is stored.
//!
//! Here: the phases, the way an event takes, birth and rebirth. `state/writes`, `state/calls`, `state/pushes` and
//! `state/leaving` hold what happens in each; `state/codes` what is special to codes and fallbacks.

mod calls;
mod claims;
mod codes;
mod leaving;
mod pushes;
mod writes;

use std::collections::VecDeque;
use std::sync::Arc;

use tocsin_model::{
    DeliveryReason, DeliveryStatus, DeviceId, DurationMs, ErrorCode, Problem, Transaction, UnixMs,
};

pub(crate) use self::claims::otp_used;
use self::leaving::Leaving;
use super::{CallerId, Effect, Event, Reply};
use crate::protocol::{Addressee, DeliveryOutcome};

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
    waiting: Option<Box<Waiting>>,
    leaving: Option<Box<Leaving>>,
    /// The revision of the last record that went to the storage, before any news that came since.
    sent_revision: u32,
    repeats: u8,
}

/// What waits for the write in flight, the oldest first. Nothing does, mostly.
#[derive(Clone, Debug, Default)]
struct Waiting {
    events: VecDeque<Event>,
}

#[derive(Clone, Debug)]
enum Phase {
    New,
    Creating {
        caller: CallerId,
    },
    Open,
    /// A record that stays pending, mostly, is being stored; `call` wanted it.
    Counting {
        counted: Arc<Transaction>,
        call: Box<Event>,
    },
    Amending {
        amended: Arc<Transaction>,
    },
    Ending {
        ended: Arc<Transaction>,
        cause: Cause,
    },
    Final,
    Gone,
}

/// Who made the final write, and is told of it.
#[derive(Clone, Copy, Debug)]
enum Cause {
    Answer(CallerId),
    Cancel(CallerId),
    /// The right code.
    Code(CallerId),
    /// A call that came past the deadline.
    Late(CallerId),
    Engine,
}

impl Machine {
    /// A machine for a transaction that is to be stored ([`Event::Started`]) or was read ([`Event::Revived`]).
    pub fn new(transaction: Transaction) -> Self {
        Self {
            transaction: Arc::new(transaction),
            phase: Phase::New,
            waiting: None,
            leaving: None,
            sent_revision: 0,
            repeats: 0,
        }
    }

    /// The record as it stands; a write in flight does not show.
    pub fn transaction(&self) -> &Arc<Transaction> {
        &self.transaction
    }

    /// The record as others may see it: `None` before it is stored and once it is out of reach.
    pub fn standing(&self) -> Option<&Arc<Transaction>> {
        match self.phase {
            Phase::New | Phase::Creating { .. } | Phase::Gone => None,
            Phase::Open
            | Phase::Counting { .. }
            | Phase::Amending { .. }
            | Phase::Ending { .. }
            | Phase::Final => Some(&self.transaction),
        }
    }

    /// Takes one event and answers with what is to be done, in order.
    pub fn step(&mut self, event: Event, now: UnixMs) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.apply(event, now, &mut effects);
        while !self.is_writing() {
            if self.leaving_is_due() {
                // Before the calls that wait: an answer of a phone that has gone counts no more.
                self.let_leave(now, &mut effects);
            } else if let Some(event) = self.next_waiting() {
                self.apply(event, now, &mut effects);
            } else {
                break;
            }
        }
        if let Some(written) = effects.iter().rev().find_map(Effect::record_to_write) {
            self.sent_revision = written.revision;
        }
        effects
    }

    fn apply(&mut self, event: Event, now: UnixMs, effects: &mut Vec<Effect>) {
        match event {
            Event::Started { caller } => self.on_started(caller, effects),
            Event::SeenBefore { existing } => self.on_seen_before(existing, effects),
            Event::Locked(lock) => self.give_up(Reply::Refused(Problem::user_locked(lock, now)), effects),
            Event::Revived => self.on_revived(now, effects),
            Event::Written(outcome) => self.on_written(outcome, now, effects),
            Event::ReadBack(record) => self.on_read_back(record, now, effects),
            Event::PushWritten { addressee } => {
                self.on_push(addressee, DeliveryStatus::Sent, None, now, effects);
            }
            // What follows on it depends on what is being stored.
            Event::PushEnded { addressee: Addressee::Code(sending), outcome: DeliveryOutcome::Failed(_) }
            | Event::HeldBack { sending, .. }
                if self.is_writing() =>
            {
                self.keep_word_of(sending, event);
            }
            Event::PushEnded { addressee, outcome } => self.on_push_ended(addressee, outcome, now, effects),
            Event::HeldBack { sending, reason } => {
                let addressee = Addressee::Code(sending);
                self.on_push(addressee, DeliveryStatus::Failed, Some(reason), now, effects);
            }
            Event::ProviderDown(provider) => self.on_provider_down(&provider, effects),
            Event::ProviderUp(provider) => self.on_provider_up(&provider, now, effects),
            Event::Fetched { device_id } => {
                self.on_push(Addressee::Phone(device_id), DeliveryStatus::Fetched, None, now, effects);
            }
            Event::DeviceGone { device_id, reason } => self.on_device_gone(device_id, reason),
            Event::EndedElsewhere(record) => self.on_ended_elsewhere(record, effects),
            Event::TimerFired => self.on_timer(now, effects),
            // What is being stored is shown once it is stored.
            Event::Viewed { .. } if matches!(self.phase, Phase::Creating { .. }) => {
                self.on_call(event, now, effects);
            }
            Event::Viewed { caller } => effects.push(Effect::Reply(caller, self.view())),
            Event::Answered { .. }
            | Event::TriedWrong { .. }
            | Event::CodeVerified { .. }
            | Event::PinTried { .. }
            | Event::Claimed { .. }
            | Event::Resent { .. }
            | Event::Undelivered { .. }
            | Event::Cancelled { .. }
            | Event::SeenOverdue { .. } => {
                self.on_call(event, now, effects);
            }
        }
    }

    fn view(&self) -> Reply {
        let standing = self.standing().map(|standing| Reply::View(Arc::clone(standing)));
        standing.unwrap_or_else(|| Reply::Refused(Problem::not_found()))
    }

    /// Keeps an event until the write in flight has ended; gives it back where too many wait.
    fn let_wait(&mut self, event: Event) -> Result<(), Event> {
        let waiting = self.waiting.get_or_insert_default();
        if waiting.events.len() >= WAITING_MAX {
            return Err(event);
        }
        waiting.events.push_back(event);
        Ok(())
    }

    fn next_waiting(&mut self) -> Option<Event> {
        let next = self.waiting.as_deref_mut()?.events.pop_front();
        self.waiting.take_if(|waiting| waiting.events.is_empty());
        next
    }

    fn is_writing(&self) -> bool {
        matches!(
            self.phase,
            Phase::Creating { .. } | Phase::Counting { .. } | Phase::Amending { .. } | Phase::Ending { .. }
        )
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
        let revision = self.transaction.revision_after_a_gap(now);
        Arc::make_mut(&mut self.transaction).revision = revision;
        self.open(effects);
        let unfinished: Vec<Addressee> = self.addressees_whose_push(is_unfinished).collect();
        if now < self.transaction.expires_at {
            effects.extend(unfinished.iter().copied().filter(may_repeat).map(Effect::Push));
        }
        // Whether they had left before the fall, nobody knows: only `sent` in memory would have told.
        for addressee in unfinished {
            self.note_delivery(addressee, DeliveryStatus::Unknown, Some(DeliveryReason::Cut));
        }
        // What the last word had brought about may not have been stored.
        self.end_if_no_push_is_left(now, effects);
    }

    /// Arms the timer.
    fn open(&mut self, effects: &mut Vec<Effect>) {
        self.phase = Phase::Open;
        effects.push(Effect::ArmTimer(self.alarm()));
    }

    fn phones_whose_push(&self, chosen: impl Fn(DeliveryStatus) -> bool) -> impl Iterator<Item = DeviceId> {
        self.transaction.recipients.iter().filter_map(move |recipient| {
            recipient
                .delivery
                .as_ref()
                .filter(|delivery| chosen(delivery.status))
                .map(|_| recipient.device_id)
        })
    }

    /// The same, with the address that the code goes to.
    fn addressees_whose_push(
        &self,
        chosen: impl Fn(DeliveryStatus) -> bool + Copy,
    ) -> impl Iterator<Item = Addressee> {
        let sent = self.transaction.code().and_then(|code| code.delivery.as_ref());
        let chosen_code = sent.filter(|delivery| chosen(delivery.status));
        let code = chosen_code.and_then(|_| self.transaction.sending()).map(Addressee::Code);
        self.phones_whose_push(chosen).map(Addressee::Phone).chain(code)
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

impl Cause {
    const fn caller(self) -> Option<CallerId> {
        match self {
            Self::Answer(caller) | Self::Cancel(caller) | Self::Code(caller) | Self::Late(caller) => {
                Some(caller)
            }
            Self::Engine => None,
        }
    }
}

/// Whether somebody may still be working on a push.
const fn is_unfinished(status: DeliveryStatus) -> bool {
    matches!(status, DeliveryStatus::Queued | DeliveryStatus::Sent)
}

/// Whether a push whose end is unknown may be repeated: the network of a phone knows it by its id.
const fn may_repeat(addressee: &Addressee) -> bool {
    matches!(addressee, Addressee::Phone(_))
}

fn idempotency_mismatch() -> Problem {
    Problem::new(
        ErrorCode::IdempotencyMismatch,
        "the idempotency key was used for another request; take a new key for a new request",
    )
}
