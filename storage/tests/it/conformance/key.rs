//! Keys of devices, wrong PINs, and what entitles to a change.

use tocsin_model::{
    AUTHORIZES_FOR, Answer, AuditActor, Device, DeviceStatus, DurationMs, KeyUse, State, Transaction, UnixMs,
};
use tocsin_storage::{
    ChangeNoted, DeviceChange, DeviceChanged, Ended, EnrollmentOpened, KeyApproval, KeyChange, KeyDeleted,
    KeyPut, PinTried,
};

use super::Bench;
use crate::fixture::*;

const MAX: u32 = 3;
const PIN: u64 = 0x2000_0000;

impl Bench {
    /// Enrols the device `salt` with a PIN.
    async fn enrolled_with_pin(&self, salt: u64) {
        let opened = self.store.open_enrollment(new_enrollment(salt)).await.expect("answered");
        assert_eq!(opened, EnrollmentOpened::New);
        let mut device = device(salt);
        device.keys.push(key(KeyUse::Pin, PIN));
        let enrolled = self.store.enrol(code_hash(salt), device, RULES, START).await.expect("answered");
        assert!(is_stored(&enrolled));
    }

    async fn try_pin(&self, salt: u64) -> PinTried {
        self.store.count_pin_try(device_id(salt), MAX, START).await.expect("answered")
    }

    async fn phone(&self, salt: u64) -> Device {
        self.store.device(device_id(salt)).await.expect("read").expect("there")
    }

    async fn put_key(&self, change: KeyChange) -> KeyPut {
        self.store.put_key(change).await.expect("answered")
    }

    async fn accepted_by(&self, name: u64, by: u64) -> Transaction {
        let mut new = new_transaction(name);
        new.transaction.user = Some(user(by));
        let accepted = answered(new.transaction.clone(), device_id(by), START);
        let _ = self.store.create(new).await.expect("stored");
        assert_eq!(self.store.end(accepted.clone()).await.expect("answered"), Ended::Stored);
        accepted
    }
}

fn by_pin(transaction: Transaction, salt: u64) -> Transaction {
    let accepted = answered(transaction, device_id(salt), START);
    let answer =
        accepted.answer.clone().map(|answer| Answer { key_use: KeyUse::Pin, ..*answer }).map(Box::new);
    Transaction { answer, ..accepted }
}

fn change(salt: u64, key_use: KeyUse, name: u64, approval: KeyApproval) -> KeyChange {
    KeyChange { device_id: device_id(salt), key: key(key_use, name), approval, now: START }
}

fn pin_approval(name: u64, issued_at: u64) -> KeyApproval {
    KeyApproval::Pin { kid: key(KeyUse::Pin, name).kid, issued_at: UnixMs::new(issued_at) }
}

pub async fn wrong_pins_in_a_row_revoke_the_device_at_the_limit(bench: Bench) {
    bench.enrolled_with_pin(1).await;
    assert_eq!(bench.try_pin(1).await, PinTried::Counted { used: 1 });
    assert_eq!(bench.try_pin(1).await, PinTried::Counted { used: 2 });
    assert_eq!(bench.phone(1).await.guards.pin_tries_used, 2);
    assert_eq!(bench.try_pin(1).await, PinTried::Exhausted);
    let revoked = bench.phone(1).await;
    assert_eq!((revoked.status, revoked.guards.pin_tries_used), (DeviceStatus::Revoked, MAX));
    assert_eq!(bench.try_pin(1).await, PinTried::Revoked);
    assert_eq!(bench.try_pin(9).await, PinTried::Absent);
    let mut another = new_enrollment(2);
    another.enrollment.user = user(1);
    let opened = bench.store.open_enrollment(another).await.expect("answered");
    assert_eq!(opened, EnrollmentOpened::New, "its place is free");
}

pub async fn wrong_pins_at_the_same_moment_are_all_counted(bench: Bench) {
    bench.enrolled_with_pin(1).await;
    let tries: Vec<_> = (0..5).map(|_| bench.store.count_pin_try(device_id(1), MAX, START)).collect();
    let mut replies = Vec::new();
    for tried in tries {
        replies.push(tried.await.expect("answered"));
    }
    let expected = [
        PinTried::Counted { used: 1 },
        PinTried::Counted { used: 2 },
        PinTried::Exhausted,
        PinTried::Revoked,
        PinTried::Revoked,
    ];
    assert_eq!(replies, expected);
}

pub async fn a_limit_of_zero_is_none(bench: Bench) {
    bench.enrolled_with_pin(1).await;
    for used in 1..=20 {
        let tried = bench.store.count_pin_try(device_id(1), 0, START).await.expect("answered");
        assert_eq!(tried, PinTried::Counted { used });
    }
}

