//! What to do after each try of one push. Pure: answers and faults in, the next step out.
//!
//! ```text
//!          ┌─────────────── again: same ids, time left, and this kind of repetition not used up
//!          ▼                                                          │
//! try ──► answered ──► treatment ──► done: relayed, failed or unknown │
//!     └─► unsent or cut ───────────────────────────────────────────────┘
//! ```
//! Each kind of repetition has its own small budget, so a push ends after a known number of tries. A push that
//! was cut once may have arrived: from then on a transient fault leaves it *unknown*, not failed.

use std::time::Duration;

use tocsin_model::{DeliveryReason, UnixMs};

use super::{DriverReport, PushVerdict};
use crate::protocol::DeliveryOutcome;
use crate::transport::{SendError, Unsent};

/// A push with less time than this is not sent: nobody can answer it any more.
pub(super) const ANSWER_TIME_MIN: Duration = Duration::from_secs(1);
/// Shortest wait before the quick repetition after a fault of the network.
const QUICK_RETRY_MIN: Duration = Duration::from_millis(100);
/// What jitter adds to it at most.
const QUICK_RETRY_JITTER: Duration = Duration::from_millis(200);

/// What an answer of the network asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    /// Nothing: it was taken.
    Relayed,
    /// The phone's address is dead.
    TokenDead {
        /// Since then, where the network says so.
        since: Option<UnixMs>,
    },
    /// The phone's address is refused, perhaps by our configuration.
    TokenSuspect,
    /// No message will ever reach this number or mailbox from us.
    AddressRefused,
    /// The answer leaves open whether a message was taken: as if there were none.
    Unclear,
    /// The request is wrong: a fault of ours that no repetition heals.
    RequestRefused,
    /// The credential, topic or project is wrong: an operator must act.
    CredentialRefused,
    /// The provider token is refused: a new one and one repetition, on a new connection where the network binds
    /// tokens to connections.
    RenewToken {
        /// Whether the connection is spoiled.
        retires_connection: bool,
    },
    /// The connection is of no use any more, the token is: one repetition elsewhere.
    MoveConnection {
        /// What it is when there is no time or repetition left.
        otherwise: DeliveryReason,
    },
    /// The network has a fault: one repetition on another connection, soon or when it says.
    QuickRetry {
        /// The network's own time.
        after: Option<Duration>,
    },
    /// This address gets too many pushes: it alone waits.
    TargetThrottled {
        /// The network's own time.
        after: Option<Duration>,
    },
    /// We send too many pushes: all wait.
    ProviderThrottled {
        /// How long.
        after: Duration,
    },
}

/// What to change before the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Again {
    /// Wait this long first.
    pub(super) wait: Duration,
    /// Replace the provider token.
    pub(super) renews_token: bool,
    /// Begin nothing new on the connection of this try.
    pub(super) retires_connection: bool,
}

/// What follows a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing more.
    Done(DriverReport),
    /// Another try, on another connection where there can be one.
    Again(Again),
}

/// The repetitions that one push still has.
#[derive(Debug)]
pub(super) struct Progress {
    may_have_arrived: bool,
    renewals: u8,
    moves: u8,
    quick_retries: u8,
    cuts: u8,
    throttles: u8,
}

const AT_ONCE: Again = Again { wait: Duration::ZERO, renews_token: false, retires_connection: false };

impl Progress {
    /// A push that was not tried yet. The budgets: one new token, two changes of connection, one quick
    /// repetition, one after a cut, two after being throttled.
    pub(super) fn new() -> Self {
        Self { may_have_arrived: false, renewals: 1, moves: 2, quick_retries: 1, cuts: 1, throttles: 2 }
    }

    /// A message for an SMS gateway that was not tried yet: one quick repetition, two after being throttled, and after an
    /// unknown outcome one only if the configuration asks for it.
    pub(super) fn of_gateway(resends_unknown: bool) -> Self {
        let cuts = u8::from(resends_unknown);
        Self { may_have_arrived: false, renewals: 0, moves: 0, quick_retries: 1, cuts, throttles: 2 }
    }

