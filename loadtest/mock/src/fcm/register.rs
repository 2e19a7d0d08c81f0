//! What FCM knows of registration tokens and installation ids.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;

use super::FcmRefusal;
use crate::MockError;
use crate::sync::lock;

/// Most targets a register holds.
const TARGETS_MAX: usize = 4_000_000;

/// The registration tokens and installation ids that FCM has something against; any other well-formed one
/// is taken.
#[derive(Default)]
pub struct RegistrationRegister {
    targets: Mutex<HashMap<String, FcmRefusal>>,
}

impl RegistrationRegister {
    /// The app was removed: 404 UNREGISTERED.
    pub fn unregister(&self, target: &str) -> Result<(), MockError> {
        self.enter(target, FcmRefusal::Unregistered)
    }

    /// The target belongs to another project: 403 SENDER_ID_MISMATCH.
    pub fn give_to_other_project(&self, target: &str) -> Result<(), MockError> {
        self.enter(target, FcmRefusal::SenderIdMismatch)
    }

    /// The target is none of FCM's: 400 INVALID_ARGUMENT.
    pub fn mark_bad(&self, target: &str) -> Result<(), MockError> {
        self.enter(target, FcmRefusal::InvalidToken)
    }

    /// The target is good (again).
    pub fn register(&self, target: &str) {
        lock(&self.targets).remove(target);
    }

    pub(super) fn check(&self, target: &str) -> Result<(), FcmRefusal> {
        lock(&self.targets).get(target).cloned().map_or(Ok(()), Err)
    }

    fn enter(&self, target: &str, refusal: FcmRefusal) -> Result<(), MockError> {
        let mut targets = lock(&self.targets);
        if targets.len() >= TARGETS_MAX {
            return Err(MockError::Full { what: "the register of registrations", max: TARGETS_MAX });
        }
        targets.insert(target.to_owned(), refusal);
        Ok(())
    }
}

impl fmt::Debug for RegistrationRegister {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RegistrationRegister").field("targets", &lock(&self.targets).len()).finish()
    }
}