pub async fn a_right_pin_forgets_the_wrong_ones_unless_it_comes_too_late(bench: Bench) {
    bench.enrolled_with_pin(1).await;
    for name in [1, 2] {
        let _ = bench.store.create(new_transaction(name)).await.expect("stored");
    }
    assert_eq!(bench.try_pin(1).await, PinTried::Counted { used: 1 });
    let other_key = answered(transaction(2), device_id(1), START);
    assert_eq!(bench.store.end(other_key).await.expect("answered"), Ended::Stored);
    assert_eq!(bench.phone(1).await.guards.pin_tries_used, 1, "another key proves no PIN");
    assert_eq!(bench.store.end(by_pin(transaction(1), 1)).await.expect("answered"), Ended::Stored);
    assert_eq!(bench.phone(1).await.guards.pin_tries_used, 0);

    let _ = bench.store.create(new_transaction(3)).await.expect("stored");
    for _ in 0..MAX {
        let _ = bench.try_pin(1).await;
    }
    let late = bench.store.end(by_pin(transaction(3), 1)).await.expect("answered");
    assert_eq!(late, Ended::DeviceRevoked);
    let stored = bench.store.transaction(transaction_id(3)).await.expect("read").expect("there");
    assert_eq!(stored.state, State::Pending);
}

pub async fn changes_come_in_the_order_of_their_times(bench: Bench) {
    bench.enrolled(1).await;
    let mut note = Vec::new();
    for at in [5, 5, 4, 6] {
        note.push(bench.store.note_change(device_id(1), UnixMs::new(at)).await.expect("answered"));
    }
    let expected = [ChangeNoted::Stored, ChangeNoted::NotAbove, ChangeNoted::NotAbove, ChangeNoted::Stored];
    assert_eq!(note, expected);
    let leave = |at| DeviceChange::Leave { signed_at: UnixMs::new(at) };
    let by = AuditActor::Device(device_id(1));
    let stale = bench.store.change_device(device_id(1), leave(6), by, START).await.expect("answered");
    assert_eq!(stale, DeviceChanged::Stale, "all signed changes have one order");
    let unknown = bench.store.note_change(device_id(2), UnixMs::new(1)).await.expect("answered");
    assert_eq!(unknown, ChangeNoted::Absent);
}

pub async fn the_present_pin_entitles_to_a_change_and_is_forgiven(bench: Bench) {
    bench.enrolled_with_pin(1).await;
    let _ = bench.try_pin(1).await;
    let wrong = change(1, KeyUse::Pin, 7, pin_approval(8, 10));
    assert_eq!(bench.put_key(wrong).await, KeyPut::NotApproved, "not the present PIN");
    let stored = bench.put_key(change(1, KeyUse::Pin, 7, pin_approval(PIN, 10))).await;
    assert_eq!(stored, KeyPut::Stored);
    let device = bench.phone(1).await;
    assert_eq!(device.key(&KeyUse::Pin), Some(&key(KeyUse::Pin, 7)));
    assert_eq!((device.keys.len(), device.guards.pin_tries_used), (3, 0));
    let lost = bench.store.device_by_kid(key(KeyUse::Pin, PIN).kid).await.expect("read");
    assert_eq!(lost, None, "the old name leads nowhere");
    let found = bench.store.device_by_kid(key(KeyUse::Pin, 7).kid).await.expect("read");
    assert_eq!(found.as_deref(), Some(&device));
    let again = bench.put_key(change(1, KeyUse::Custom("face".into()), 7, pin_approval(7, 11))).await;
    assert_eq!(again, KeyPut::AlreadyThere, "all keys of a device differ");
}

pub async fn an_authorization_that_is_sent_once_more_gives_no_try_back(bench: Bench) {
    bench.enrolled_with_pin(1).await;
    let put = |name, at| change(1, KeyUse::Custom("face".into()), name, pin_approval(PIN, at));
    assert_eq!(bench.put_key(put(7, 10)).await, KeyPut::Stored);
    let _ = bench.try_pin(1).await;
    assert_eq!(bench.put_key(put(8, 10)).await, KeyPut::Stored);
    assert_eq!(bench.phone(1).await.guards.pin_tries_used, 1, "the same time again");
    assert_eq!(bench.put_key(put(9, 11)).await, KeyPut::Stored);
    assert_eq!(bench.phone(1).await.guards.pin_tries_used, 0);
}

