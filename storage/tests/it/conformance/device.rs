//! Devices, their addresses, and the deployment's values.

use tocsin_model::{AuditActor, Device, DeviceStatus, DurationMs, ProviderName, PushKind, PushTarget};
use tocsin_storage::{Enrolled, EnrollmentOpened, MetaKey, PushTargetVerdict, Revoked};

use super::Bench;
use crate::fixture::*;

impl Bench {
    async fn device(&self, salt: u64) -> Device {
        self.store.device(device_id(salt)).await.expect("read").expect("there")
    }

    async fn judge(&self, salt: u64, verdict: PushTargetVerdict) -> Vec<tocsin_model::DeviceId> {
        self.store.judge_push_target(PushKind::Apns, token(salt), verdict).await.expect("answered")
    }

    /// Enrols the device `salt` for the user 1.
    async fn enrolled_for_user_1(&self, salt: u64) {
        let mut new = new_enrollment(salt);
        new.enrollment.user = user(1);
        let opened = self.store.open_enrollment(new).await.expect("answered");
        assert_eq!(opened, EnrollmentOpened::New);
        let mut device = device(salt);
        device.created_at = self.clock.now();
        let enrolled = self.store.enrol(code_hash(salt), device, RULES, START).await.expect("answered");
        assert!(is_stored(&enrolled));
    }

    async fn revoke(&self, salt: u64) -> Revoked {
        self.store
            .revoke_device(device_id(salt), AuditActor::Server, self.clock.now())
            .await
            .expect("answered")
    }
}

pub async fn a_revoked_device_frees_its_place_but_not_its_key(bench: Bench) {
    bench.enrolled(1).await;
    assert_eq!(bench.revoke(1).await, Revoked::Stored);
    assert_eq!(bench.revoke(1).await, Revoked::Stored, "again");
    assert_eq!(bench.revoke(2).await, Revoked::Absent);
    let revoked = bench.device(1).await;
    assert_eq!((revoked.status, revoked.revision), (DeviceStatus::Revoked, 2));
    assert_eq!(revoked.push, PushTarget::none(START));
    assert_eq!(
        bench.judge(1, PushTargetVerdict::Suspect { others_succeed: true }).await,
        [],
        "nothing leads to its address"
    );

    let mut same_key = new_enrollment(2);
    same_key.enrollment.user = user(1);
    let _ = bench.store.open_enrollment(same_key).await.expect("stored");
    let mut same_phone = device(2);
    same_phone.keys = device(1).keys;
    let refused = bench.store.enrol(code_hash(2), same_phone, RULES, START).await.expect("answered");
    assert_eq!(refused, Enrolled::KeyInUse);
    let enrolled = bench.store.enrol(code_hash(2), device(2), RULES, START).await.expect("answered");
    assert!(is_stored(&enrolled));
}

pub async fn a_revoked_device_is_listed_until_its_retention_ends(bench: Bench) {
    bench.enrolled(1).await;
    let _ = bench.revoke(1).await;
    let kid = device(1).keys[0].kid;
    bench.clock.advance(DurationMs::new(RETENTION.enrollment.get() - 1));
    assert_eq!(bench.store.devices_of(&user(1)).await.expect("read"), [bench.device(1).await]);
    assert!(bench.store.device_by_kid(kid).await.expect("read").is_some());
    bench.clock.advance(DurationMs::new(1));
    assert_eq!(bench.store.devices_of(&user(1)).await.expect("read"), []);
    assert_eq!(bench.store.device_by_kid(kid).await.expect("read"), None);
}

pub async fn devices_are_listed_newest_first(bench: Bench) {
    for salt in [3, 1, 2] {
        bench.enrolled_for_user_1(salt).await;
        let _ = bench.revoke(salt).await;
        bench.clock.advance(DurationMs::new(1));
    }
    bench.enrolled_for_user_1(4).await;
    let listed = bench.store.devices_of(&user(1)).await.expect("read");
    let ids: Vec<_> = listed.iter().map(|device| device.id).collect();
    assert_eq!(ids, [4, 2, 1, 3].map(device_id));
}

pub async fn an_answer_marks_its_device_as_used(bench: Bench) {
    bench.enrolled(1).await;
    let _ = bench.store.create(new_transaction(1)).await.expect("stored");
    let decided_at = START.plus(DurationMs::new(7));
    let _ = bench.store.end(answered(transaction(1), device_id(1), decided_at)).await.expect("stored");
    let stored = bench.device(1).await;
    assert_eq!(stored, Device { last_used_at: decided_at, ..device(1) });
    let _ = bench.revoke(1).await;
    assert_eq!(bench.device(1).await.last_used_at, decided_at, "revoking forgets nothing");
}

