//! The audit trail: who did what and when. Never a text, phone number, code, key or token; of what callers wrote only
//! names and ids, such as a portal's name of its session.
//!
//! A row is made where the change is decided and stored in the batch of that change; the storage numbers the rows
//! and chains them by hashes.

use std::fmt;

use crate::{
    ClientId, DeviceId, EnrollmentId, Fallback, OperatorName, State, Transaction, TransactionId, TypeName,
    UnixMs, User,
};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $number:literal $word:literal,)+) => {
        /// What happened. The number is stored and never given to another kind.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum AuditKind {
            $($(#[$doc])* $kind = $number,)+
        }

        impl AuditKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            /// The word of the ops door.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)+
                }
            }

            /// The number on disk.
            pub const fn number(self) -> u16 {
                self as u16
            }
        }
    };
}

kinds! {
    /// A portal started a transaction; its session is told where it was named.
    TransactionStarted = 1 "transaction_started",
    /// A transaction became final; the detail is its state, with the reason of a failure.
    TransactionEnded = 2 "transaction_ended",
    /// A wrong try was counted; the detail is how many there are now.
    WrongTry = 3 "wrong_try",
    /// A portal had the push repeated; the detail is how many times now.
    PushResent = 4 "push_resent",
    /// A transaction took its type's fallback; the detail is the methods before and since, and why.
    FallbackTaken = 5 "fallback_taken",
    /// A portal was handed a code, to deliver it by itself.
    CodeHandedOut = 6 "code_handed_out",
    /// A phone claimed an anonymous transaction for its user.
    OtpClaimed = 8 "otp_claimed",
    /// A portal opened an enrolment.
    EnrollmentOpened = 10 "enrollment_opened",
    /// An enrolment ended; the detail is its state.
    EnrollmentEnded = 11 "enrollment_ended",
    /// An enrolment was refused to a portal, or to a phone with a good code; the detail is the error's code.
    EnrollmentRefused = 12 "enrollment_refused",
    /// A phone was enrolled.
    DeviceEnrolled = 20 "device_enrolled",
    /// A device was changed; the detail is its new status, or what was changed.
    DeviceChanged = 21 "device_changed",
    /// A device was removed for good.
    DeviceRevoked = 22 "device_revoked",
    /// The oldest rows were cut because their retention was over; the detail is the number and the hash of the last
    /// of them. What is left begins behind it.
    TrailCut = 29 "trail_cut",
    /// The server began with this configuration, or took a new one over; the detail is a hash of what it says.
    ConfigLoaded = 30 "config_loaded",
    /// A new configuration was refused; the detail is how many faults it had.
    ConfigRefused = 31 "config_refused",
    /// An operator asked for a backup.
    BackupAsked = 40 "backup_asked",
    /// The database was restored from a backup.
    Restored = 41 "restored",
    /// An operator asked the server to drain.
    DrainAsked = 42 "drain_asked",
    /// An operator set what is logged; the detail is the filter.
    LogLevelSet = 43 "log_level_set",
    /// An operator asked for a callback to be delivered again.
    RedeliveryAsked = 45 "redelivery_asked",
    /// The place of an address was asked for and is not known; the detail is the source, the kind of failure, and how
    /// many there were since the last such row.
    PlaceUnknown = 50 "place_unknown",
    /// A user reported a request as fraud.
    FraudReported = 60 "fraud_reported",
    /// A user was locked; the detail is why.
    UserLocked = 61 "user_locked",
    /// A user's locks were removed.
    UserUnlocked = 62 "user_unlocked",
    /// A portal kept a profile of a user; the detail is which members it has.
    UserChanged = 63 "user_changed",
    /// A user was erased.
    UserErased = 64 "user_erased",
}

impl AuditKind {
    /// The kind with this number on disk.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.number() == number)
    }

    /// Parses the ops door's word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for AuditKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditActor {
    /// The server itself: a deadline, a provider's verdict, a restart.
    Server,
    /// A client of the portal door.
    Client(ClientId),
    /// A phone, by a good signature.
    Device(DeviceId),
    /// A token of the ops door.
    Operator(OperatorName),
    /// Whoever may run `tocsin` or signal the process on its machine.
    Console,
}

impl AuditActor {
    /// The word of the ops door.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client(_) => "client",
            Self::Device(_) => "device",
            Self::Operator(_) => "operator",
            Self::Console => "console",
        }
    }
}

/// Longest detail in bytes; a longer one is cut.
const DETAIL_BYTES_MAX: usize = 200;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// What.
    pub kind: AuditKind,
    /// Who.
    pub actor: AuditActor,
    /// About which user.
    pub user: Option<User>,
    /// About which transaction.
    pub transaction: Option<TransactionId>,
    /// The transaction's type.
    pub type_name: Option<TypeName>,
    /// About which device.
    pub device: Option<DeviceId>,
    /// About which enrolment.
    pub enrollment: Option<EnrollmentId>,
    /// A word or number of ours, as its kind says; never what a caller wrote.
    pub detail: Option<Box<str>>,
    /// The portal's own name of its session, with the start of a transaction.
    pub session: Option<Box<str>>,
}

impl AuditEvent {
    /// An event about nothing in particular.
    pub const fn new(kind: AuditKind, actor: AuditActor) -> Self {
        Self {
            kind,
            actor,
            user: None,
            transaction: None,
            type_name: None,
            device: None,
            enrollment: None,
            detail: None,
            session: None,
        }
    }

    /// About this user.
    #[must_use]
    pub fn user(mut self, user: &User) -> Self {
        self.user = Some(user.clone());
        self
    }

