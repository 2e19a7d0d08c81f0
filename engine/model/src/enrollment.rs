//! Enrolments: a portal's invitation to register one phone for one user and one app.

use crate::{AppName, ClientId, DeviceId, EnrollmentId, KeyId, ServerKeyPair, UnixMs, User};

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

/// How far an enrolment is. Expiry is not stored: it is `pending` past `expires_at`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnrollmentState {
    /// Waiting for the phone.
    Pending,
    /// A phone was enrolled.
    Completed {
        /// The phone.
        device_id: DeviceId,
        /// When.
        completed_at: UnixMs,
    },
    /// Cancelled by the portal.
    Failed,
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
    /// Until when a phone may use it.
    pub expires_at: UnixMs,
    /// How far it is.
    pub state: EnrollmentState,
    /// The names of the server keys that the phone will be told, fixed at the opening.
    pub server_kids: Vec<KeyId>,
    /// The server key that the phone will have for itself, where its app says so; gone once a phone was enrolled.
    pub server_key: Option<Box<ServerKeyPair>>,
}