pub async fn many_devices_are_read_in_the_order_of_their_ids(bench: Bench) {
    for salt in [3, 1, 2] {
        bench.enrolled(salt).await;
    }
    let _ = bench.revoke(2).await;
    let _ = bench.store.create(new_transaction(1)).await.expect("stored");
    let decided_at = START.plus(DurationMs::new(7));
    let _ = bench.store.end(answered(transaction(1), device_id(1), decided_at)).await.expect("stored");
    let read = bench.store.devices([3, 9, 1, 2, 3].map(device_id).to_vec()).await.expect("read");
    let mut expected = [bench.device(1).await, bench.device(2).await, bench.device(3).await];
    expected.sort_unstable_by_key(|device| device.id);
    assert_eq!(read, expected);
    assert_eq!(
        read.iter().find(|device| device.id == device_id(1)).map(|device| device.last_used_at),
        Some(decided_at)
    );
    assert_eq!(bench.store.devices(Vec::new()).await.expect("read"), []);
}

pub async fn a_dead_address_makes_its_device_unreachable(bench: Bench) {
    bench.enrolled(1).await;
    let dead = PushTargetVerdict::Dead { since: None };
    assert_eq!(bench.judge(2, dead.clone()).await, []);
    assert_eq!(bench.judge(1, dead.clone()).await, [device_id(1)]);
    let stored = bench.device(1).await;
    assert_eq!((stored.status, stored.push.token.clone()), (DeviceStatus::Unreachable, None));
    assert_eq!(stored.revision, 2);
    assert_eq!(bench.judge(1, dead).await, [], "again");
}

pub async fn an_address_registered_after_its_death_is_left_alone(bench: Bench) {
    bench.enrolled(1).await;
    let registered_at = device(1).push.registered_at;
    for since in [registered_at.minus(DurationMs::new(1)), registered_at] {
        assert_eq!(bench.judge(1, PushTargetVerdict::Dead { since: Some(since) }).await, []);
    }
    assert_eq!(bench.device(1).await, device(1));
    let later = PushTargetVerdict::Dead { since: Some(registered_at.plus(DurationMs::new(1))) };
    assert_eq!(bench.judge(1, later).await, [device_id(1)]);
}

pub async fn a_suspension_outlives_a_dead_address(bench: Bench) {
    for (salt, status) in [(1, DeviceStatus::Suspended), (2, DeviceStatus::Unconfirmed)] {
        let _ = bench.store.open_enrollment(new_enrollment(salt)).await.expect("stored");
        let device = Device { status, ..device(salt) };
        let _ = bench.store.enrol(code_hash(salt), device, RULES, START).await.expect("stored");
        assert_eq!(bench.judge(salt, PushTargetVerdict::Dead { since: None }).await, [device_id(salt)]);
        let judged = bench.device(salt).await;
        assert_eq!((judged.status, judged.push.token), (status, None));
    }
}

pub async fn suspicion_is_counted_and_forgotten(bench: Bench) {
    bench.enrolled(1).await;
    assert_eq!(bench.judge(1, PushTargetVerdict::Good).await, [], "nothing to forget");
    for count in 1..=3 {
        assert_eq!(
            bench.judge(1, PushTargetVerdict::Suspect { others_succeed: false }).await,
            [device_id(1)]
        );
        assert_eq!(bench.device(1).await.push_suspect_count, count);
    }
    assert_eq!(bench.device(1).await.status, DeviceStatus::Active, "it may be our own fault");
    assert_eq!(bench.judge(1, PushTargetVerdict::Good).await, [device_id(1)]);
    assert_eq!(bench.device(1).await.push_suspect_count, 0);
    for status in [DeviceStatus::Active, DeviceStatus::Active, DeviceStatus::Unreachable] {
        let suspect = PushTargetVerdict::Suspect { others_succeed: true };
        assert_eq!(bench.judge(1, suspect).await, [device_id(1)]);
        assert_eq!(bench.device(1).await.status, status, "the third in a row gives it up");
    }
}

pub async fn the_last_token_of_a_provider_is_kept_until_it_expires(bench: Bench) {
    let provider = |name: &str| name.parse::<ProviderName>().expect("a name");
    let kept = async |name: &str| bench.store.provider_token(provider(name)).await.expect("read");
    assert!(kept("apns-main").await.is_none());
    for (name, text) in [("apns-main", "bearer 1"), ("apns-main", "bearer 2"), ("apns-second", "bearer 3")] {
        let token = provider_token(text);
        bench.store.keep_provider_token(provider(name), token).await.expect("stored");
    }
    let found = kept("apns-main").await.expect("there");
    let token = provider_token("bearer 2");
    assert_eq!(found.authorization.expose(), token.authorization.expose());
    assert_eq!(
        (found.credential, found.minted_at, found.refresh_at, found.expires_at),
        (token.credential, token.minted_at, token.refresh_at, token.expires_at)
    );
    bench.clock.advance(MINUTE);
    assert!(kept("apns-main").await.is_none(), "it has expired");
}

pub async fn the_first_meta_value_stands(bench: Bench) {
    let keep = |key, value: &[u8]| bench.store.keep_meta(key, value.to_vec());
    assert_eq!(keep(MetaKey::Issuer, b"first").await.expect("answered"), b"first");
    assert_eq!(keep(MetaKey::Issuer, b"second").await.expect("answered"), b"first");
    assert_eq!(keep(MetaKey::DerivationKey, b"other").await.expect("answered"), b"other");
}
