//! Enrolments: a portal's invitation to register one phone for one user and one app.

use crate::{
    AppName, ClientId, DeviceId, DurationMs, EnrollmentId, KeyId, ServerKeyPair, TransactionId, UnixMs, User,
};

/// SHA-256 of an activation code's ASCII text; the code itself is never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActivationCodeHash([u8; 32]);

impl ActivationCodeHash {
    /// The hash whose bytes are `bytes`.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// How many phones a user may have with one app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EnrolmentMode {
    /// One; a second enrolment is refused while the first phone is not revoked.
    #[default]
    Single,
    /// One; a completed enrolment revokes the phone before it.
    Override,
    /// Several.
    Multiple,
}

impl EnrolmentMode {
    /// The word of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Override => "override",
            Self::Multiple => "multiple",
        }
    }
}

/// What an app asks of an enrolment, judged by the storage at every step of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EnrolmentRules {
    /// How many phones a user may have.
    pub mode: EnrolmentMode,
    /// Whether the portal must post the number that only the enrolling phone is shown.
    pub confirms_number: bool,
}

/// A transaction lets one enrolment begin, or one key be added, for so long after it was accepted.
pub const AUTHORIZES_FOR: DurationMs = DurationMs::from_seconds(600);

/// How often the number of an enrolment may be posted wrongly.
pub const CONFIRMATION_TRIES_MAX: u32 = 3;

/// How far an enrolment is. Expiry is not stored: it is what a state that waits comes to at `expires_at`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnrollmentState {
    /// Waiting for the phone.
    Pending,
    /// A phone was registered; waiting for the number that it shows.
    Unconfirmed {
        /// The phone.
        device_id: DeviceId,
        /// Wrong numbers so far.
        tries_used: u32,
    },
    /// A phone was enrolled.
    Completed {
        /// The phone.
        device_id: DeviceId,
        /// When.
        completed_at: UnixMs,
    },
    /// Cancelled by the portal, or confirmed wrongly too often.
    Failed,
}

/// What an enrolment is at a moment, its expiry included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnrollmentStanding {
    /// Waiting for the phone.
    Pending,
    /// Waiting for the number that the phone shows.
    Unconfirmed,
    /// A phone was enrolled.
    Completed,
    /// No phone came in time.
    Expired,
    /// Cancelled, or not confirmed.
    Failed,
}

impl EnrollmentStanding {
    /// Every standing.
    pub const ALL: [Self; 5] =
        [Self::Pending, Self::Unconfirmed, Self::Completed, Self::Expired, Self::Failed];

    /// The word of the interface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Unconfirmed => "unconfirmed",
            Self::Completed => "completed",
            Self::Expired => "expired",
            Self::Failed => "failed",
        }
    }
}

/// An enrolment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrollment {
    /// Its id.
    pub id: EnrollmentId,
    /// Counts its changes.
    pub revision: u32,
    /// The client that opened it; only that one sees it.
    pub client: ClientId,
    /// For whom.
    pub user: User,
    /// For which app.
    pub app: AppName,
    /// The hash of its activation code.
    pub code_hash: ActivationCodeHash,
    /// When it was opened.
    pub created_at: UnixMs,
    /// Until when a phone may use it, and its number be posted.
    pub expires_at: UnixMs,
    /// The accepted transaction that let it begin; used up by it.
    pub authorized_by: Option<TransactionId>,
    /// How far it is.
    pub state: EnrollmentState,
    /// The names of the server keys that the phone will be told, fixed at the opening.
    pub server_kids: Vec<KeyId>,
    /// The server key that the phone will have for itself, where its app says so; gone once a phone was enrolled.
    pub server_key: Option<Box<ServerKeyPair>>,
}

impl Enrollment {
    /// What it is at `now`.
    pub fn standing(&self, now: UnixMs) -> EnrollmentStanding {
        let is_over = now >= self.expires_at;
        match self.state {
            EnrollmentState::Pending if is_over => EnrollmentStanding::Expired,
            EnrollmentState::Pending => EnrollmentStanding::Pending,
            EnrollmentState::Unconfirmed { .. } if is_over => EnrollmentStanding::Failed,
            EnrollmentState::Unconfirmed { .. } => EnrollmentStanding::Unconfirmed,
            EnrollmentState::Completed { .. } => EnrollmentStanding::Completed,
            EnrollmentState::Failed => EnrollmentStanding::Failed,
        }
    }

    /// The phone that is registered by it, confirmed or not.
    pub const fn device_id(&self) -> Option<DeviceId> {
        match self.state {
            EnrollmentState::Unconfirmed { device_id, .. } | EnrollmentState::Completed { device_id, .. } => {
                Some(device_id)
            }
            EnrollmentState::Pending | EnrollmentState::Failed => None,
        }
    }
}
