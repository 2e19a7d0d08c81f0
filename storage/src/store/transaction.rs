//! What becomes of a transaction, and how transactions are listed.

use tocsin_model::{
    ClientId, DeviceId, Idempotency, KeptChallenge, OtpHash, StateWord, Transaction, TransactionId, UnixMs,
    User, UserLock,
};

/// A transaction to create, in one batch with its place among the open ones and its idempotency row.
#[derive(Clone, Debug)]
pub struct NewTransaction {
    /// The record, `pending`, revision 1.
    pub transaction: Transaction,
    /// The caller's promise, kept until ten minutes after `expires_at`.
    pub idempotency: Option<Idempotency>,
    /// Challenges in the form in which they are about to leave, kept until `expires_at`.
    pub challenges: Vec<(DeviceId, KeptChallenge)>,
    /// The hash of its one-time password, under which it is found until `expires_at`, if it is anonymous.
    pub otp: Option<OtpHash>,
}

/// What became of a create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is stored.
    New,
    /// The same key and fingerprint made this one before; nothing was stored.
    Existing(TransactionId),
    /// The key belongs to another request; nothing was stored.
    Mismatch,
    /// The user is locked; nothing was stored.
    UserLocked(UserLock),
}

/// What became of a final state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is stored.
    Stored,
    /// Another final state was stored first: this record stands.
    Lost(Box<Transaction>),
    /// The answer is by the PIN of a device that was revoked meanwhile; nothing was stored.
    DeviceRevoked,
    /// There is no such transaction.
    Absent,
}

/// What became of a wrong try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempted {
    /// It is stored.
    Stored,
    /// The stored counter or state is another: this record stands.
    Lost(Box<Transaction>),
    /// There is no such transaction.
    Absent,
}

/// What became of a changed record that stays pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amended {
    /// It is stored.
    Stored,
    /// What is stored is final, newer or counted otherwise: this record stands.
    Lost(Box<Transaction>),
    /// There is no such transaction.
    Absent,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is stored.
    Stored,
    /// What is stored is final or claimed already: this record stands.
    Lost(Box<Transaction>),
    /// The phone may answer no more, or its user is locked; nothing was stored.
    Barred,
    /// There is no such transaction.
    Absent,
}

/// A push to repeat: `resent` carries the raised counter.
#[derive(Clone, Debug)]
pub struct Resend {
    /// The record with the raised counter.
    pub resent: Transaction,
    /// What the counter was.
    pub used_before: u32,
    /// The caller's promise.
    pub idempotency: Option<Idempotency>,
}

/// What became of a push to repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resent {
    /// It is counted.
    Stored,
    /// The same key and fingerprint repeated it before; nothing was stored.
    Existing,
    /// The key belongs to another request; nothing was stored.
    Mismatch,
    /// The stored counter or state is another: this record stands.
    Lost(Box<Transaction>),
    /// There is no such transaction.
    Absent,
}

/// One page of the ids of the open transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenIds {
    /// In the order of their deadlines.
    pub ids: Vec<TransactionId>,
    /// Behind what the next page begins; `None` behind the last.
    pub next: Option<(UnixMs, TransactionId)>,
}

/// One page of the open transactions, in the order of their deadlines.
#[derive(Clone, Debug, Default)]
pub struct OpenPage {
    /// The transactions.
    pub transactions: Vec<Transaction>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<(UnixMs, TransactionId)>,
}

/// Which transactions to list.
#[derive(Clone, Debug, Default)]
pub struct TransactionQuery {
    /// Only those that this client started.
    pub client: Option<ClientId>,
    /// Only those of this user. Without one the list is looked through in the order of time, whoever they are of.
    pub user: Option<User>,
    /// Only those in a state of this word.
    pub state: Option<StateWord>,
    /// Only those that began at this moment or later.
    pub from: Option<UnixMs>,
    /// Only those that began before this moment.
    pub to: Option<UnixMs>,
    /// Only those that began before this one.
    pub before: Option<TransactionId>,
    /// Most of them on one page.
    pub limit: usize,
}

impl TransactionQuery {
    /// Whether it is for this transaction, wherever it stands in time.
    pub fn takes(&self, transaction: &Transaction) -> bool {
        self.client.as_ref().is_none_or(|client| transaction.client == *client)
            && (self.user.is_none() || self.user == transaction.user)
            && self.state.is_none_or(|word| word.is_of(transaction.state))
    }
}

/// One page of transactions, newest first.
#[derive(Clone, Debug, Default)]
pub struct TransactionPage {
    /// The transactions.
    pub transactions: Vec<Transaction>,
    /// What the next page comes before; `None` at the end. A page may be short, or empty, and have a next one.
    pub next: Option<TransactionId>,
}
