//! Modes, authorizations and numbers of enrolments.

use tocsin_model::{
    AUTHORIZES_FOR, Device, DeviceStatus, DurationMs, Enrollment, EnrollmentState, EnrolmentMode,
    EnrolmentRules, KeyUse, PushKind, State, TransactionId, UnixMs,
};
use tocsin_storage::{
    DeviceChange, DeviceChanged, Enrolled, EnrollmentCancelled, EnrollmentConfirmed, EnrollmentOpened,
    NewEnrollment, PushTargetVerdict, Registered, Revoked,
};

use super::Bench;
use crate::fixture::*;

const OVERRIDE: EnrolmentRules = rules(EnrolmentMode::Override, false);
const OVERRIDE_BY_NUMBER: EnrolmentRules = rules(EnrolmentMode::Override, true);
const SINGLE_BY_NUMBER: EnrolmentRules = rules(EnrolmentMode::Single, true);
const MULTIPLE: EnrolmentRules = rules(EnrolmentMode::Multiple, false);

impl Bench {
    /// Opens the enrolment `salt` for the user 1.
    async fn open_for_user_1(&self, salt: u64, mode: EnrolmentMode) -> EnrollmentOpened {
        let mut new = NewEnrollment { mode, ..new_enrollment(salt) };
        new.enrollment.user = user(1);
        self.store.open_enrollment(new).await.expect("answered")
    }

    async fn enrol_by(&self, salt: u64, rules: EnrolmentRules) -> Enrolled {
        self.store.enrol(code_hash(salt), device(salt), rules, self.clock.now()).await.expect("answered")
    }

    /// Opens the enrolment `salt` for the user 1 and enrols the device `salt` by it.
    async fn registered(&self, salt: u64, rules: EnrolmentRules) -> Registered {
        assert_eq!(self.open_for_user_1(salt, rules.mode).await, EnrollmentOpened::New);
        match self.enrol_by(salt, rules).await {
            Enrolled::Stored(registered) => *registered,
            other => panic!("{other:?}"),
        }
    }

    async fn confirm(&self, salt: u64, is_right: bool, rules: EnrolmentRules) -> EnrollmentConfirmed {
        let posted = self.store.confirm_enrollment(enrollment(salt).id, is_right, rules, self.clock.now());
        posted.await.expect("answered")
    }

    async fn status(&self, salt: u64) -> Option<DeviceStatus> {
        self.store.device(device_id(salt)).await.expect("read").map(|device| device.status)
    }

    async fn enrollment_state(&self, salt: u64) -> EnrollmentState {
        self.store.enrollment(enrollment(salt).id).await.expect("read").expect("there").state
    }

    /// A transaction of user 1 that was accepted at `ended_at`.
    async fn accepted(&self, salt: u64, ended_at: UnixMs) -> TransactionId {
        let mut new = new_transaction(salt);
        new.transaction.user = Some(user(1));
        let id = new.transaction.id;
        let ended = answered(new.transaction.clone(), device_id(salt), ended_at);
        let _ = self.store.create(new).await.expect("stored");
        let _ = self.store.end(ended).await.expect("stored");
        id
    }

    async fn open_by(&self, salt: u64, authorized_by: Option<TransactionId>) -> EnrollmentOpened {
        let enrollment = Enrollment {
            user: user(1),
            created_at: self.clock.now(),
            expires_at: self.clock.now().plus(MINUTE),
            authorized_by,
            ..enrollment(salt)
        };
        let new = NewEnrollment {
            enrollment,
            mode: EnrolmentMode::Multiple,
            needs_authorization: true,
            idempotency: None,
        };
        self.store.open_enrollment(new).await.expect("answered")
    }
}

pub async fn mode_override_revokes_the_phone_before(bench: Bench) {
    bench.registered(1, OVERRIDE).await;
    let registered = bench.registered(2, OVERRIDE).await;
    assert_eq!(registered.replaced, [Device { user: user(1), ..device(1) }]);
    assert_eq!(bench.status(1).await, Some(DeviceStatus::Revoked));
    assert_eq!(bench.status(2).await, Some(DeviceStatus::Active));
}

