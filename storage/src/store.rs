//! The storage trait: the product's verbs and what they answer.
//!
//! Every write verb is submitted without blocking and answered once it is durable by the configured meaning.
//! Each is a compare-and-set; a competitor that lost is told the current state. Reads see every
//! acknowledged write.

use std::fmt;
use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tocsin_model::{
    ActivationCodeHash, AuditActor, AuditEvent, AuditHash, AuditKind, AuditRow, Callback, CallbackFault,
    CallbackHost, ClientId, Device, DeviceId, DeviceKey, DeviceStatus, Enrollment, EnrollmentId,
    EnrolmentMode, EnrolmentRules, Idempotency, KeptChallenge, KeyId, KeyUse, ProfileChange, ProviderName,
    PushKind, PushTarget, PushToken, Secret, StateWord, Transaction, TransactionId, TypeName, UnixMs, User,
};
use tokio::sync::{oneshot, watch};

use crate::record::AuditPlaceRecord;
use crate::{StoreError, StoreErrorKind};

/// The answer to a submitted write. Dropping it cancels nothing.
#[must_use = "a write is only known to be durable when it was awaited"]
#[derive(Debug)]
pub struct Pending<T>(oneshot::Receiver<Result<T, StoreError>>);

impl<T> Pending<T> {
    /// A pending answer and the sender that gives it.
    pub fn channel() -> (oneshot::Sender<Result<T, StoreError>>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }

    /// An answer that is known at once.
    pub fn ready(answer: Result<T, StoreError>) -> Self {
        let (sender, pending) = Self::channel();
        // The receiver is held by `pending`, so the send cannot fail.
        let _ = sender.send(answer);
        pending
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|received| {
            received.unwrap_or_else(|_| {
                Err(StoreError::new(StoreErrorKind::Unknown, "the writer dropped the answer"))
            })
        })
    }
}

/// A boxed answer to a read.
pub type Read<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A transaction to create, in one batch with its place among the open ones and its idempotency row.
#[derive(Clone, Debug)]
pub struct NewTransaction {
    /// The record, `pending`, revision 1.
    pub transaction: Transaction,
    /// The caller's promise, kept until ten minutes after `expires_at`.
    pub idempotency: Option<Idempotency>,
    /// Challenges in the form in which they are about to leave, kept until `expires_at`.
    pub challenges: Vec<(DeviceId, KeptChallenge)>,
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

/// An enrolment to open.
#[derive(Clone, Debug)]
pub struct NewEnrollment {
    /// The record, `pending`, revision 1.
    pub enrollment: Enrollment,
    /// How many phones of its app the user may have.
    pub mode: EnrolmentMode,
    /// Whether it must name an accepted transaction.
    pub needs_authorization: bool,
    /// The caller's promise.
    pub idempotency: Option<Idempotency>,
}

/// What became of an enrolment to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnrollmentOpened {
    /// It is stored.
    New,
    /// The same key and fingerprint made this one before; nothing was stored.
    Existing(EnrollmentId),
    /// The key belongs to another request; nothing was stored.
    Mismatch,
    /// Mode `single`, and the user has a device of this app that is not revoked.
    DeviceExists,
    /// The named transaction is not one of this user and client that was accepted lately and not used yet, or none
    /// is named where one is needed.
    Unauthorized,
}

/// A phone that is registered, and what its enrolment changed for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The enrolment as it is now.
    pub enrollment: Enrollment,
    /// The device as it is stored.
    pub device: Device,
    /// The devices that it took the place of, as they were before they were revoked.
    pub replaced: Vec<Device>,
}

/// What became of a phone's enrolment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enrolled {
    /// The device is stored and the code used up.
    Stored(Box<Registered>),
    /// The same code and `device` key enrolled this device within the retry window: the same answer again.
    Again(Box<Device>),
    /// The code is unknown, expired, cancelled or used.
    BadCode,
    /// The `device` key is registered already.
    KeyInUse,
    /// Mode `single`, and the user has a device of this app that is not revoked.
    DeviceExists,
}