    /// The network answered. `time_left` is what the push has now, `hold` how long its address has to wait by
    /// our own count when it is throttled, `random` from 0 to 1.
    pub(super) fn answered(
        &mut self,
        treatment: Treatment,
        time_left: Duration,
        hold: Duration,
        random: f64,
    ) -> Step {
        use DeliveryReason as Reason;
        match treatment {
            Treatment::Relayed => done(DeliveryOutcome::Relayed, Some(PushVerdict::Good), Some(true)),
            Treatment::TokenDead { since } => done(
                DeliveryOutcome::Failed(Reason::TokenDead),
                Some(PushVerdict::Dead { since }),
                Some(true),
            ),
            Treatment::TokenSuspect => {
                done(DeliveryOutcome::Failed(Reason::TokenSuspect), Some(PushVerdict::Suspect), Some(true))
            }
            Treatment::RequestRefused => {
                done(DeliveryOutcome::Failed(Reason::RequestRefused), None, Some(true))
            }
            Treatment::AddressRefused => self.ended(Reason::AddressRefused, Some(true)),
            Treatment::Unclear => self.unclear(time_left),
            Treatment::CredentialRefused => self.ended(Reason::CredentialRefused, Some(false)),
            Treatment::RenewToken { retires_connection } => {
                let again = Again { renews_token: true, retires_connection, ..AT_ONCE };
                let is_left = take(&mut self.renewals);
                self.again(is_left, again, time_left, Reason::CredentialRefused, Some(false))
            }
            Treatment::MoveConnection { otherwise } => {
                let is_left = take(&mut self.moves);
                let again = Again { retires_connection: true, ..AT_ONCE };
                self.again(is_left, again, time_left, otherwise, Some(false))
            }
            Treatment::QuickRetry { after } => {
                let wait = after.unwrap_or_else(|| QUICK_RETRY_MIN + QUICK_RETRY_JITTER.mul_f64(random));
                let is_left = take(&mut self.quick_retries);
                self.again(is_left, Again { wait, ..AT_ONCE }, time_left, Reason::Unavailable, Some(false))
            }
            Treatment::TargetThrottled { .. } => {
                let is_left = take(&mut self.throttles);
                self.again(is_left, Again { wait: hold, ..AT_ONCE }, time_left, Reason::Throttled, Some(true))
            }
            Treatment::ProviderThrottled { after } => {
                let is_left = take(&mut self.throttles);
                self.again(is_left, Again { wait: after, ..AT_ONCE }, time_left, Reason::Throttled, None)
            }
        }
    }

    /// There was no answer.
    pub(super) fn unanswered(&mut self, error: SendError, time_left: Duration) -> Step {
        match error {
            SendError::Unsent(Unsent::Busy) => self.ended(DeliveryReason::Busy, None),
            SendError::Unsent(Unsent::Late) => self.ended(DeliveryReason::Late, None),
            SendError::Unsent(Unsent::Unavailable) => self.ended(DeliveryReason::Unavailable, Some(false)),
            SendError::Unsent(Unsent::Closed) => self.ended(DeliveryReason::Unavailable, None),
            SendError::Unsent(Unsent::Malformed) => self.ended(DeliveryReason::RequestRefused, None),
            SendError::Unknown(_) => self.unclear(time_left),
        }
    }

    /// It was written, and nobody knows what became of it.
    pub(super) fn unclear(&mut self, time_left: Duration) -> Step {
        self.may_have_arrived = true;
        let is_left = take(&mut self.cuts);
        self.again(is_left, AT_ONCE, time_left, DeliveryReason::Cut, Some(false))
    }

    /// It ends here, for a reason that says nothing of an earlier try that was cut.
    pub(super) fn ended(&self, reason: DeliveryReason, healthy: Option<bool>) -> Step {
        Step::Done(self.end(reason, healthy))
    }

    /// The report of [`Self::ended`].
    pub(super) fn end(&self, reason: DeliveryReason, healthy: Option<bool>) -> DriverReport {
        let outcome = if self.may_have_arrived {
            DeliveryOutcome::Unknown(DeliveryReason::Cut)
        } else {
            DeliveryOutcome::Failed(reason)
        };
        DriverReport { outcome, verdict: None, healthy }
    }

    fn again(
        &self,
        is_left: bool,
        again: Again,
        time_left: Duration,
        otherwise: DeliveryReason,
        healthy: Option<bool>,
    ) -> Step {
        let is_in_time = again.wait + ANSWER_TIME_MIN <= time_left;
        if is_left && is_in_time { Step::Again(again) } else { self.ended(otherwise, healthy) }
    }
}

fn done(outcome: DeliveryOutcome, verdict: Option<PushVerdict>, healthy: Option<bool>) -> Step {
    Step::Done(DriverReport { outcome, verdict, healthy })
}

fn take(budget: &mut u8) -> bool {
    let is_left = *budget > 0;
    *budget = budget.saturating_sub(1);
    is_left
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