pub async fn mode_override_with_a_number_revokes_only_once_it_was_posted(bench: Bench) {
    bench.registered(1, OVERRIDE).await;
    let registered = bench.registered(2, OVERRIDE_BY_NUMBER).await;
    assert_eq!(registered.replaced, []);
    assert_eq!(registered.device.status, DeviceStatus::Unconfirmed);
    assert_eq!((bench.status(1).await, bench.status(2).await.is_some()), (Some(DeviceStatus::Active), true));
    let EnrollmentConfirmed::Stored(confirmed) = bench.confirm(2, true, OVERRIDE_BY_NUMBER).await else {
        panic!("it was right")
    };
    assert_eq!(confirmed.replaced.iter().map(|other| other.id).collect::<Vec<_>>(), [device_id(1)]);
    assert_eq!((confirmed.device.status, confirmed.device.unconfirmed_until), (DeviceStatus::Active, None));
    assert_eq!(bench.status(1).await, Some(DeviceStatus::Revoked));
    assert_eq!(
        bench.store.device(device_id(2)).await.expect("read").as_ref(),
        Some(&confirmed.device),
        "what was answered is what is stored"
    );
    bench.clock.advance(MINUTE);
    assert_eq!(bench.status(2).await, Some(DeviceStatus::Active), "it stays");
}

pub async fn mode_multiple_keeps_every_phone(bench: Bench) {
    for salt in 1..=3 {
        assert_eq!(bench.registered(salt, MULTIPLE).await.replaced, []);
    }
    let listed = bench.store.devices_of(&user(1)).await.expect("read");
    assert_eq!(listed.len(), 3);
}

pub async fn the_mode_is_judged_by_the_rules_of_the_moment(bench: Bench) {
    assert_eq!(bench.open_for_user_1(1, EnrolmentMode::Single).await, EnrollmentOpened::New);
    assert_eq!(bench.open_for_user_1(2, EnrolmentMode::Single).await, EnrollmentOpened::New);
    assert!(is_stored(&bench.enrol_by(1, RULES).await));
    assert_eq!(bench.enrol_by(2, RULES).await, Enrolled::DeviceExists);
    assert!(is_stored(&bench.enrol_by(2, MULTIPLE).await), "a refusal uses nothing up");
    // Now there are two; a number cannot bring a third one in where there may be only one.
    assert_eq!(bench.open_for_user_1(3, EnrolmentMode::Multiple).await, EnrollmentOpened::New);
    assert!(is_stored(&bench.enrol_by(3, rules(EnrolmentMode::Multiple, true)).await));
    assert_eq!(bench.confirm(3, true, SINGLE_BY_NUMBER).await, EnrollmentConfirmed::DeviceExists);
    assert_eq!(bench.status(3).await, Some(DeviceStatus::Unconfirmed));
}

pub async fn a_phone_that_waits_for_its_number_takes_the_place_of_mode_single(bench: Bench) {
    bench.registered(1, SINGLE_BY_NUMBER).await;
    assert_eq!(bench.open_for_user_1(2, EnrolmentMode::Single).await, EnrollmentOpened::DeviceExists);
    bench.clock.advance(MINUTE);
    assert_eq!(bench.open_for_user_1(2, EnrolmentMode::Single).await, EnrollmentOpened::New);
}

pub async fn a_live_phone_behind_one_that_was_never_confirmed_keeps_its_place(bench: Bench) {
    bench.registered(1, SINGLE_BY_NUMBER).await;
    bench.clock.advance(MINUTE);
    let open = async |salt| {
        let mut new = new_enrollment(salt);
        new.enrollment.user = user(1);
        new.enrollment.created_at = bench.clock.now();
        new.enrollment.expires_at = bench.clock.now().plus(MINUTE);
        bench.store.open_enrollment(new).await.expect("answered")
    };
    assert_eq!(open(2).await, EnrollmentOpened::New);
    assert_eq!(open(3).await, EnrollmentOpened::New);
    assert!(is_stored(&bench.enrol_by(2, RULES).await));
    // The row of the first phone, which is no more, may still stand in front.
    assert_eq!(bench.enrol_by(3, RULES).await, Enrolled::DeviceExists);
    assert_eq!(open(4).await, EnrollmentOpened::DeviceExists);
}

