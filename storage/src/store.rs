//! The storage trait: the product's verbs and what they answer.
//!
//! Every write verb is submitted without blocking and answered once it is durable by the configured meaning.
//! Each is a compare-and-set; a competitor that lost is told the current state. Reads see every
//! acknowledged write.

mod audit;
mod callback;
mod device;
mod enrollment;
mod kept;
mod transaction;
mod user;

use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tocsin_model::{
    ActivationCodeHash, AuditActor, AuditEvent, Callback, CallbackHost, ClientId, Device, DeviceId,
    Enrollment, EnrollmentId, EnrolmentRules, Idempotency, KeptChallenge, KeyId, KeyUse, OtpHash,
    ProviderName, PushKind, PushToken, Transaction, TransactionId, UnixMs, User, UserLock, UserProfile,
    UserStanding,
};
use tokio::sync::{oneshot, watch};

use crate::{StoreError, StoreErrorKind};

pub use audit::{AuditChecked, AuditCheckpoint, AuditCut, AuditFault, AuditPage, AuditQuery, AuditSummary};
pub use callback::{CallbackList, CallbackPage, CallbackSettled, CallbackVerdict, DueCallbacks, Redelivered};
pub use device::{
    ChangeNoted, DeviceChange, DeviceChanged, KeyApproval, KeyChange, KeyDeleted, KeyPut, PinTried,
    PushTargetVerdict, Revoked,
};
pub use enrollment::{
    Enrolled, EnrollmentCancelled, EnrollmentConfirmed, EnrollmentOpened, NewEnrollment, Registered,
};
pub use kept::{KeptProviderToken, MetaKey};
pub use transaction::{
    Amended, Attempted, Claimed, Created, Ended, NewTransaction, OpenIds, OpenPage, Resend, Resent,
    TransactionPage, TransactionQuery,
};
pub use user::{Erased, Erasure, KnownUser};

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

/// Who wants to know what the writer does; called between two writes, so it must be quick.
pub trait StoreObserver: Send + Sync + 'static {
    /// A batch was committed.
    fn committed(&self, report: CommitReport);
    /// A verb was refused because the queue was full.
    fn refused(&self);
}

/// The rows of users and phones that are kept in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowsKept {
    /// What they take.
    pub bytes: u64,
    /// First looks for what was kept: a row, the list of a user's phones, or that there is none.
    pub found: u64,
    /// Looks for what had to be read.
    pub read: u64,
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
    /// Stores a new transaction, unless its user is locked, and cancels those that it takes the place of.
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

    /// Stores who has claimed an anonymous transaction, if it is pending and nobody has before: `claimed` carries the
    /// phone, which must be one that may answer, and its user, who is not locked and among whose transactions it is listed from now on.
    fn claim(&self, claimed: Transaction) -> Pending<Claimed>;

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

    /// Removes all locks of a user, and forgets the pushes that he ignored or refused; answers with the locks that
    /// held.
    fn unlock_user(&self, user: User, by: AuditActor) -> Pending<Vec<UserLock>>;

    /// Keeps a profile of a user in place of the one before.
    fn put_profile(&self, user: User, profile: UserProfile, by: AuditActor) -> Pending<()>;

    /// What is kept of a user.
    fn profile<'a>(&'a self, user: &'a User) -> Read<'a, Option<UserProfile>>;

    /// Erases a user: profile, devices, locks and the transactions named, which end as `failed/user_deleted`. The audit
    /// trail keeps his pseudonym, and nothing leads from it to him.
    fn erase_user(&self, erasure: Erasure) -> Pending<Erased>;

    /// Takes out of an erased user's ended transactions what tells of him, some at a time: those behind `behind`.
    /// Answers with where to go on; `None` when it is done.
    fn redact_ended(&self, user: User, behind: Option<TransactionId>) -> Pending<Option<TransactionId>>;

    /// How a user stands.
    fn standing<'a>(&'a self, user: &'a User) -> Read<'a, UserStanding>;

    /// How a user stands and what is kept of him, at the same moment.
    fn known_user<'a>(&'a self, user: &'a User) -> Read<'a, KnownUser>;

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

    /// The transaction with this one-time password, until its deadline.
    fn transaction_by_otp(&self, hash: OtpHash) -> Read<'_, Option<TransactionId>>;

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

    /// One page of the ids of the open transactions after `after`, at most `limit`.
    fn open_ids(&self, after: Option<(UnixMs, TransactionId)>, limit: usize) -> Read<'_, OpenIds>;

    /// Those of these transactions that there are, in the order of `ids`, which name each once; read in one go.
    fn transactions_with(&self, ids: Vec<TransactionId>) -> Read<'_, Vec<Transaction>>;

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

    /// The same, shared as by [`Store::device_by_kid`].
    fn phone(&self, id: DeviceId) -> Read<'_, Option<Arc<Device>>>;

    /// Those of these devices that there are, revoked ones too, in the order of their ids; read in one go.
    fn devices(&self, ids: Vec<DeviceId>) -> Read<'_, Vec<Device>>;

    /// The device that has a key of this name. It is shared with whoever asks next, so `last_used_at` may be behind:
    /// answers do not change it.
    fn device_by_kid(&self, kid: KeyId) -> Read<'_, Option<Arc<Device>>>;

    /// The devices of a user, newest first, revoked ones too until their retention ends.
    fn devices_of<'a>(&'a self, user: &'a User) -> Read<'a, Vec<Device>>;

    /// Those of them that were not revoked, shared as by [`Store::device_by_kid`].
    fn phones_of<'a>(&'a self, user: &'a User) -> Read<'a, Vec<Arc<Device>>>;

    /// Verbs waiting for the writer.
    fn queue_depth(&self) -> usize;

    /// What is kept in memory of rows on disk.
    fn rows_kept(&self) -> RowsKept;

    /// Turns `true` when a write or sync failed and the process must end.
    fn stopped(&self) -> watch::Receiver<bool>;

    /// When the writer last showed that it lives, measured from now.
    fn writer_idle_for(&self) -> Duration;
}