/// What became of a posted number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnrollmentConfirmed {
    /// It was right: the enrolment is completed.
    Stored(Box<Registered>),
    /// It is right, and the enrolment was completed before.
    Before(Box<Enrollment>),
    /// It was wrong, which is stored; with none left the enrolment has failed and its device is gone.
    Wrong {
        /// Tries left.
        left: u32,
    },
    /// No phone has registered yet; nothing was counted.
    NoPhoneYet,
    /// Mode `single`, and the user has another device of this app; nothing was counted.
    DeviceExists,
    /// The enrolment has ended.
    Final,
    /// There is no such enrolment.
    Absent,
}

/// What became of the cancelling of an enrolment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnrollmentCancelled {
    /// It is `failed` now, or was so before.
    Stored,
    /// A phone was enrolled before.
    Completed,
    /// There is no such enrolment.
    Absent,
}

/// What became of the revoking of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// It is `revoked` now, or was so before.
    Stored,
    /// There is no such device.
    Absent,
}

/// A change of a device. What a phone signed carries the `iat` of its proof, which must be above the last one's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceChange {
    /// By the portal: another name, suspended or in use again.
    Manage {
        /// The new name.
        name: Option<Box<str>>,
        /// Whether it is suspended from now on.
        suspended: Option<bool>,
    },
    /// By the phone: what it says of itself.
    Profile {
        /// The changed parts.
        change: ProfileChange,
        /// When it signed.
        signed_at: UnixMs,
    },
    /// By the phone: where it can be pushed to.
    Push {
        /// The new address.
        target: PushTarget,
        /// When it signed.
        signed_at: UnixMs,
    },
    /// By the phone: remove it for good.
    Leave {
        /// When it signed.
        signed_at: UnixMs,
    },
}

impl DeviceChange {
    /// The `iat` of the proof, when a phone asked for the change.
    pub const fn signed_at(&self) -> Option<UnixMs> {
        match self {
            Self::Manage { .. } => None,
            Self::Profile { signed_at, .. } | Self::Push { signed_at, .. } | Self::Leave { signed_at } => {
                Some(*signed_at)
            }
        }
    }
}

/// What became of a change of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceChanged {
    /// It is stored; this is the device now.
    Stored(Box<Device>),
    /// A device of this status cannot be changed so.
    Refused(DeviceStatus),
    /// The phone's last change was signed at the same time or later.
    Stale,
    /// There is no such device.
    Absent,
}

/// What became of a wrong PIN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinTried {
    /// It is counted: so many in a row now.
    Counted {
        /// Wrong PINs in a row.
        used: u32,
    },
    /// It was the last one: the device is `revoked` now, in the same batch.
    Exhausted,
    /// The device was revoked before; nothing was counted.
    Revoked,
    /// There is no such device.
    Absent,
}

/// What became of the word that a device is about to change something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeNoted {
    /// Its time is stored.
    Stored,
    /// Its time is not above the last one; nothing was stored.
    NotAbove,
    /// There is no such device.
    Absent,
}

/// What entitles a phone to change its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyApproval {
    /// A signature by this PIN key, which must still be the device's.
    Pin {
        /// The key.
        kid: KeyId,
        /// The `iat` of what it signed.
        issued_at: UnixMs,
    },
    /// A transaction that this device had accepted, for a device without a PIN.
    Transaction(TransactionId),
}

/// A key to add, or to put in the place of the one with the same use.
#[derive(Clone, Debug)]
pub struct KeyChange {
    /// Whose.
    pub device_id: DeviceId,
    /// The key, with its new name.
    pub key: DeviceKey,
    /// What entitles to it.
    pub approval: KeyApproval,
    /// When it was asked for.
    pub now: UnixMs,
}

/// What became of a key to add or replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPut {
    /// It is stored.
    Stored,
    /// The device has this key already; nothing was stored.
    AlreadyThere,
    /// The approval does not stand (any more); nothing was stored.
    NotApproved,
    /// The device is revoked.
    Revoked,
    /// There is no such device.
    Absent,
}

