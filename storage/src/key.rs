//! Row keys: which rows there are, where each lives and how its key is spelt.
//!
//! A key is a two-byte kind, then fixed-size big-endian parts or texts ended by a zero byte, so that the order of
//! the bytes is the order of the meaning. Invariants: a kind belongs to one family for ever; a retired kind keeps
//! its bytes and is never given to another row; names and user ids hold no zero byte (the model refuses control
//! characters), so no text can run into the part behind it.

mod bytes;

use std::fmt;

use tocsin_model::{
    ActivationCodeHash, AppName, CallbackHost, ClientId, DeviceId, EnrollmentId, IdempotencyKey, KeyId,
    OtpHash, ProviderName, Pseudonym, PushKind, PushToken, Thumbprint, TransactionId, UnixMs, User,
};

use self::bytes::KeyBytes;
use crate::MetaKey;
use crate::hash::sha256;
#[cfg(feature = "rocks")]
use crate::sealing::MasterKeyId;
use crate::store::CallbackList;

/// A set of rows with one way of being kept. Adding one does not raise the format number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Family {
    /// Transactions by id, that is by time, with the marks and the kept challenges of pending ones.
    Transaction,
    /// Open transactions by deadline.
    Open,
    /// Idempotency keys.
    Idempotency,
    /// Devices by id.
    Device,
    /// Devices by thumbprint and by key id.
    DeviceKey,
    /// Devices by push address.
    PushTarget,
    /// Devices by user.
    UserDevice,
    /// Enrolments by id and by code, and the transactions that authorised something.
    Enrollment,
    /// Callbacks that are owed, those that are dead, and the order of the next tries.
    Outbox,
    /// The deployment's own values.
    Meta,
    /// Transactions by user.
    ByUser,
    /// The audit trail by number, and its two ends.
    Audit,
    /// Users: how they stand, their profiles, and whom the pseudonyms of the audit trail stand for.
    User,
    /// Anonymous transactions by one-time password.
    Otp,
}

impl Family {
    /// Every family, in the order of their numbers.
    #[cfg(feature = "rocks")]
    pub(crate) const ALL: [Self; 14] = [
        Self::Transaction,
        Self::Open,
        Self::Idempotency,
        Self::Device,
        Self::DeviceKey,
        Self::PushTarget,
        Self::UserDevice,
        Self::Enrollment,
        Self::Outbox,
        Self::Meta,
        Self::ByUser,
        Self::Audit,
        Self::User,
        Self::Otp,
    ];

    /// Whether most look-ups are for keys that are not there: whether an id, a promise or a mark is new.
    #[cfg(feature = "rocks")]
    pub(crate) const fn is_asked_for_new_keys(self) -> bool {
        matches!(self, Self::Transaction | Self::Idempotency)
    }

    /// The name on disk.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::Open => "open",
            Self::Idempotency => "idempotency",
            Self::Device => "device",
            Self::DeviceKey => "device-key",
            Self::PushTarget => "push-target",
            Self::UserDevice => "user-device",
            Self::Enrollment => "enrolment",
            Self::Outbox => "outbox",
            Self::Meta => "meta",
            Self::ByUser => "by-user",
            Self::Audit => "audit",
            Self::User => "user",
            Self::Otp => "otp",
        }
    }
}

