//! What becomes of an enrolment.

use tocsin_model::{Device, Enrollment, EnrollmentId, EnrolmentMode, Idempotency};

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