/// What became of a key to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyDeleted {
    /// It is gone.
    Stored,
    /// The device has no such key, or there is no such device.
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

/// What a push network said of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushTargetVerdict {
    /// It is dead, since this moment where the network says so. Rows registered later are left alone.
    Dead {
        /// The network's own time of death.
        since: Option<UnixMs>,
    },
    /// It was refused, perhaps by our own fault: counted. The third time in a row makes an active device
    /// `unreachable`, but only while pushes to others succeed, so that a wrong setting of ours ends no device.
    Suspect {
        /// Whether pushes to other addresses by the same credential succeed.
        others_succeed: bool,
    },
    /// It was taken; forgets earlier suspicion.
    Good,
}

/// One page of the open transactions, in the order of their deadlines.
#[derive(Clone, Debug, Default)]
pub struct OpenPage {
    /// The transactions.
    pub transactions: Vec<Transaction>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<(UnixMs, TransactionId)>,
}

/// What to list of the audit trail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Only rows about this user.
    pub user: Option<User>,
    /// Only rows about this transaction.
    pub transaction: Option<TransactionId>,
    /// Only rows about transactions of this type.
    pub type_name: Option<TypeName>,
    /// Only rows of this kind.
    pub kind: Option<AuditKind>,
    /// Only rows that were stored at this moment or later.
    pub from: Option<UnixMs>,
    /// Only rows that were stored before this moment.
    pub to: Option<UnixMs>,
    /// Only rows with a smaller number.
    pub before: Option<u64>,
    /// Most rows.
    pub limit: usize,
}

impl AuditQuery {
    /// Whether the row is asked for, as far as the row itself can say.
    pub(crate) fn wants(&self, row: &AuditRow) -> bool {
        let AuditRow { event, .. } = row;
        self.kind.is_none_or(|kind| event.kind == kind)
            && (self.user.is_none() || event.user == self.user)
            && (self.transaction.is_none() || event.transaction == self.transaction)
            && (self.type_name.is_none() || event.type_name == self.type_name)
    }
}

/// Rows of the audit trail, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// The rows. There may be fewer than asked for, even none, although more follow: one page looks at so many.
    pub rows: Vec<AuditRow>,
    /// What to ask with as `before` for the rows behind these; `None` at the end.
    pub next: Option<u64>,
}

/// How far a check of the audit trail has come; the default is its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditCheckpoint {
    pub(crate) last: Option<AuditPlaceRecord>,
    pub(crate) cut: Option<Box<str>>,
    pub(crate) first: u64,
}

/// What a check of the audit trail found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditChecked {
    /// So far all is right; ask again with this.
    More(AuditCheckpoint),
    /// All rows are what was stored.
    Sound(AuditSummary),
    /// A row was changed, is missing, or stands where it was not stored.
    Broken(AuditFault),
}

/// A trail in which nothing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditSummary {
    /// The number of its first row; rows before it were cut when their retention was over.
    pub first: u64,
    /// The number of its last row; 0 when there was none ever.
    pub last: u64,
    /// How many rows there are.
    pub rows: u64,
    /// The hash of its last row. Noted elsewhere, it shows later that nothing before was changed.
    pub hash: AuditHash,
}

/// The first place where a trail is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFault {
    /// The number of the row.
    pub number: u64,
    /// What is wrong.
    pub what: String,
}

/// What a cut of the audit trail did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditCut {
    /// Rows removed.
    pub cut: usize,
    /// Whether there may be more to cut.
    pub more: bool,
}

/// The two lists of callbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallbackList {
    /// Those that are still tried.
    Owed,
    /// Those that are tried no more, and were not taken.
    Dead,
}

/// How a try to deliver a callback ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackVerdict {
    /// The portal took it.
    Delivered,
    /// It failed and is tried again.
    TryAgain {
        /// When.
        at: UnixMs,
        /// How it failed.
        fault: CallbackFault,
    },
    /// It failed, and is tried no more.
    Dead {
        /// Since now.
        since: UnixMs,
        /// How it failed.
        fault: CallbackFault,
    },
}