/// The kind of a row. The high byte follows the family, the low byte counts inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Transaction = 0x0101,
    TransactionMarks = 0x0102,
    KeptChallenge = 0x0103,
    Open = 0x0201,
    // 0x0302 is retired: a client's keys were once apart by call.
    Idempotency = 0x0301,
    Device = 0x0401,
    DeviceUsed = 0x0402,
    DeviceByThumbprint = 0x0501,
    DeviceByKid = 0x0502,
    PushTarget = 0x0601,
    LiveDeviceOfUser = 0x0701,
    RevokedDeviceOfUser = 0x0702,
    Enrollment = 0x0801,
    EnrollmentByCode = 0x0802,
    UsedAuthorization = 0x0803,
    #[cfg_attr(not(feature = "rocks"), allow(dead_code, reason = "only a disk has a format"))]
    Format = 0x0901,
    Meta = 0x0902,
    #[cfg_attr(not(feature = "rocks"), allow(dead_code, reason = "only a disk is sealed"))]
    SealedBy = 0x0903,
    ProviderToken = 0x0904,
    TransactionOfUser = 0x0a01,
    CallbackOwed = 0x0b01,
    CallbackDead = 0x0b02,
    CallbackDue = 0x0b03,
    Audit = 0x0c01,
    AuditHead = 0x0c02,
    AuditAnchor = 0x0c03,
    User = 0x0d01,
    Profile = 0x0d02,
    Pseudonym = 0x0d03,
    TransactionByOtp = 0x0e01,
}

impl Kind {
    const fn family(self) -> Family {
        match self {
            Self::Transaction | Self::TransactionMarks | Self::KeptChallenge => Family::Transaction,
            Self::Open => Family::Open,
            Self::Idempotency => Family::Idempotency,
            Self::Device | Self::DeviceUsed => Family::Device,
            Self::DeviceByThumbprint | Self::DeviceByKid => Family::DeviceKey,
            Self::PushTarget => Family::PushTarget,
            Self::LiveDeviceOfUser | Self::RevokedDeviceOfUser => Family::UserDevice,
            Self::Enrollment | Self::EnrollmentByCode | Self::UsedAuthorization => Family::Enrollment,
            Self::Format | Self::Meta | Self::SealedBy | Self::ProviderToken => Family::Meta,
            Self::Audit | Self::AuditHead | Self::AuditAnchor => Family::Audit,
            Self::CallbackOwed | Self::CallbackDead | Self::CallbackDue => Family::Outbox,
            Self::TransactionOfUser => Family::ByUser,
            Self::User | Self::Profile | Self::Pseudonym => Family::User,
            Self::TransactionByOtp => Family::Otp,
        }
    }

    const fn bytes(self) -> [u8; 2] {
        (self as u16).to_be_bytes()
    }

    /// Kinds whose rows are never sealed: all that they hold are ids, hashes, times and states. Whatever is not
    /// listed is sealed where there is a master key. The key of a row is always in clear.
    const CLEAR: [Self; 15] = [
        Self::TransactionMarks,
        Self::Open,
        Self::Idempotency,
        Self::DeviceUsed,
        Self::DeviceByThumbprint,
        Self::DeviceByKid,
        Self::PushTarget,
        Self::LiveDeviceOfUser,
        Self::RevokedDeviceOfUser,
        Self::EnrollmentByCode,
        Self::Format,
        Self::AuditHead,
        Self::AuditAnchor,
        Self::CallbackDue,
        Self::TransactionByOtp,
    ];

    /// Kinds of which each row is looked at by starts, challenges and answers.
    #[cfg(feature = "rocks")]
    const KEPT_IN_MEMORY: [Self; 4] = [Self::Device, Self::DeviceByKid, Self::User, Self::Profile];
}

/// A kind and the hash of a user, with which the keys of a user's devices begin.
#[cfg(feature = "rocks")]
const DEVICES_OF_USER_BYTES: usize = 2 + 32;

/// The key of one row, or the beginning of the keys of many.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    family: Family,
    bytes: KeyBytes,
}

impl Key {
    fn new(kind: Kind, parts: &[&[u8]]) -> Self {
        let mut bytes = KeyBytes::EMPTY;
        bytes.extend(&kind.bytes());
        parts.iter().for_each(|part| bytes.extend(part));
        Self { family: kind.family(), bytes }
    }

    /// A key read back from the disk.
    #[cfg(feature = "rocks")]
    pub(crate) fn from_stored(family: Family, bytes: &[u8]) -> Self {
        Self { family, bytes: KeyBytes::of(bytes) }
    }

