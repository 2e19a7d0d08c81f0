//! Changes of devices, by portals and by the phones themselves.

use tocsin_model::{Device, DeviceStatus, DurationMs, ProfileChange, PushKind, PushTarget, UnixMs};
use tocsin_storage::{DeviceChange, DeviceChanged, PushTargetVerdict};

use super::Bench;
use crate::fixture::*;

fn at(milliseconds: u64) -> UnixMs {
    START.plus(DurationMs::new(milliseconds))
}

fn address(salt: u64) -> PushTarget {
    PushTarget { token: Some(token(salt)), registered_at: at(1), ..device(salt).push }
}

fn manage(name: Option<&str>, suspended: Option<bool>) -> DeviceChange {
    DeviceChange::Manage { name: name.map(Into::into), suspended }
}

impl Bench {
    async fn change(&self, salt: u64, change: DeviceChange) -> DeviceChanged {
        self.store
            .change_device(device_id(salt), change, tocsin_model::AuditActor::Server, self.clock.now())
            .await
            .expect("answered")
    }

    async fn changed(&self, salt: u64, change: DeviceChange) -> Device {
        let DeviceChanged::Stored(changed) = self.change(salt, change).await else { panic!("refused") };
        let stored = self.store.device(device_id(salt)).await.expect("read").expect("there");
        assert_eq!(*changed, stored);
        stored
    }

    async fn is_dead(&self, salt: u64) -> Vec<tocsin_model::DeviceId> {
        let dead = PushTargetVerdict::Dead { since: None };
        self.store.judge_push_target(PushKind::Apns, token(salt), dead).await.expect("answered")
    }

    /// Enrols a device for this user, who may have several; its address is that of `address`.
    async fn enrolled_at(&self, salt: u64, owner: u64, address: u64) {
        let mut new = new_enrollment(salt);
        new.mode = tocsin_model::EnrolmentMode::Multiple;
        new.enrollment.user = user(owner);
        let _ = self.store.open_enrollment(new).await.expect("stored");
        let mut device = device(salt);
        device.push.token = Some(token(address));
        let rules = rules(tocsin_model::EnrolmentMode::Multiple, false);
        let enrolled = self.store.enrol(code_hash(salt), device, rules, START).await.expect("answered");
        assert!(is_stored(&enrolled));
    }

    async fn device_status(&self, salt: u64) -> DeviceStatus {
        self.store.device(device_id(salt)).await.expect("read").expect("there").status
    }
}

pub async fn a_portal_renames_suspends_and_resumes(bench: Bench) {
    bench.enrolled(1).await;
    let renamed = bench.changed(1, manage(Some("Work"), None)).await;
    assert_eq!((&*renamed.profile.name, renamed.status, renamed.revision), ("Work", DeviceStatus::Active, 2));
    let suspended = bench.changed(1, manage(None, Some(true))).await;
    assert_eq!((&*suspended.profile.name, suspended.status), ("Work", DeviceStatus::Suspended));
    let resumed = bench.changed(1, manage(Some("Home"), Some(false))).await;
    assert_eq!((&*resumed.profile.name, resumed.status), ("Home", DeviceStatus::Active));
    assert_eq!(bench.change(2, manage(None, Some(true))).await, DeviceChanged::Absent);
}

pub async fn a_suspended_device_whose_address_died_comes_back_unreachable(bench: Bench) {
    bench.enrolled(1).await;
    bench.changed(1, manage(None, Some(true))).await;
    assert_eq!(bench.is_dead(1).await, [device_id(1)]);
    assert_eq!(bench.changed(1, manage(None, Some(false))).await.status, DeviceStatus::Unreachable);
    let push = DeviceChange::Push { target: address(5), signed_at: at(1) };
    assert_eq!(bench.changed(1, push).await.status, DeviceStatus::Active);
}

pub async fn what_is_not_in_use_is_changed_by_nobody_but_its_portal(bench: Bench) {
    bench.enrolled(1).await;
    bench.changed(1, manage(None, Some(true))).await;
    let profile = || DeviceChange::Profile { change: ProfileChange::default(), signed_at: at(1) };
    let push = || DeviceChange::Push { target: address(5), signed_at: at(1) };
    for change in [profile(), push()] {
        assert_eq!(bench.change(1, change).await, DeviceChanged::Refused(DeviceStatus::Suspended));
    }
    let left = bench.change(1, DeviceChange::Leave { signed_at: at(1) }).await;
    assert!(matches!(left, DeviceChanged::Stored(_)), "it may leave");
    assert_eq!(bench.device_status(1).await, DeviceStatus::Revoked);
    let leave = DeviceChange::Leave { signed_at: at(2) };
    for change in [profile(), push(), leave, manage(Some("x"), None), manage(None, Some(false))] {
        assert_eq!(bench.change(1, change).await, DeviceChanged::Refused(DeviceStatus::Revoked));
    }
}