/// What became of the word how a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackSettled {
    /// It is stored.
    Stored,
    /// The callback is owed no more, or another try was counted since.
    Lost,
}

/// What became of a redelivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redelivered {
    /// It is due now.
    Owed(Box<Callback>),
    /// Nothing is owed or dead under this id.
    Absent,
}

/// One page of a list of callbacks, newest transactions first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallbackPage {
    /// The callbacks.
    pub callbacks: Vec<Callback>,
    /// Behind which the next page starts; `None` at the end.
    pub next: Option<TransactionId>,
}

/// What a host is owed now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueCallbacks {
    /// The callbacks, the longest due first.
    pub callbacks: Vec<Callback>,
    /// The next try of the first that is not among them.
    pub next_try_at: Option<UnixMs>,
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
            && self.user.as_ref().is_none_or(|user| transaction.user == *user)
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

/// Names of the deployment's own small values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetaKey {
    /// The issuer of the device protocol, fixed at the first start.
    Issuer,
    /// The key that push ids and activation codes are derived with.
    DerivationKey,
}

/// A token that a push network knows us by, as it outlives the process.
#[derive(Clone)]
pub struct KeptProviderToken {
    /// A hash over the credential that it was made with.
    pub credential: [u8; 32],
    /// The value of `authorization`.
    pub authorization: Secret<String>,
    /// When it was made.
    pub minted_at: UnixMs,
    /// From when on it is to be replaced.
    pub refresh_at: UnixMs,
    /// From when on it is worthless.
    pub expires_at: UnixMs,
}

impl fmt::Debug for KeptProviderToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KeptProviderToken")
            .field("minted_at", &self.minted_at)
            .finish_non_exhaustive()
    }
}

/// What one group commit did.
#[derive(Clone, Copy, Debug, Default)]
pub struct CommitReport {
    /// Verbs in the batch.
    pub verbs: usize,
    /// Bytes of the batch.
    pub bytes: usize,
    /// The longest wait of a verb in the queue.
    pub queue_wait: Duration,
    /// The write with its sync.
    pub write: Duration,
    /// Whether the write-ahead log was synced.
    pub synced: bool,
    /// Rows that the audit trail has grown by.
    pub audit_rows: u64,
}

/// Who wants to know what the writer does; called on the writer's thread, so it must be quick.
pub trait StoreObserver: Send + Sync + 'static {
    /// A batch was committed.
    fn committed(&self, report: CommitReport);
    /// A verb was refused because the queue was full.
    fn refused(&self);
}

/// An observer that wants to know nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl StoreObserver for NoObserver {
    fn committed(&self, _report: CommitReport) {}
    fn refused(&self) {}
}

