//! What is kept of users, and what becomes of it when one is erased.

use tocsin_model::{
    AuditActor, DeviceId, EnrollmentId, TransactionId, UnixMs, User, UserProfile, UserStanding,
};

/// A user to erase.
#[derive(Clone, Debug)]
pub struct Erasure {
    /// Who.
    pub user: User,
    /// His transactions that may be open. The caller sees to it that none begins meanwhile.
    pub open: Vec<TransactionId>,
    /// Who asks for it.
    pub by: AuditActor,
    /// When.
    pub now: UnixMs,
}

/// What an erasure has ended and removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// The transactions that it ended.
    pub transactions: Vec<TransactionId>,
    /// The devices that are gone.
    pub devices: Vec<DeviceId>,
    /// The enrolments of devices that waited for their number; they have failed.
    pub enrollments: Vec<EnrollmentId>,
}

/// What a start needs to know of its user, in one look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownUser {
    /// How he stands.
    pub standing: UserStanding,
    /// What is kept of him.
    pub profile: Option<UserProfile>,
}