pub async fn an_accepted_transaction_entitles_once_and_only_without_a_pin(bench: Bench) {
    bench.enrolled(1).await;
    let accepted = bench.accepted_by(1, 1).await;
    let approval = || KeyApproval::Transaction(accepted.id);
    let put = |name| change(1, KeyUse::Custom("face".into()), name, approval());
    assert_eq!(bench.put_key(put(7)).await, KeyPut::Stored);
    assert_eq!(bench.put_key(put(8)).await, KeyPut::NotApproved, "it is used up");
    let mut joining = new_enrollment(5);
    joining.enrollment.user = user(1);
    joining.enrollment.authorized_by = Some(accepted.id);
    let opened = bench.store.open_enrollment(joining).await.expect("answered");
    assert_eq!(opened, EnrollmentOpened::Unauthorized, "for whatever it was used");

    let by_another = bench.accepted_by(2, 2).await;
    let foreign = change(1, KeyUse::Pin, 9, KeyApproval::Transaction(by_another.id));
    assert_eq!(bench.put_key(foreign).await, KeyPut::NotApproved);
    let own = bench.accepted_by(3, 1).await;
    let pin = change(1, KeyUse::Pin, 9, KeyApproval::Transaction(own.id));
    assert_eq!(bench.put_key(pin).await, KeyPut::Stored);
    let later = bench.accepted_by(4, 1).await;
    let without_pin = change(1, KeyUse::Pin, 10, KeyApproval::Transaction(later.id));
    assert_eq!(bench.put_key(without_pin).await, KeyPut::NotApproved, "it has a PIN now");
    let absent = change(8, KeyUse::Pin, 10, KeyApproval::Transaction(later.id));
    assert_eq!(bench.put_key(absent).await, KeyPut::Absent);
}

pub async fn an_authorization_stands_for_ten_minutes_and_for_its_own(bench: Bench) {
    bench.enrolled(1).await;
    let last = START.plus(AUTHORIZES_FOR);
    let over = last.plus(DurationMs::new(1));
    let cases = [
        (START, 1, 1, KeyPut::Stored),
        (last, 1, 1, KeyPut::Stored),
        (over, 1, 1, KeyPut::NotApproved),
        (START, 1, 2, KeyPut::NotApproved),
        (START, 2, 1, KeyPut::NotApproved),
    ];
    for (name, (now, owner, answered_by, expected)) in (1..).zip(cases) {
        let mut new = new_transaction(name);
        new.transaction.user = Some(user(owner));
        let accepted = answered(new.transaction.clone(), device_id(answered_by), START);
        let _ = bench.store.create(new).await.expect("stored");
        assert_eq!(bench.store.end(accepted.clone()).await.expect("answered"), Ended::Stored);
        let approval = KeyApproval::Transaction(accepted.id);
        let asked = change(1, KeyUse::Custom("face".into()), 70 + name, approval);
        let put = bench.put_key(KeyChange { now, ..asked }).await;
        assert_eq!(put, expected, "{now:?} {owner} {answered_by}");
    }
    let declined = ended(Transaction { user: Some(user(1)), ..transaction(90) }, State::Declined);
    let mut new = new_transaction(90);
    new.transaction.user = Some(user(1));
    let _ = bench.store.create(new).await.expect("stored");
    let asked = || change(1, KeyUse::Custom("face".into()), 90, KeyApproval::Transaction(declined.id));
    assert_eq!(bench.put_key(asked()).await, KeyPut::NotApproved, "it is pending");
    let _ = bench.store.end(declined.clone()).await.expect("stored");
    assert_eq!(bench.put_key(asked()).await, KeyPut::NotApproved, "it was declined");
}

pub async fn a_key_can_be_removed_but_not_device_and_pin(bench: Bench) {
    bench.enrolled_with_pin(1).await;
    for (key_use, expected) in [
        (KeyUse::Device, KeyDeleted::Absent),
        (KeyUse::Pin, KeyDeleted::Absent),
        (KeyUse::Custom("face".into()), KeyDeleted::Absent),
        (KeyUse::Biometric, KeyDeleted::Stored),
        (KeyUse::Biometric, KeyDeleted::Absent),
    ] {
        let deleted = bench.store.delete_key(device_id(1), key_use.clone()).await.expect("answered");
        assert_eq!(deleted, expected, "{key_use}");
    }
    let gone = bench.store.device_by_kid(device(1).keys[1].kid).await.expect("read");
    assert_eq!(gone, None);
    assert_eq!(bench.phone(1).await.keys.len(), 2);
}

pub async fn a_revoked_device_changes_nothing_any_more(bench: Bench) {
    bench.enrolled_with_pin(1).await;
    let _ = bench.store.revoke_device(device_id(1), AuditActor::Server, START).await.expect("stored");
    let put = bench.put_key(change(1, KeyUse::Pin, 7, pin_approval(PIN, 10))).await;
    assert_eq!(put, KeyPut::Revoked);
    let deleted = bench.store.delete_key(device_id(1), KeyUse::Biometric).await.expect("answered");
    assert_eq!(deleted, KeyDeleted::Absent);
    let noted = bench.store.note_change(device_id(1), UnixMs::new(5)).await.expect("answered");
    assert_eq!(noted, ChangeNoted::Absent);
}
