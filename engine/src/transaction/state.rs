//! The life of a transaction as a pure machine: it takes events and the time, and answers with effects.
//!
//! ```text
//!            Started                Written(Stored)
//!   (new) ───────────► Creating ───────────────────► Open ◄───────────────┐
//!                         │                          │  │                 │ Written(Stored), tries left
//!       SeenBefore,       │        Answered,         │  │ TriedWrong,     │ resends left: pushed again
//!       Refused, Absent   │        Cancelled,        │  │ PinTried,       │
//!                         ▼        timer at or       │  │ Resent          │
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
//! A phone that may answer no more leaves by a write of its own, `Amending`, which returns to `Open`.
//!
//! Here: the phases, the way an event takes, birth and rebirth. `state/writes`, `state/calls`, `state/pushes` and
//! `state/leaving` hold what happens in each.

mod calls;
mod leaving;
mod pushes;
mod writes;

use std::sync::Arc;

use tocsin_model::{
    DeliveryReason, DeliveryStatus, DeviceId, DurationMs, ErrorCode, Problem, Transaction, UnixMs,
};

use self::leaving::Leaving;
use super::{CallerId, Effect, Event, Reply};

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
    leaving: Option<Box<Leaving>>,
    repeats: u8,
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
            waiting: Vec::new(),
            leaving: None,
            repeats: 0,
        }
    }

    /// The record as it stands; a write in flight does not show.
    pub fn transaction(&self) -> &Arc<Transaction> {
        &self.transaction
    }

    /// Takes one event and answers with what is to be done, in order.
    pub fn step(&mut self, event: Event, now: UnixMs) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.apply(event, now, &mut effects);
        while !self.is_writing() {
            if self.leaving_is_due() {
                // Before the calls that wait: an answer of a phone that has gone counts no more.
                self.let_leave(now, &mut effects);
            } else if self.waiting.is_empty() {
                break;
            } else {
                let event = self.waiting.remove(0);
                self.apply(event, now, &mut effects);
            }
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
            Event::PushWritten { device_id } => {
                self.on_push(device_id, DeliveryStatus::Sent, None, now, effects);
            }
            Event::PushEnded { device_id, outcome } => self.on_push_ended(device_id, outcome, now, effects),
            Event::ProviderDown(provider) => self.on_provider_down(&provider, effects),
            Event::ProviderUp(provider) => self.on_provider_up(&provider, now, effects),
            Event::Fetched { device_id } => {
                self.on_push(device_id, DeliveryStatus::Fetched, None, now, effects);
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
            | Event::PinTried { .. }
            | Event::Resent { .. }
            | Event::Cancelled { .. }
            | Event::SeenOverdue { .. } => {
                self.on_call(event, now, effects);
            }
        }
    }

    fn view(&self) -> Reply {
        match self.phase {
            Phase::New | Phase::Creating { .. } | Phase::Gone => Reply::Refused(Problem::not_found()),
            Phase::Open
            | Phase::Counting { .. }
            | Phase::Amending { .. }
            | Phase::Ending { .. }
            | Phase::Final => Reply::View(Arc::clone(&self.transaction)),
        }
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

fn idempotency_mismatch() -> Problem {
    Problem::new(
        ErrorCode::IdempotencyMismatch,
        "the idempotency key was used for another request; take a new key for a new request",
    )
}