pub async fn three_wrong_numbers_end_the_enrolment_and_its_device_is_gone(bench: Bench) {
    bench.registered(1, SINGLE_BY_NUMBER).await;
    for left in [2, 1] {
        assert_eq!(bench.confirm(1, false, SINGLE_BY_NUMBER).await, EnrollmentConfirmed::Wrong { left });
        let waiting = EnrollmentState::Unconfirmed { device_id: device_id(1), tries_used: 3 - left };
        assert_eq!(bench.enrollment_state(1).await, waiting);
    }
    assert_eq!(bench.confirm(1, false, SINGLE_BY_NUMBER).await, EnrollmentConfirmed::Wrong { left: 0 });
    assert_eq!(bench.enrollment_state(1).await, EnrollmentState::Failed);
    for is_right in [true, false] {
        assert_eq!(bench.confirm(1, is_right, SINGLE_BY_NUMBER).await, EnrollmentConfirmed::Final);
    }
    assert_eq!(bench.status(1).await, None);
    assert_eq!(bench.store.device_by_kid(device(1).keys[0].kid).await.expect("read"), None);
    assert_eq!(bench.store.devices_of(&user(1)).await.expect("read"), []);
    assert_eq!(bench.open_for_user_1(2, EnrolmentMode::Single).await, EnrollmentOpened::New);
}

pub async fn a_device_that_is_not_confirmed_in_time_is_gone_by_itself(bench: Bench) {
    bench.registered(1, SINGLE_BY_NUMBER).await;
    bench.clock.advance(DurationMs::new(MINUTE.get() - 1));
    assert_eq!(bench.status(1).await, Some(DeviceStatus::Unconfirmed));
    bench.clock.advance(DurationMs::new(1));
    assert_eq!(bench.confirm(1, true, SINGLE_BY_NUMBER).await, EnrollmentConfirmed::Final);
    assert_eq!(bench.status(1).await, None);
    assert_eq!(bench.store.device_by_kid(device(1).keys[0].kid).await.expect("read"), None);
    assert_eq!(bench.enrol_by(1, SINGLE_BY_NUMBER).await, Enrolled::BadCode);
    let dead = PushTargetVerdict::Dead { since: None };
    let judged = bench.store.judge_push_target(PushKind::Apns, token(1), dead).await.expect("answered");
    assert_eq!(judged, []);
}

pub async fn a_right_number_counts_until_the_last_moment_and_again(bench: Bench) {
    assert_eq!(bench.confirm(1, true, SINGLE_BY_NUMBER).await, EnrollmentConfirmed::Absent);
    assert_eq!(bench.open_for_user_1(1, EnrolmentMode::Single).await, EnrollmentOpened::New);
    assert_eq!(bench.confirm(1, true, SINGLE_BY_NUMBER).await, EnrollmentConfirmed::NoPhoneYet);
    assert!(is_stored(&bench.enrol_by(1, SINGLE_BY_NUMBER).await));
    bench.clock.advance(DurationMs::new(MINUTE.get() - 1));
    assert!(matches!(bench.confirm(1, true, SINGLE_BY_NUMBER).await, EnrollmentConfirmed::Stored(_)));
    bench.clock.advance(MINUTE);
    assert!(matches!(bench.confirm(1, true, SINGLE_BY_NUMBER).await, EnrollmentConfirmed::Before(_)));
    assert_eq!(bench.confirm(1, false, SINGLE_BY_NUMBER).await, EnrollmentConfirmed::Final);
}

pub async fn a_waiting_phone_gets_the_same_answer_again_while_it_waits(bench: Bench) {
    let registered = bench.registered(1, SINGLE_BY_NUMBER).await;
    let retry = Device { id: device_id(99), ..device(1) };
    let again = bench.store.enrol(code_hash(1), retry, SINGLE_BY_NUMBER, START).await.expect("answered");
    assert_eq!(again, Enrolled::Again(Box::new(registered.device)));
    let other = Device { keys: vec![key(KeyUse::Device, 7)], ..device(2) };
    let refused = bench.store.enrol(code_hash(1), other, SINGLE_BY_NUMBER, START).await.expect("answered");
    assert_eq!(refused, Enrolled::BadCode);
}

