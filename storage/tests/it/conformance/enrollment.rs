//! Enrolments.

use tocsin_model::{DurationMs, EnrollmentState, KeyUse};
use tocsin_storage::{Enrolled, EnrollmentCancelled, EnrollmentOpened};

use super::Bench;
use crate::fixture::*;

impl Bench {
    /// Opens the enrolment `salt` and enrols the device `salt` by it.
    pub async fn enrolled(&self, salt: u64) {
        let opened = self.store.open_enrollment(new_enrollment(salt)).await.expect("answered");
        assert_eq!(opened, EnrollmentOpened::New);
        assert!(is_stored(&self.enrol(salt, salt).await));
    }

    async fn enrol(&self, code: u64, device_salt: u64) -> Enrolled {
        self.store
            .enrol(code_hash(code), device(device_salt), RULES, self.clock.now())
            .await
            .expect("answered")
    }
}

pub async fn an_enrolled_phone_is_found_by_every_way(bench: Bench) {
    bench.enrolled(1).await;
    let device = device(1);
    assert_eq!(bench.store.device(device.id).await.expect("read"), Some(device.clone()));
    for key in &device.keys {
        assert_eq!(bench.store.device_by_kid(key.kid).await.expect("read").as_deref(), Some(&device));
    }
    assert_eq!(bench.store.devices_of(&user(1)).await.expect("read"), std::slice::from_ref(&device));
    assert_eq!(bench.store.devices_of(&user(11)).await.expect("read"), []);
    let enrollment = bench.store.enrollment_by_code(code_hash(1)).await.expect("read").expect("there");
    let completed = EnrollmentState::Completed { device_id: device.id, completed_at: START };
    assert_eq!((enrollment.revision, &enrollment.state), (2, &completed));
    assert_eq!(bench.store.enrollment(enrollment.id).await.expect("read"), Some(enrollment));
}

pub async fn the_enrolment_decides_user_and_app(bench: Bench) {
    let _ = bench.store.open_enrollment(new_enrollment(1)).await.expect("stored");
    let mut claims_more = device(1);
    claims_more.user = user(2);
    claims_more.app = "other-app".parse().expect("valid");
    claims_more.enrollment_id = enrollment(2).id;
    assert!(is_stored(&bench.store.enrol(code_hash(1), claims_more, RULES, START).await.expect("answered")));
    assert_eq!(bench.store.device(device_id(1)).await.expect("read"), Some(device(1)));
}

pub async fn wrong_used_cancelled_and_expired_codes_look_alike(bench: Bench) {
    assert_eq!(bench.enrol(1, 1).await, Enrolled::BadCode, "unknown");
    bench.enrolled(1).await;
    assert_eq!(bench.enrol(1, 2).await, Enrolled::BadCode, "used");
    let _ = bench.store.open_enrollment(new_enrollment(3)).await.expect("stored");
    let cancelled = bench.store.cancel_enrollment(enrollment(3).id).await.expect("answered");
    assert_eq!(cancelled, EnrollmentCancelled::Stored);
    assert_eq!(bench.enrol(3, 3).await, Enrolled::BadCode, "cancelled");
    let _ = bench.store.open_enrollment(new_enrollment(4)).await.expect("stored");
    bench.clock.advance(MINUTE);
    assert_eq!(bench.enrol(4, 4).await, Enrolled::BadCode, "expired");
}

pub async fn an_identical_retry_gets_the_same_device_for_five_minutes(bench: Bench) {
    bench.enrolled(1).await;
    let mut retry = device(1);
    retry.id = device_id(99);
    let ask = || bench.store.enrol(code_hash(1), retry.clone(), RULES, bench.clock.now());
    bench.clock.advance(DurationMs::from_seconds(300));
    assert_eq!(ask().await.expect("answered"), Enrolled::Again(Box::new(device(1))));
    bench.clock.advance(DurationMs::new(1));
    assert_eq!(ask().await.expect("answered"), Enrolled::BadCode);
    assert_eq!(bench.store.device(device_id(99)).await.expect("read"), None);
}

pub async fn a_device_key_is_registered_once(bench: Bench) {
    bench.enrolled(1).await;
    let _ = bench.store.open_enrollment(new_enrollment(2)).await.expect("stored");
    let mut same_key = device(2);
    same_key.keys = device(1).keys;
    let refused = bench.store.enrol(code_hash(2), same_key, RULES, START).await.expect("answered");
    assert_eq!(refused, Enrolled::KeyInUse);
    // Only success uses the code up.
    assert!(is_stored(&bench.enrol(2, 2).await));
}

pub async fn refusals_come_in_the_order_of_the_interface(bench: Bench) {
    // Two invitations for one user, opened before either is used.
    let mut second = new_enrollment(2);
    second.enrollment.user = user(1);
    let _ = bench.store.open_enrollment(second).await.expect("stored");
    bench.enrolled(1).await;
    let mut same_key = device(2);
    same_key.keys = device(1).keys;
    let ask = |code, device| bench.store.enrol(code_hash(code), device, RULES, START);
    assert_eq!(ask(9, same_key.clone()).await.expect("answered"), Enrolled::BadCode);
    assert_eq!(ask(2, same_key).await.expect("answered"), Enrolled::KeyInUse);
    assert_eq!(ask(2, device(2)).await.expect("answered"), Enrolled::DeviceExists);
    let mut keyless = device(3);
    keyless.keys.retain(|key| key.key_use != KeyUse::Device);
    assert_eq!(ask(2, keyless).await.expect("answered"), Enrolled::BadCode);
}

pub async fn mode_single_is_judged_at_the_opening_and_at_the_enrolment(bench: Bench) {
    bench.enrolled(1).await;
    let mut second = new_enrollment(2);
    second.enrollment.user = user(1);
    let refused = bench.store.open_enrollment(second.clone()).await.expect("answered");
    assert_eq!(refused, EnrollmentOpened::DeviceExists);
    second.enrollment.app = "other-app".parse().expect("valid");
    assert_eq!(bench.store.open_enrollment(second).await.expect("answered"), EnrollmentOpened::New);
    assert!(is_stored(&bench.enrol(2, 2).await), "another app of the same user");
}

pub async fn a_completed_enrolment_cannot_be_cancelled(bench: Bench) {
    bench.enrolled(1).await;
    let cancel = |salt| bench.store.cancel_enrollment(enrollment(salt).id);
    assert_eq!(cancel(1).await.expect("answered"), EnrollmentCancelled::Completed);
    assert_eq!(cancel(2).await.expect("answered"), EnrollmentCancelled::Absent);
    let _ = bench.store.open_enrollment(new_enrollment(2)).await.expect("stored");
    assert_eq!(cancel(2).await.expect("answered"), EnrollmentCancelled::Stored);
    assert_eq!(cancel(2).await.expect("answered"), EnrollmentCancelled::Stored, "again");
    let failed = bench.store.enrollment(enrollment(2).id).await.expect("read").expect("there");
    assert_eq!((failed.state, failed.revision), (EnrollmentState::Failed, 2));
}
