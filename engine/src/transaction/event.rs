//! What can happen to a transaction.

use tocsin_model::{
    Answer, DeliveryReason, DeviceId, DurationMs, FailureReason, Guard, Idempotency, OperatorName, Problem,
    ProviderName, Recipient, Sending, Transaction, TransactionId, User, UserLock,
};

use crate::protocol::{Addressee, DeliveryOutcome};

/// Names a waiting caller of one transaction; the shell keeps who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallerId(pub u32);

/// Why a write brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFailure {
    /// Nothing was written, because too much waits; it may be tried again.
    Refused,
    /// Nothing was written, because the disk or a row is at fault.
    Unavailable,
    /// It may or may not be written.
    Unknown,
    /// The store has stopped for good.
    Stopped,
}

/// How the one write in flight ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It is durable.
    Stored,
    /// Another value stands.
    Lost(Box<Transaction>),
    /// There is no such record (a create: another transaction has the idempotency key).
    Absent,
    /// The answer is by the PIN of a phone that was removed meanwhile; nothing is stored.
    DeviceRevoked,
    /// An earlier call with the same idempotency key did this; nothing is stored.
    SeenBefore,
    /// The idempotency key belongs to another call; nothing is stored.
    Mismatch,
    /// The rules of this moment let no more codes leave; nothing is stored.
    HeldBack(Box<Problem>),
    /// No answer.
    Failed(StoreFailure),
}

/// A phone that makes an anonymous transaction its user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its user.
    pub user: User,
    /// The phone, with the nonce of its challenge.
    pub recipient: Recipient,
    /// Wrong PINs that its app allows; zero where it has no limit.
    pub attempts_max: u32,
    /// What the end of the transaction does to its user.
    pub guard: Option<Guard>,
}

/// The closed list of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The portal asks for it; nothing is stored yet.
    Started {
        /// Who waits for it to be stored.
        caller: CallerId,
    },
    /// The create ended because the same idempotency key had made another transaction.
    SeenBefore {
        /// That transaction; `None` when the key belongs to another request.
        existing: Option<TransactionId>,
    },
    /// The create ended because its user is locked.
    Locked(UserLock),
    /// It was read back from its record, after a restart or a fault.
    Revived,
    /// The write in flight ended.
    Written(WriteOutcome),
    /// The record was read back after a write whose end is unknown.
    ReadBack(Option<Box<Transaction>>),
    /// The push, or the message with the code, was handed to the network.
    PushWritten {
        /// To whom.
        addressee: Addressee,
    },
    /// It ended.
    PushEnded {
        /// To whom.
        addressee: Addressee,
        /// How.
        outcome: DeliveryOutcome,
    },
    /// The gateway that took the message with the code reports that it did not arrive.
    Undelivered {
        /// Who waits for the word that this was taken up.
        caller: CallerId,
        /// Which sending of it.
        sending: Sending,
        /// Why.
        reason: DeliveryReason,
    },
    /// The rules of this moment let this sending of the code not leave.
    HeldBack {
        /// Which.
        sending: Sending,
        /// Why.
        reason: DeliveryReason,
    },
    /// A provider broke down.
    ProviderDown(ProviderName),
    /// A provider is back.
    ProviderUp(ProviderName),
    /// A phone listed or fetched it.
    Fetched {
        /// Which phone.
        device_id: DeviceId,
    },
    /// Somebody asks how it stands.
    Viewed {
        /// Who.
        caller: CallerId,
    },
    /// A phone answered; every check and every signature has passed.
    Answered {
        /// Who waits for the verdict.
        caller: CallerId,
        /// The answer.
        answer: Box<Answer>,
        /// Whether it approves with another number than the portal shows.
        wrong_number: bool,
    },
    /// The user tried something wrong that counts.
    TriedWrong {
        /// Who waits for the count.
        caller: CallerId,
    },
    /// The portal brought the right code.
    CodeVerified {
        /// Who waits for the view.
        caller: CallerId,
    },
    /// A phone answered by a wrong PIN, which is counted on the phone already.
    PinTried {
        /// Who waits for the count.
        caller: CallerId,
        /// The phone.
        device_id: DeviceId,
        /// Whether it was the last try, so that the phone is removed.
        exhausted: bool,
    },
    /// A phone claims it for its user; every check has passed.
    Claimed {
        /// Who waits for the view.
        caller: CallerId,
        /// The phone and its user.
        claim: Box<Claim>,
    },
    /// The portal wants the push or the code repeated.
    Resent {
        /// Who waits for the view.
        caller: CallerId,
        /// Shortest time since the one before.
        gap: DurationMs,
        /// The caller's promise.
        idempotency: Option<Box<Idempotency>>,
    },
    /// Its client, or an operator, withdraws it.
    Cancelled {
        /// Who waits for the final view.
        caller: CallerId,
        /// The operator, if it is one.
        by: Option<OperatorName>,
    },
    /// Somebody saw it pending past its deadline, and wants to know how it ended.
    SeenOverdue {
        /// Who.
        caller: CallerId,
    },
    /// A phone was removed or suspended: it may answer no more.
    DeviceGone {
        /// Which.
        device_id: DeviceId,
        /// Why it all ends when no other phone can answer.
        reason: FailureReason,
    },
    /// It was ended in the storage by another call than its own, such as the start that took its place, or it has lost
    /// there what told of an erased user.
    EndedElsewhere(Box<Transaction>),
    /// The timer fired.
    TimerFired,
}