pub async fn cancelling_and_removing_end_what_waits_for_its_number(bench: Bench) {
    bench.registered(1, SINGLE_BY_NUMBER).await;
    for _ in 0..2 {
        let cancelled = bench.store.cancel_enrollment(enrollment(1).id).await.expect("answered");
        assert_eq!(cancelled, EnrollmentCancelled::Stored);
    }
    assert_eq!(bench.status(1).await, None);
    bench.registered(2, SINGLE_BY_NUMBER).await;
    let revoked = bench
        .store
        .revoke_device(device_id(2), tocsin_model::AuditActor::Server, START)
        .await
        .expect("answered");
    assert_eq!(revoked, Revoked::Stored);
    assert_eq!(bench.enrollment_state(2).await, EnrollmentState::Failed);
    assert_eq!(bench.confirm(2, true, SINGLE_BY_NUMBER).await, EnrollmentConfirmed::Final);
    bench.registered(3, SINGLE_BY_NUMBER).await;
    let left = bench.store.change_device(
        device_id(3),
        DeviceChange::Leave { signed_at: START },
        tocsin_model::AuditActor::Server,
        START,
    );
    assert!(matches!(left.await.expect("answered"), DeviceChanged::Stored(_)));
    assert_eq!(bench.enrollment_state(3).await, EnrollmentState::Failed);
}

pub async fn an_accepted_transaction_authorises_once_and_for_ten_minutes(bench: Bench) {
    let id = bench.accepted(1, START).await;
    assert_eq!(bench.open_by(1, None).await, EnrollmentOpened::Unauthorized);
    assert_eq!(bench.open_by(1, Some(transaction_id(9))).await, EnrollmentOpened::Unauthorized, "unknown");
    bench.clock.advance(AUTHORIZES_FOR);
    assert_eq!(bench.open_by(1, Some(id)).await, EnrollmentOpened::New);
    let stored = bench.store.enrollment(enrollment(1).id).await.expect("read").expect("there");
    assert_eq!(stored.authorized_by, Some(id));
    assert_eq!(bench.open_by(2, Some(id)).await, EnrollmentOpened::Unauthorized, "used");
    let second = bench.accepted(2, START).await;
    bench.clock.advance(DurationMs::new(1));
    assert_eq!(bench.open_by(2, Some(second)).await, EnrollmentOpened::Unauthorized, "too late");
}

pub async fn only_an_accepted_transaction_of_the_same_user_and_client_authorises(bench: Bench) {
    let mut foreign = new_transaction(1);
    let id = foreign.transaction.id;
    foreign.transaction.user = Some(user(2));
    let accepted = answered(foreign.transaction.clone(), device_id(1), START);
    let _ = bench.store.create(foreign).await.expect("stored");
    let _ = bench.store.end(accepted).await.expect("stored");
    assert_eq!(bench.open_by(1, Some(id)).await, EnrollmentOpened::Unauthorized, "another user's");
    let mut elsewhere = new_transaction(2);
    let id = elsewhere.transaction.id;
    elsewhere.transaction.user = Some(user(1));
    elsewhere.transaction.client = "elsewhere".parse().expect("valid");
    let accepted = answered(elsewhere.transaction.clone(), device_id(1), START);
    let _ = bench.store.create(elsewhere).await.expect("stored");
    let _ = bench.store.end(accepted).await.expect("stored");
    assert_eq!(bench.open_by(1, Some(id)).await, EnrollmentOpened::Unauthorized, "another client's");
    for (salt, state) in [(3, None), (4, Some(State::Declined)), (5, Some(State::Cancelled))] {
        let mut new = new_transaction(salt);
        new.transaction.user = Some(user(1));
        let (id, pending) = (new.transaction.id, new.transaction.clone());
        let _ = bench.store.create(new).await.expect("stored");
        if let Some(state) = state {
            let _ = bench.store.end(ended(pending, state)).await.expect("stored");
        }
        assert_eq!(bench.open_by(1, Some(id)).await, EnrollmentOpened::Unauthorized, "{state:?}");
    }
}
