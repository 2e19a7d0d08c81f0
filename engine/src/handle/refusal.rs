//! Refused enrolments in the audit trail.
//!
//! A portal is known when it is refused, and its calls are limited by rate: each refusal is a row. A phone may call
//! again and again with one good code, so only its first refusal of each kind is; codes that are not good are counted
//! elsewhere and leave no row.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tocsin_model::{
    ActivationCodeHash, AuditActor, AuditEvent, AuditKind, Enrollment, EnrollmentId, EnrollmentStanding,
    ErrorCode,
};

use super::{EnrollmentRequest, Handle};

/// Refusals of phones remembered at once, at about 40 bytes each; all are forgotten when there are more.
const REMEMBERED_MAX: usize = 10_000;

/// Which refusals of phones the trail has already.
#[derive(Debug, Default)]
pub(crate) struct NotedRefusals(Mutex<BTreeSet<(EnrollmentId, &'static str)>>);

impl NotedRefusals {
    /// Whether this one is the first.
    fn is_new(&self, id: EnrollmentId, code: ErrorCode) -> bool {
        // A panic of another holder cannot leave half an entry.
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() >= REMEMBERED_MAX {
            noted.clear();
        }
        noted.insert((id, code.as_str()))
    }
}

impl Handle {
    /// A portal was not allowed to open an enrolment.
    pub(super) async fn note_refused_opening(&self, request: &EnrollmentRequest, code: ErrorCode) {
        let event = refused(AuditActor::Client(request.client.clone()), code).user(&request.user);
        self.note_refusal(event).await;
    }

    /// A phone with the code of this enrolment was not allowed to enrol.
    pub(super) async fn note_refused_phone(&self, enrollment: &Enrollment, code: ErrorCode) {
        if self.0.noted_refusals.is_new(enrollment.id, code) {
            let event = refused(AuditActor::Server, code).user(&enrollment.user).enrollment(enrollment.id);
            self.note_refusal(event).await;
        }
    }

    /// The same for a phone of which only the code is known yet; nothing when it is not a good one.
    pub(super) async fn note_refused_code(&self, code_hash: ActivationCodeHash, code: ErrorCode) {
        if let Ok(Some(enrollment)) = self.store().enrollment_by_code(code_hash).await
            && enrollment.standing(self.clock().now()) == EnrollmentStanding::Pending
        {
            self.note_refused_phone(&enrollment, code).await;
        }
    }

    /// The refusal stands whether or not it could be noted.
    async fn note_refusal(&self, event: AuditEvent) {
        if let Err(problem) = self.note(event).await {
            tracing::warn!(code = problem.code.as_str(), "a refused enrolment is not in the audit trail");
        }
    }
}

fn refused(by: AuditActor, code: ErrorCode) -> AuditEvent {
    AuditEvent::new(AuditKind::EnrollmentRefused, by).detail(code.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_refusal_is_new_once_and_the_memory_is_bounded() {
        let (noted, id) = (NotedRefusals::default(), EnrollmentId::from_random);
        assert!(noted.is_new(id([1; 16]), ErrorCode::DeviceExists));
        assert!(!noted.is_new(id([1; 16]), ErrorCode::DeviceExists));
        assert!(noted.is_new(id([1; 16]), ErrorCode::MethodDisabled));
        for number in 0..2 * REMEMBERED_MAX as u64 {
            let mut bytes = [2; 16];
            bytes[8..].copy_from_slice(&number.to_be_bytes());
            noted.is_new(EnrollmentId::from_bytes(bytes), ErrorCode::DeviceExists);
            assert!(noted.0.lock().expect("unharmed").len() <= REMEMBERED_MAX);
        }
        assert!(noted.is_new(id([1; 16]), ErrorCode::DeviceExists), "forgotten with the others");
    }
}