    /// The name of the family.
    pub(crate) const fn family_name(&self) -> &'static str {
        self.family.name()
    }

    /// Whether the row is sealed where there is a master key.
    pub(crate) fn is_sealed_kind(&self) -> bool {
        !Kind::CLEAR.iter().any(|kind| self.bytes.starts_with(&kind.bytes()))
    }

    /// Whether the row is of a kind that is looked at all the time, and so kept in memory.
    #[cfg(feature = "rocks")]
    pub(crate) fn is_kept_in_memory(&self) -> bool {
        Kind::KEPT_IN_MEMORY.iter().any(|kind| self.bytes.starts_with(&kind.bytes()))
    }

    /// Whether the row is that of a device.
    #[cfg(feature = "rocks")]
    pub(crate) fn is_device(&self) -> bool {
        self.bytes.starts_with(&Kind::Device.bytes())
    }

    /// Whether the key is the beginning of all that lead to the devices of one user, a list that is kept in memory.
    #[cfg(feature = "rocks")]
    pub(crate) fn is_devices_of_user(&self) -> bool {
        self.family == Family::UserDevice && self.bytes.len() == DEVICES_OF_USER_BYTES
    }

    /// The list of that kind in which the row is.
    #[cfg(feature = "rocks")]
    pub(crate) fn devices_of_its_user(&self) -> Option<Self> {
        let beginning =
            self.bytes.get(..DEVICES_OF_USER_BYTES).filter(|_| self.family == Family::UserDevice)?;
        Some(Self::from_stored(self.family, beginning))
    }

    /// Where the row lives.
    pub(crate) const fn family(&self) -> Family {
        self.family
    }

    /// The key as it stands on disk.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether this key begins with `prefix`.
    pub(crate) fn starts_with(&self, prefix: &Self) -> bool {
        self.family == prefix.family && self.bytes.starts_with(&prefix.bytes)
    }

    /// A key behind all that begin with this one. No id is as long as what is added, so none reaches it.
    pub(crate) fn behind_all(&self) -> Self {
        const LONGEST_REST: usize = 512;
        let mut bytes = self.bytes.clone();
        bytes.extend(&[0xff; LONGEST_REST]);
        Self { family: self.family, bytes }
    }

    /// A transaction.
    pub(crate) fn transaction(id: &TransactionId) -> Self {
        Self::new(Kind::Transaction, &[id.as_bytes()])
    }

    /// All transactions, in the order of their time.
    pub(crate) fn transactions() -> Self {
        Self::new(Kind::Transaction, &[])
    }

    /// The marks of a transaction.
    pub(crate) fn transaction_marks(id: &TransactionId) -> Self {
        Self::new(Kind::TransactionMarks, &[id.as_bytes()])
    }

    /// A challenge as it left for one phone.
    pub(crate) fn kept_challenge(id: &TransactionId, device: &DeviceId) -> Self {
        Self::new(Kind::KeptChallenge, &[id.as_bytes(), device.as_bytes()])
    }

    /// The transactions up to `last` with their marks and kept challenges, as ranges without their ends. Kept
    /// challenges of `last` itself may stay: they have expired, and go with the next range or by compaction.
    #[cfg(feature = "rocks")]
    pub(crate) fn transactions_up_to(last: &TransactionId) -> [(Self, Self); 3] {
        // No key stands between one and the same with a zero byte behind it.
        let range = |kind| (Self::new(kind, &[]), Self::new(kind, &[last.as_bytes(), &[0]]));
        [Kind::Transaction, Kind::TransactionMarks, Kind::KeptChallenge].map(range)
    }

    /// A place among the open transactions.
    pub(crate) fn open(expires_at: UnixMs, id: &TransactionId) -> Self {
        Self::new(Kind::Open, &[&expires_at.get().to_be_bytes(), id.as_bytes()])
    }

    /// All open transactions.
    pub(crate) fn all_open() -> Self {
        Self::new(Kind::Open, &[])
    }

    /// A client's promise. Key and client are hashed, so that the row is short whatever the caller chose.
    pub(crate) fn idempotency(client: &ClientId, key: &IdempotencyKey) -> Self {
        Self::new(Kind::Idempotency, &[&sha256(&[client.as_str().as_bytes(), &[0], key.as_str().as_bytes()])])
    }

    /// A device.
    pub(crate) fn device(id: &DeviceId) -> Self {
        Self::new(Kind::Device, &[id.as_bytes()])
    }

    /// When a device last answered.
    pub(crate) fn device_used(id: &DeviceId) -> Self {
        Self::new(Kind::DeviceUsed, &[id.as_bytes()])
    }

    /// The device with this `device` key.
    pub(crate) fn device_by_thumbprint(thumbprint: &Thumbprint) -> Self {
        Self::new(Kind::DeviceByThumbprint, &[thumbprint.as_bytes()])
    }

    /// The device with a key of this name.
    pub(crate) fn device_by_kid(kid: &KeyId) -> Self {
        Self::new(Kind::DeviceByKid, &[kid.as_bytes()])
    }

    /// A device that holds a push address.
    pub(crate) fn push_target(kind: PushKind, token: &PushToken, device: &DeviceId) -> Self {
        Self::new(Kind::PushTarget, &[&push_target_hash(kind, token), device.as_bytes()])
    }

    /// The devices that hold a push address.
    pub(crate) fn push_targets(kind: PushKind, token: &PushToken) -> Self {
        Self::new(Kind::PushTarget, &[&push_target_hash(kind, token)])
    }

    /// A device of a user that is not revoked.
    pub(crate) fn live_device(user: &User, app: &AppName, device: &DeviceId) -> Self {
        Self::of_user(Kind::LiveDeviceOfUser, user, &[app.as_str().as_bytes(), &[0], device.as_bytes()])
    }

    /// The devices of a user that are not revoked.
    pub(crate) fn live_devices(user: &User) -> Self {
        Self::of_user(Kind::LiveDeviceOfUser, user, &[])
    }

    /// The devices of a user for one app that are not revoked.
    pub(crate) fn live_devices_of_app(user: &User, app: &AppName) -> Self {
        Self::of_user(Kind::LiveDeviceOfUser, user, &[app.as_str().as_bytes(), &[0]])
    }

    /// A revoked device of a user; the one revoked last comes first.
    pub(crate) fn revoked_device(user: &User, revoked_at: UnixMs, device: &DeviceId) -> Self {
        let newest_first = (u64::MAX - revoked_at.get()).to_be_bytes();
        Self::of_user(Kind::RevokedDeviceOfUser, user, &[&newest_first, device.as_bytes()])
    }

    /// The revoked devices of a user.
    pub(crate) fn revoked_devices(user: &User) -> Self {
        Self::of_user(Kind::RevokedDeviceOfUser, user, &[])
    }

    /// A transaction of a user.
    pub(crate) fn transaction_of_user(user: &User, id: &TransactionId) -> Self {
        Self::of_user(Kind::TransactionOfUser, user, &[id.as_bytes()])
    }

    /// The transactions of a user.
    pub(crate) fn transactions_of_user(user: &User) -> Self {
        Self::of_user(Kind::TransactionOfUser, user, &[])
    }

    /// How a user stands, and how the audit trail names him.
    pub(crate) fn user(user: &User) -> Self {
        Self::of_user(Kind::User, user, &[])
    }

    /// What a portal keeps of a user.
    pub(crate) fn profile(user: &User) -> Self {
        Self::of_user(Kind::Profile, user, &[])
    }

    /// Whom a pseudonym of the audit trail stands for.
    pub(crate) fn pseudonym(pseudonym: &Pseudonym) -> Self {
        Self::new(Kind::Pseudonym, &[pseudonym.as_bytes()])
    }

    fn of_user(kind: Kind, user: &User, rest: &[&[u8]]) -> Self {
        let mut key = Self::new(kind, &[&user_hash(user)]);
        rest.iter().for_each(|part| key.bytes.extend(part));
        key
    }

    /// An enrolment.
    pub(crate) fn enrollment(id: &EnrollmentId) -> Self {
        Self::new(Kind::Enrollment, &[id.as_bytes()])
    }

    /// All enrolments.
    #[cfg(feature = "rocks")]
    pub(crate) fn enrollments() -> Self {
        Self::new(Kind::Enrollment, &[])
    }

    /// All devices.
    #[cfg(feature = "rocks")]
    pub(crate) fn devices() -> Self {
        Self::new(Kind::Device, &[])
    }

    /// The enrolment with this activation code.
    pub(crate) fn enrollment_by_code(hash: &ActivationCodeHash) -> Self {
        Self::new(Kind::EnrollmentByCode, &[hash.as_bytes()])
    }

    /// That an accepted transaction has authorised something; it does so once.
    pub(crate) fn used_authorization(id: &TransactionId) -> Self {
        Self::new(Kind::UsedAuthorization, &[id.as_bytes()])
    }

    /// The format number.
    #[cfg(feature = "rocks")]
    pub(crate) fn format() -> Self {
        Self::new(Kind::Format, &[])
    }

    /// A proof that rows were sealed by this master key.
    #[cfg(feature = "rocks")]
    pub(crate) fn sealed_by(key: MasterKeyId) -> Self {
        Self::new(Kind::SealedBy, &[&key.to_stored()])
    }

    /// All proofs of sealing.
    #[cfg(feature = "rocks")]
    pub(crate) fn all_sealed_by() -> Self {
        Self::new(Kind::SealedBy, &[])
    }

    /// The master key of a proof of sealing.
    #[cfg(feature = "rocks")]
    pub(crate) fn as_sealed_by(&self) -> Option<MasterKeyId> {
        MasterKeyId::from_stored(self.bytes.get(2..)?.try_into().ok()?)
    }

    /// A value of the deployment. The numbers are on disk.
    pub(crate) fn meta(key: MetaKey) -> Self {
        let number = match key {
            MetaKey::Issuer => 1_u8,
            MetaKey::DerivationKey => 2,
            MetaKey::PseudonymKey => 3,
        };
        Self::new(Kind::Meta, &[&[number]])
    }

    /// The last token of a provider.
    pub(crate) fn provider_token(provider: &ProviderName) -> Self {
        Self::new(Kind::ProviderToken, &[provider.as_str().as_bytes(), &[0]])
    }

    /// The transaction with this one-time password.
    pub(crate) fn transaction_by_otp(hash: &OtpHash) -> Self {
        Self::new(Kind::TransactionByOtp, &[hash.as_bytes()])
    }

    /// A row of the audit trail.
    pub(crate) fn audit(number: u64) -> Self {
        Self::new(Kind::Audit, &[&number.to_be_bytes()])
    }

    /// All rows of the audit trail.
    pub(crate) fn audit_rows() -> Self {
        Self::new(Kind::Audit, &[])
    }

    /// The place of the last row of the audit trail.
    pub(crate) fn audit_head() -> Self {
        Self::new(Kind::AuditHead, &[])
    }

    /// The place of the last row that was cut from the audit trail.
    pub(crate) fn audit_anchor() -> Self {
        Self::new(Kind::AuditAnchor, &[])
    }

    /// The number of a row of the audit trail.
    pub(crate) fn as_audit(&self) -> Option<u64> {
        <[u8; 8]>::try_from(self.bytes.get(2..)?).ok().map(u64::from_be_bytes)
    }

    /// A callback that is owed.
    pub(crate) fn callback_owed(id: &TransactionId) -> Self {
        Self::callback(CallbackList::Owed, id)
    }

    /// A callback that is dead.
    pub(crate) fn callback_dead(id: &TransactionId) -> Self {
        Self::callback(CallbackList::Dead, id)
    }

    /// A callback of this list; ids are complemented, so that the newest comes first.
    pub(crate) fn callback(list: CallbackList, id: &TransactionId) -> Self {
        Self::new(callback_kind(list), &[&complement(id.as_bytes())])
    }

    /// The callbacks of this list.
    pub(crate) fn callbacks(list: CallbackList) -> Self {
        Self::new(callback_kind(list), &[])
    }

    /// A place in the order of a host's next tries.
    pub(crate) fn callback_due(host: &CallbackHost, next_try_at: UnixMs, id: &TransactionId) -> Self {
        let next_try_at = next_try_at.get().to_be_bytes();
        Self::new(Kind::CallbackDue, &[host.as_bytes(), &next_try_at, id.as_bytes()])
    }

    /// The next tries of a host.
    pub(crate) fn callbacks_due(host: &CallbackHost) -> Self {
        Self::new(Kind::CallbackDue, &[host.as_bytes()])
    }

    /// Before the next tries of a host from this moment on, and behind all earlier ones.
    pub(crate) fn callbacks_due_from(host: &CallbackHost, from: UnixMs) -> Self {
        Self::new(Kind::CallbackDue, &[host.as_bytes(), &from.get().to_be_bytes()])
    }

    /// Behind every next try of a host, and before those of the next.
    pub(crate) fn callbacks_due_end(host: &CallbackHost) -> Self {
        Self::new(Kind::CallbackDue, &[host.as_bytes(), &[0xff; 24]])
    }

    /// The next tries of all hosts.
    pub(crate) fn all_callbacks_due() -> Self {
        Self::new(Kind::CallbackDue, &[])
    }

    /// The last sixteen bytes, in which every key that names a device or a transaction ends.
    pub(crate) fn trailing_id(&self) -> Option<[u8; 16]> {
        self.bytes.last_chunk::<16>().copied()
    }

    /// The transaction of a callback of a list.
    pub(crate) fn as_callback(&self) -> Option<TransactionId> {
        self.trailing_id().map(|bytes| TransactionId::from_bytes(complement(&bytes)))
    }

    /// Host, time and transaction of a next try.
    pub(crate) fn as_callback_due(&self) -> Option<(CallbackHost, UnixMs, TransactionId)> {
        let (host, rest) = self.bytes.get(2..)?.split_first_chunk::<16>()?;
        let (next_try_at, id) = rest.split_first_chunk::<8>()?;
        let id = <[u8; 16]>::try_from(id).ok()?;
        let next_try_at = UnixMs::new(u64::from_be_bytes(*next_try_at));
        Some((CallbackHost::from_bytes(*host), next_try_at, TransactionId::from_bytes(id)))
    }

    /// Deadline and id of a place among the open transactions.
    pub(crate) fn as_open(&self) -> Option<(UnixMs, TransactionId)> {
        let (deadline, id) = self.bytes.get(2..)?.split_first_chunk::<8>()?;
        let id = <[u8; 16]>::try_from(id).ok()?;
        Some((UnixMs::new(u64::from_be_bytes(*deadline)), TransactionId::from_bytes(id)))
    }
}

/// Prints the kind and a hexadecimal key: ids and hashes, which may stand in a log.
impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/", self.family.name())?;
        self.bytes.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A user in the key of a row. Keys are never sealed, so the id itself does not stand there; whoever has the files
/// can still test a guess.
fn user_hash(user: &User) -> [u8; 32] {
    sha256(&[user.realm.as_str().as_bytes(), &[0], user.id.as_str().as_bytes()])
}

const fn callback_kind(list: CallbackList) -> Kind {
    match list {
        CallbackList::Owed => Kind::CallbackOwed,
        CallbackList::Dead => Kind::CallbackDead,
    }
}

fn complement(bytes: &[u8; 16]) -> [u8; 16] {
    bytes.map(|byte| !byte)
}

fn push_target_hash(kind: PushKind, token: &PushToken) -> [u8; 32] {
    sha256(&[kind.as_str().as_bytes(), &[0], token.expose().as_bytes()])
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