/// The storage of the product.
pub trait Store: Send + Sync + 'static {
    /// Stores a new transaction.
    fn create(&self, new: NewTransaction) -> Pending<Created>;

    /// Stores the final state of a transaction, if it is still `pending`. An answer by a PIN also forgets the wrong
    /// ones before it, and is refused when its device is revoked.
    fn end(&self, ended: Transaction) -> Pending<Ended>;

    /// Stores how far the pushes of a pending transaction came: the revision, and status and reason of each
    /// delivery; nothing else of `marked` is looked at. Rides in a batch without a sync of its own and is dropped
    /// when what is stored is final or not older.
    fn mark(&self, marked: Transaction) -> Pending<()>;

    /// Stores a wrong try: `tried` carries the raised counter, `used_before` the one it was raised from. When
    /// the try was the last, `tried` is already final, and both are stored in one batch.
    fn attempt(&self, tried: Transaction, used_before: u32) -> Pending<Attempted>;

    /// Keeps a challenge in the form in which it is about to leave for this phone, unless one for the same key is
    /// kept; answers with the one that stands. For a transaction that is absent or final nothing is stored.
    fn keep_challenge(
        &self,
        id: TransactionId,
        device_id: DeviceId,
        challenge: KeptChallenge,
    ) -> Pending<KeptChallenge>;

    /// Stores a changed record of a transaction that stays pending, if the stored one is pending, older and has the
    /// same counters.
    fn amend(&self, amended: Transaction) -> Pending<Amended>;

    /// Stores a new enrolment and uses its authorization up; the mode is judged here and again when the phone enrols.
    fn open_enrollment(&self, new: NewEnrollment) -> Pending<EnrollmentOpened>;

    /// Registers `device` by the activation code whose hash is `code_hash`, and uses the code up.
    /// User, app, enrolment and server key of `device` are overwritten by the enrolment's. Where a number confirms it,
    /// the device is `unconfirmed` and gone at the enrolment's end; else what the mode replaces is revoked in the same
    /// batch.
    fn enrol(
        &self,
        code_hash: ActivationCodeHash,
        device: Device,
        rules: EnrolmentRules,
        now: UnixMs,
    ) -> Pending<Enrolled>;

    /// Stores what a posted number does: completes the enrolment, or counts a wrong try.
    fn confirm_enrollment(
        &self,
        id: EnrollmentId,
        is_right: bool,
        rules: EnrolmentRules,
        now: UnixMs,
    ) -> Pending<EnrollmentConfirmed>;

    /// Changes a device. Another device of the same user and app that holds the same address loses it.
    fn change_device(
        &self,
        id: DeviceId,
        change: DeviceChange,
        by: AuditActor,
        now: UnixMs,
    ) -> Pending<DeviceChanged>;

    /// Cancels an enrolment; a phone that waits for its number is gone with it.
    fn cancel_enrollment(&self, id: EnrollmentId) -> Pending<EnrollmentCancelled>;

    /// Removes a device for good.
    fn revoke_device(&self, id: DeviceId, by: AuditActor, now: UnixMs) -> Pending<Revoked>;

    /// Counts a wrong PIN. The one that reaches `tries_max` (zero: none does) revokes the device.
    fn count_pin_try(&self, id: DeviceId, tries_max: u32, now: UnixMs) -> Pending<PinTried>;

    /// Notes the `iat` of a call that is about to change something, if it is above that of the last signed change.
    fn note_change(&self, id: DeviceId, issued_at: UnixMs) -> Pending<ChangeNoted>;

    /// Adds or replaces a key of a device; uses up what entitles to it.
    fn put_key(&self, change: KeyChange) -> Pending<KeyPut>;

    /// Removes a key of a device; never its `device` key.
    fn delete_key(&self, id: DeviceId, key_use: KeyUse) -> Pending<KeyDeleted>;

    /// Counts a push that is to be repeated.
    fn resend(&self, resend: Resend) -> Pending<Resent>;

    /// Applies a network's verdict to every device that still holds this address. A dead one becomes
    /// `unreachable` and loses the address; answers with the devices that changed.
    fn judge_push_target(
        &self,
        kind: PushKind,
        token: PushToken,
        verdict: PushTargetVerdict,
    ) -> Pending<Vec<DeviceId>>;

    /// Keeps `value` under `key` unless there is one; answers with the one that stands.
    fn keep_meta(&self, key: MetaKey, value: Vec<u8>) -> Pending<Vec<u8>>;

    /// The value under `key`.
    fn meta(&self, key: MetaKey) -> Read<'_, Option<Vec<u8>>>;

    /// Keeps the last token of a provider in place of the one before, until it expires. Whether tokens may be on the
    /// disk is for the caller to know.
    fn keep_provider_token(&self, provider: ProviderName, token: KeptProviderToken) -> Pending<()>;

    /// The last token of a provider that was kept and has not expired.
    fn provider_token(&self, provider: ProviderName) -> Read<'_, Option<KeptProviderToken>>;

    /// Adds a row of its own to the audit trail, for what changes nothing in the storage.
    fn note(&self, event: AuditEvent) -> Pending<()>;

    /// Removes the oldest rows of the audit trail, as far as they were stored before `before`; a bounded number, so
    /// that it is asked again while there is more.
    fn cut_audit(&self, before: UnixMs) -> Pending<AuditCut>;

    /// Rows of the audit trail.
    fn audit(&self, query: AuditQuery) -> Read<'_, AuditPage>;

    /// Checks a bounded number of rows of the audit trail against the chain of their hashes.
    fn check_audit(&self, checkpoint: AuditCheckpoint) -> Read<'_, AuditChecked>;
    /// Stores how a try to deliver a callback ended. `tries_before` are the failed tries that the try was made
    /// after. A delivery and another try ride in a batch without a sync of their own: losing one costs a duplicate.
    fn settle_callback(
        &self,
        id: TransactionId,
        tries_before: u32,
        verdict: CallbackVerdict,
    ) -> Pending<CallbackSettled>;

    /// Makes a callback due now; a dead one is owed again from now on.
    fn redeliver_callback(&self, id: TransactionId, by: AuditActor, now: UnixMs) -> Pending<Redelivered>;

    /// The callback of this transaction in this list.
    fn callback(&self, list: CallbackList, id: TransactionId) -> Read<'_, Option<Callback>>;

    /// One page of callbacks behind `after`, newest transactions first, at most `limit`.
    fn callbacks(
        &self,
        list: CallbackList,
        after: Option<TransactionId>,
        limit: usize,
    ) -> Read<'_, CallbackPage>;

    /// What this host is owed with its next try in `within`, the longest due first, at most `limit`. A caller who
    /// knows that nothing is due before `within` spares the storage a walk over what was delivered.
    fn due_callbacks(
        &self,
        host: CallbackHost,
        within: RangeInclusive<UnixMs>,
        limit: usize,
    ) -> Read<'_, DueCallbacks>;

    /// The hosts behind `after` that are owed something, at most `limit`, each with its first next try.
    fn callback_hosts(
        &self,
        after: Option<CallbackHost>,
        limit: usize,
    ) -> Read<'_, Vec<(CallbackHost, UnixMs)>>;

    /// The transaction with this id.
    fn transaction(&self, id: TransactionId) -> Read<'_, Option<Transaction>>;

    /// The challenge as it left for this phone, until the transaction's deadline.
    fn kept_challenge(&self, id: TransactionId, device_id: DeviceId) -> Read<'_, Option<KeptChallenge>>;

    /// The transaction that this client started with this key, with the fingerprint of that start.
    fn by_idempotency_key<'a>(
        &'a self,
        client: &'a ClientId,
        idempotency: &'a Idempotency,
    ) -> Read<'a, Option<Created>>;

    /// The enrolment that this client opened with this key, with the fingerprint of that call.
    fn enrollment_by_idempotency_key<'a>(
        &'a self,
        client: &'a ClientId,
        idempotency: &'a Idempotency,
    ) -> Read<'a, Option<EnrollmentOpened>>;

    /// One page of the open transactions after `after`, at most `limit`.
    fn open_transactions(&self, after: Option<(UnixMs, TransactionId)>, limit: usize) -> Read<'_, OpenPage>;

    /// One page of the transactions that `query` is for, newest first; at most 1,000 rows are looked at.
    fn transactions(&self, query: TransactionQuery) -> Read<'_, TransactionPage>;

    /// The enrolment with this id.
    fn enrollment(&self, id: EnrollmentId) -> Read<'_, Option<Enrollment>>;

    /// The enrolment with this activation code.
    fn enrollment_by_code(&self, code_hash: ActivationCodeHash) -> Read<'_, Option<Enrollment>>;

    /// The device with this id, revoked ones too.
    fn device(&self, id: DeviceId) -> Read<'_, Option<Device>>;

    /// The device that has a key of this name.
    fn device_by_kid(&self, kid: KeyId) -> Read<'_, Option<Device>>;

    /// The devices of a user, newest first, revoked ones too until their retention ends.
    fn devices_of<'a>(&'a self, user: &'a User) -> Read<'a, Vec<Device>>;

    /// Verbs waiting for the writer.
    fn queue_depth(&self) -> usize;

    /// Turns `true` when a write or sync failed and the process must end.
    fn stopped(&self) -> watch::Receiver<bool>;

    /// When the writer last showed that it lives, measured from now.
    fn writer_idle_for(&self) -> Duration;
}