pub async fn a_portal_cannot_confirm_by_resuming(bench: Bench) {
    let _ = bench.store.open_enrollment(new_enrollment(1)).await.expect("stored");
    let rules = rules(tocsin_model::EnrolmentMode::Single, true);
    let _ = bench.store.enrol(code_hash(1), device(1), rules, START).await.expect("stored");
    for suspended in [true, false] {
        let refused = bench.change(1, manage(None, Some(suspended))).await;
        assert_eq!(refused, DeviceChanged::Refused(DeviceStatus::Unconfirmed));
    }
    assert_eq!(bench.changed(1, manage(Some("New"), None)).await.status, DeviceStatus::Unconfirmed);
    bench.clock.advance(MINUTE);
    assert_eq!(bench.change(1, manage(Some("New"), None)).await, DeviceChanged::Absent, "it still goes");
}

pub async fn a_signed_change_must_be_above_the_last_one(bench: Bench) {
    bench.enrolled(1).await;
    let profile = |signed_at| {
        let change = ProfileChange { name: Some("Mine".into()), ..ProfileChange::default() };
        DeviceChange::Profile { change, signed_at }
    };
    let changed = bench.changed(1, profile(at(5))).await;
    assert_eq!((&*changed.profile.name, changed.last_signed_at), ("Mine", Some(at(5))));
    for late in [at(5), at(4)] {
        assert_eq!(bench.change(1, profile(late)).await, DeviceChanged::Stale);
        let push = DeviceChange::Push { target: address(5), signed_at: late };
        assert_eq!(bench.change(1, push).await, DeviceChanged::Stale);
        let leave = DeviceChange::Leave { signed_at: late };
        assert_eq!(bench.change(1, leave).await, DeviceChanged::Stale);
    }
    assert_eq!(bench.changed(1, manage(Some("Ours"), None)).await.last_signed_at, Some(at(5)));
    assert_eq!(bench.changed(1, profile(at(6))).await.last_signed_at, Some(at(6)));
}

pub async fn a_new_address_takes_the_place_of_the_old_one(bench: Bench) {
    bench.enrolled(1).await;
    let changed = bench.changed(1, DeviceChange::Push { target: address(7), signed_at: at(1) }).await;
    assert_eq!(changed.push, address(7));
    assert_eq!(bench.is_dead(1).await, [], "nothing leads from the old one");
    assert_eq!(bench.is_dead(7).await, [device_id(1)]);
    assert_eq!(bench.device_status(1).await, DeviceStatus::Unreachable);
    let none = DeviceChange::Push { target: PushTarget::none(at(2)), signed_at: at(2) };
    assert_eq!(bench.changed(1, none).await.status, DeviceStatus::Active, "it asks by itself");
}

pub async fn the_newest_enrolment_of_a_user_and_app_takes_an_address_over(bench: Bench) {
    bench.enrolled_at(1, 1, 9).await;
    bench.enrolled_at(2, 2, 9).await;
    bench.enrolled_at(3, 1, 9).await;
    let statuses = [bench.device_status(1).await, bench.device_status(2).await, bench.device_status(3).await];
    assert_eq!(statuses, [DeviceStatus::Unreachable, DeviceStatus::Active, DeviceStatus::Active]);
    // The older one asks for it again: the newer enrolment keeps it.
    let push = DeviceChange::Push { target: address(9), signed_at: at(1) };
    let older = bench.changed(1, push).await;
    assert_eq!((older.status, older.push.token), (DeviceStatus::Unreachable, None));
    let held = bench.is_dead(9).await;
    assert_eq!(held, [device_id(2), device_id(3)]);
}

pub async fn a_phone_that_waits_for_its_number_takes_no_address(bench: Bench) {
    bench.enrolled_at(1, 1, 9).await;
    let mut new = new_enrollment(2);
    new.mode = tocsin_model::EnrolmentMode::Multiple;
    new.enrollment.user = user(1);
    let _ = bench.store.open_enrollment(new).await.expect("stored");
    let rules = rules(tocsin_model::EnrolmentMode::Multiple, true);
    let mut thief = device(2);
    thief.push.token = Some(token(9));
    let _ = bench.store.enrol(code_hash(2), thief, rules, START).await.expect("stored");
    assert_eq!(bench.device_status(1).await, DeviceStatus::Active);
    let confirmed = bench.store.confirm_enrollment(enrollment(2).id, true, rules, START).await;
    assert!(confirmed.is_ok());
    let statuses = [bench.device_status(1).await, bench.device_status(2).await];
    assert_eq!(statuses, [DeviceStatus::Unreachable, DeviceStatus::Active]);
}