    /// About this transaction, its type and, if there is one, its user.
    #[must_use]
    pub fn transaction(mut self, transaction: &Transaction) -> Self {
        self.transaction = Some(transaction.id);
        self.type_name = Some(transaction.type_name.clone());
        self.user.clone_from(&transaction.user);
        self
    }

    /// About this device.
    #[must_use]
    pub const fn device(mut self, device: DeviceId) -> Self {
        self.device = Some(device);
        self
    }

    /// About this enrolment.
    #[must_use]
    pub const fn enrollment(mut self, enrollment: EnrollmentId) -> Self {
        self.enrollment = Some(enrollment);
        self
    }

    /// With this detail, cut to 200 bytes at a character's end.
    #[must_use]
    pub fn detail(mut self, detail: &str) -> Self {
        let mut end = detail.len().min(DETAIL_BYTES_MAX);
        while !detail.is_char_boundary(end) {
            end -= 1;
        }
        self.detail = Some(detail[..end].into());
        self
    }

    /// The start of a transaction.
    pub fn started(transaction: &Transaction) -> Self {
        let actor = AuditActor::Client(transaction.client.clone());
        let session = transaction.call_context.as_ref().and_then(|context| context.session_id.clone());
        Self { session, ..Self::new(AuditKind::TransactionStarted, actor) }.transaction(transaction)
    }

    /// A fallback that a transaction took, if it took one.
    pub fn fallback(transaction: &Transaction) -> Option<Self> {
        let Fallback { from, to, reason, at: _ } = transaction.fallback()?;
        let event = Self::new(AuditKind::FallbackTaken, AuditActor::Server).transaction(transaction);
        Some(event.detail(&format!("{} {} {}", from.as_str(), to.as_str(), reason.as_str())))
    }

    /// The end of a transaction.
    pub fn ended(transaction: &Transaction) -> Self {
        let event = Self::new(AuditKind::TransactionEnded, who_ended(transaction)).transaction(transaction);
        match (transaction.state, &transaction.answer) {
            (State::Failed(reason), _) => event.detail(&format!("failed {}", reason.as_str())),
            (state, Some(answer)) => {
                event.device(answer.device_id).detail(&format!("{} {}", state.as_str(), answer.key_use))
            }
            (State::Accepted, None) => event.detail("accepted code"),
            (state, None) => event.detail(state.as_str()),
        }
    }
}

fn who_ended(transaction: &Transaction) -> AuditActor {
    match (&transaction.answer, transaction.state) {
        (Some(answer), _) => AuditActor::Device(answer.device_id),
        (None, State::Cancelled) => match transaction.cancelled_by() {
            Some(operator) => AuditActor::Operator(operator.clone()),
            None => AuditActor::Client(transaction.client.clone()),
        },
        // The portal brought the right code.
        (None, State::Accepted) => AuditActor::Client(transaction.client.clone()),
        (None, _) => AuditActor::Server,
    }
}

/// SHA-256 of a row and of everything before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AuditHash([u8; 32]);

impl AuditHash {
    /// The hash before the first row.
    pub const ZERO: Self = Self([0; 32]);

    /// The hash whose bytes are `bytes`.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Hexadecimal.
impl fmt::Display for AuditHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for AuditHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// How the audit trail names a user: what stays of him in it once he was erased.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pseudonym([u8; 16]);

/// Why a text is no pseudonym.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PseudonymError;

impl Pseudonym {
    /// The pseudonym whose bytes are `bytes`.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of the pseudonym.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl std::str::FromStr for Pseudonym {
    type Err = PseudonymError;

    /// Reads 32 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| is_hex).ok_or(PseudonymError)?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// Hexadecimal.
impl fmt::Display for Pseudonym {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Pseudonym {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A stored row of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its place in the trail, counted from 1 without gaps.
    pub number: u64,
    /// When it was stored; never before the row before it.
    pub at: UnixMs,
    /// What happened. Its user is there while the pseudonym leads to him, and in rows that older versions wrote.
    pub event: AuditEvent,
    /// How the row itself names the user.
    pub pseudonym: Option<Pseudonym>,
    /// Chains it to the rows before it.
    pub hash: AuditHash,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_lead_back_to_their_kind() {
        for kind in AuditKind::ALL {
            assert_eq!(AuditKind::parse(kind.as_str()), Some(*kind));
            assert_eq!(AuditKind::from_number(kind.number()), Some(*kind));
        }
        assert_eq!(AuditKind::from_number(0), None);
        assert_eq!(AuditKind::parse("started"), None);
    }

    #[test]
    fn a_pseudonym_is_thirty_two_digits() {
        let pseudonym = Pseudonym::from_bytes([0x0a; 16]);
        assert_eq!(pseudonym.to_string(), "0a".repeat(16));
        assert_eq!(pseudonym.to_string().parse(), Ok(pseudonym));
        for wrong in ["", "0a", &"0a".repeat(17), &"+a".repeat(16), &"zz".repeat(16)] {
            assert_eq!(wrong.parse::<Pseudonym>(), Err(PseudonymError), "{wrong}");
        }
    }

    #[test]
    fn a_long_detail_is_cut_between_characters() {
        let event = AuditEvent::new(AuditKind::LogLevelSet, AuditActor::Console);
        let cut = |detail: &str| event.clone().detail(detail).detail.expect("a detail").len();
        assert_eq!(cut(&"a".repeat(200)), 200);
        assert_eq!(cut(&"a".repeat(201)), 200);
        assert_eq!(cut(&format!("{}é", "a".repeat(199))), 199);
    }
}
