//! What a transaction wants done.

use std::sync::Arc;

use tocsin_model::{Idempotency, Problem, Sending, State, Transaction, TransactionId, UnixMs, User};

use super::CallerId;
use crate::protocol::Addressee;

/// What a caller is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The transaction as it stands.
    View(Arc<Transaction>),
    /// An earlier start with the same idempotency key made this one.
    SeenBefore(TransactionId),
    /// The answer was taken, now or before; this is the state it made.
    Answered(State),
    /// The wrong try is stored; so many are left.
    TriesLeft(u32),
    /// It did not go as asked.
    Refused(Problem),
}

/// The closed list of effects, to be performed in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Store the new transaction. Ends in `Written` or `SeenBefore`.
    Create(Arc<Transaction>),
    /// Store this final state. Ends in `Written`.
    End(Arc<Transaction>),
    /// Store this wrong try, raised from `used_before`. Ends in `Written`.
    Attempt {
        /// The record with the raised counter.
        tried: Arc<Transaction>,
        /// What the counter was.
        used_before: u32,
    },
    /// Store who has claimed it. Ends in `Written`.
    Claim(Arc<Transaction>),
    /// Enter it among the open ones of this user, who has claimed it.
    EnterUser(User),
    /// Store this record, which stays pending though a phone has left it, its fallback was taken or its code goes on by
    /// another gateway. Ends in `Written`.
    Amend(Arc<Transaction>),
    /// Store that the push or the code is repeated, raised from `used_before`, if the rules of this moment let one more
    /// code leave. Ends in `Written`.
    Resend {
        /// The record with the raised counter.
        resent: Arc<Transaction>,
        /// What the counter was.
        used_before: u32,
        /// The caller's promise.
        idempotency: Option<Box<Idempotency>>,
    },
    /// Store how far the pushes came, when convenient.
    Mark(Arc<Transaction>),
    /// Read the record back. Ends in `ReadBack`.
    ReadBack,
    /// Push to this phone, or send the code, which is admitted already.
    Push(Addressee),
    /// Send the code if the rules of this moment let one more leave. Else ends in `HeldBack`.
    SendIfAdmitted(Sending),
    /// Fire the timer at this time; replaces an earlier one.
    ArmTimer(UnixMs),
    /// Tell this caller.
    Reply(CallerId, Reply),
    /// Count the fallback that is stored now.
    CountFallback,
    /// Say that the callback of the outcome, which is stored with it, is owed.
    OweCallback,
    /// Tell everybody who waits for a change.
    Publish(Arc<Transaction>),
    /// It is final: let go of providers and admission, stay a moment for repeated calls, then stop.
    Retire,
    /// It never came to be, or is out of reach: stop now.
    Stop,
}

impl Effect {
    /// The record that this stores, to be waited for.
    pub(super) fn record_to_write(&self) -> Option<&Transaction> {
        match self {
            Self::Create(record) | Self::End(record) | Self::Amend(record) | Self::Claim(record) => {
                Some(record)
            }
            Self::Attempt { tried, .. } => Some(tried),
            Self::Resend { resent, .. } => Some(resent),
            Self::Mark(_)
            | Self::ReadBack
            | Self::Push(_)
            | Self::SendIfAdmitted(_)
            | Self::ArmTimer(_)
            | Self::Reply(..)
            | Self::EnterUser(_)
            | Self::CountFallback
            | Self::OweCallback
            | Self::Publish(_)
            | Self::Retire
            | Self::Stop => None,
        }
    }
}
