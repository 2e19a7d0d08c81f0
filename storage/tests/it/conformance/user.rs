//! Users: profiles, erasure, and what the audit trail keeps of somebody who is gone.

use tocsin_model::{
    AuditActor, AuditKind, AuditRow, DurationMs, EmailAddress, EnrollmentState, EnrolmentMode, FailureReason,
    PhoneNumber, State, Transaction, User, UserProfile,
};
use tocsin_storage::{
    AuditChecked, AuditCheckpoint, AuditQuery, CallbackList, Created, Enrolled, EnrollmentOpened, Erased,
    Erasure, NewEnrollment, NewTransaction, Store, TransactionQuery,
};

use super::Bench;
use crate::fixture::*;

fn by() -> AuditActor {
    AuditActor::Client("desk".parse().expect("valid"))
}

fn profile(number: &str) -> UserProfile {
    UserProfile {
        phone_number: PhoneNumber::parse(number),
        email: EmailAddress::parse("alice@example.com"),
        language: Some("de-CH".into()),
    }
}

async fn begin(store: &dyn Store, transaction: Transaction) {
    let new = NewTransaction { transaction, ..new_transaction(1) };
    assert_eq!(store.create(new).await.expect("answered"), Created::New);
}

async fn enrol(store: &dyn Store, salt: u64) {
    let new = NewEnrollment { mode: EnrolmentMode::Multiple, ..new_enrollment(salt) };
    assert_eq!(store.open_enrollment(new).await.expect("answered"), EnrollmentOpened::New);
    let enrolled = store.enrol(code_hash(salt), device(salt), rules(EnrolmentMode::Multiple, false), START);
    assert!(is_stored(&enrolled.await.expect("answered")));
}

async fn erase(bench: &Bench, salt: u64, open: &[u64]) -> Erased {
    let open = open.iter().map(|number| transaction_id(*number)).collect();
    let erasure = Erasure { user: user(salt), open, by: by(), now: bench.clock.now() };
    bench.store.erase_user(erasure).await.expect("answered")
}

async fn rows(bench: &Bench, query: AuditQuery) -> Vec<AuditRow> {
    bench.store.audit(AuditQuery { limit: 1_000, ..query }).await.expect("read").rows
}

async fn is_sound(bench: &Bench) -> bool {
    let checked = bench.store.check_audit(AuditCheckpoint::default()).await.expect("checked");
    matches!(checked, AuditChecked::Sound(_))
}

pub async fn a_profile_is_kept_replaced_and_told_without_its_values(bench: Bench) {
    assert_eq!(bench.store.profile(&user(1)).await.expect("read"), None);
    for profile in [profile("+15055551234"), UserProfile { email: None, ..profile("+4915112345678") }] {
        bench.store.put_profile(user(1), profile.clone(), by()).await.expect("stored");
        assert_eq!(bench.store.profile(&user(1)).await.expect("read"), Some(profile));
    }
    let told = rows(&bench, AuditQuery { kind: Some(AuditKind::UserChanged), ..AuditQuery::default() }).await;
    let details: Vec<_> = told.iter().map(|row| row.event.detail.as_deref()).collect();
    assert_eq!(details, [Some("phone_number language"), Some("phone_number email language")]);
    assert_eq!(bench.store.profile(&user(2)).await.expect("read"), None);
}

pub async fn an_erasure_ends_and_removes_all_there_is_in_one_batch(bench: Bench) {
    let store = &*bench.store;
    enrol(store, 1).await;
    store.put_profile(user(1), profile("+15055551234"), by()).await.expect("stored");
    begin(store, calling(transaction(1))).await;
    begin(store, transaction(2)).await;
    let erased = erase(&bench, 1, &[1, 2, 9]).await;
    assert_eq!(erased.transactions, [transaction_id(1)], "the other one is of another user");
    assert_eq!(erased.devices, [device_id(1)]);
    let ended = store.transaction(transaction_id(1)).await.expect("read").expect("there");
    assert_eq!(ended.state, State::Failed(FailureReason::UserDeleted));
    assert_eq!(ended.ended_at, Some(START));
    let owed = store.callbacks(CallbackList::Owed, None, 10).await.expect("read");
    assert_eq!(owed.callbacks.len(), 1, "an outcome owed is an outcome delivered");
    assert_eq!(store.profile(&user(1)).await.expect("read"), None);
    assert!(store.devices_of(&user(1)).await.expect("read").is_empty());
    assert_eq!(store.device(device_id(1)).await.expect("read"), None);
    assert_eq!(store.device_by_kid(device(1).keys[0].kid).await.expect("read"), None);
    let other = store.transaction(transaction_id(2)).await.expect("read").expect("there");
    assert_eq!(other.state, State::Pending);
    assert_eq!(erase(&bench, 1, &[1]).await, Erased::default(), "once more, it finds nothing");
    let told = rows(&bench, AuditQuery { kind: Some(AuditKind::UserErased), ..AuditQuery::default() }).await;
    assert_eq!(told.len(), 1);
}

pub async fn revoked_and_waiting_devices_are_erased_too(bench: Bench) {
    let store = &*bench.store;
    enrol(store, 1).await;
    store.revoke_device(device_id(1), by(), START).await.expect("revoked");
    let opened = NewEnrollment {
        enrollment: tocsin_model::Enrollment { user: user(1), ..enrollment(2) },
        mode: EnrolmentMode::Multiple,
        ..new_enrollment(2)
    };
    store.open_enrollment(opened).await.expect("opened");
    let waiting = store.enrol(code_hash(2), device(2), rules(EnrolmentMode::Multiple, true), START).await;
    assert!(is_stored(&waiting.expect("answered")));
    let erased = erase(&bench, 1, &[]).await;
    assert_eq!((erased.devices, erased.enrollments), (vec![device_id(2)], vec![enrollment(2).id]));
    assert!(store.devices_of(&user(1)).await.expect("read").is_empty());
    for salt in [1, 2] {
        assert_eq!(store.device(device_id(salt)).await.expect("read"), None);
    }
    let failed = store.enrollment(enrollment(2).id).await.expect("read").expect("there");
    assert_eq!(failed.state, EnrollmentState::Failed);
}

pub async fn a_code_from_before_an_erasure_makes_no_device(bench: Bench) {
    let store = &*bench.store;
    let open = |salt: u64, now| NewEnrollment {
        enrollment: tocsin_model::Enrollment { user: user(1), created_at: now, ..enrollment(salt) },
        ..new_enrollment(salt)
    };
    store.open_enrollment(open(1, START)).await.expect("opened");
    erase(&bench, 1, &[]).await;
    let late = store.enrol(code_hash(1), device(1), RULES, START).await.expect("answered");
    assert_eq!(late, Enrolled::BadCode);
    // Whoever comes back begins anew.
    bench.clock.advance(DurationMs::new(1));
    store.open_enrollment(open(2, bench.clock.now())).await.expect("opened");
    let anew = store.enrol(code_hash(2), device(2), RULES, bench.clock.now()).await.expect("answered");
    assert!(is_stored(&anew));
}

pub async fn an_erasure_leaves_the_pseudonym_and_a_sound_chain(bench: Bench) {
    let store = &*bench.store;
    let about = |user: User| AuditQuery { user: Some(user), ..AuditQuery::default() };
    enrol(store, 1).await;
    begin(store, transaction(1)).await;
    begin(store, transaction(2)).await;
    let before = rows(&bench, about(user(1))).await;
    assert!(before.len() >= 4, "{before:?}");
    let pseudonym = before[0].pseudonym.expect("a pseudonym");
    assert!(before.iter().all(|row| row.pseudonym == Some(pseudonym)), "one for all of one user");
    assert!(before.iter().all(|row| row.event.user == Some(user(1))));
    erase(&bench, 1, &[1]).await;
    assert_eq!(rows(&bench, about(user(1))).await, [], "nothing leads to him by his name");
    let all = rows(&bench, AuditQuery::default()).await;
    let his: Vec<_> = all.iter().filter(|row| row.pseudonym == Some(pseudonym)).collect();
    // The device revoked, the transaction ended, the user erased.
    assert_eq!(his.len(), before.len() + 3);
    assert!(his.iter().all(|row| row.event.user.is_none()));
    assert!(all.iter().all(|row| row.event.user != Some(user(1))));
    let by_pseudonym = AuditQuery { pseudonym: Some(pseudonym), ..AuditQuery::default() };
    assert_eq!(rows(&bench, by_pseudonym).await.len(), his.len());
    assert!(is_sound(&bench).await);
    let other = rows(&bench, about(user(2))).await;
    assert!(!other.is_empty() && other.iter().all(|row| row.pseudonym != Some(pseudonym)));
}

pub async fn who_comes_back_is_somebody_else_to_the_trail(bench: Bench) {
    let store = &*bench.store;
    begin(store, transaction(1)).await;
    let first = rows(&bench, AuditQuery::default()).await[0].pseudonym;
    erase(&bench, 1, &[1]).await;
    begin(store, Transaction { user: Some(user(1)), ..transaction(3) }).await;
    let again = rows(&bench, AuditQuery { user: Some(user(1)), ..AuditQuery::default() }).await;
    assert_eq!(again.len(), 1, "what was before is not his any more");
    assert!(again[0].pseudonym.is_some() && again[0].pseudonym != first);
    assert!(is_sound(&bench).await);
}

pub async fn what_comes_late_about_somebody_erased_introduces_nobody(bench: Bench) {
    let store = &*bench.store;
    store.open_enrollment(new_enrollment(1)).await.expect("opened");
    erase(&bench, 1, &[]).await;
    store.cancel_enrollment(enrollment(1).id).await.expect("cancelled");
    let last = rows(&bench, AuditQuery::default()).await.remove(0);
    assert_eq!((last.event.kind, last.event.user), (AuditKind::EnrollmentEnded, None));
    assert_eq!(rows(&bench, AuditQuery { user: Some(user(1)), ..AuditQuery::default() }).await, []);
}

/// An erasure and what it must not miss may be decided in one group.
pub async fn a_start_and_an_erasure_at_once_leave_no_name(bench: Bench) {
    let store = &*bench.store;
    let started = store.create(new_transaction(1));
    let open = vec![transaction_id(1)];
    let erased = store.erase_user(Erasure { user: user(1), open, by: by(), now: START });
    assert_eq!(started.await.expect("answered"), Created::New);
    assert_eq!(erased.await.expect("answered").transactions, [transaction_id(1)]);
    let all = rows(&bench, AuditQuery::default()).await;
    assert!(all.iter().all(|row| row.event.user.is_none()), "{all:?}");
    let pending = TransactionQuery {
        user: Some(user(1)),
        state: tocsin_model::StateWord::parse("pending"),
        limit: 10,
        ..TransactionQuery::default()
    };
    assert!(store.transactions(pending).await.expect("read").transactions.is_empty());
}

pub async fn locks_are_erased_and_a_mark_of_the_erasure_goes_by_itself(bench: Bench) {
    let store = &*bench.store;
    let mut reported = transaction(1);
    let lock = Some(tocsin_model::ReportLock::UntilRemoved);
    let guard = Some(tocsin_model::Guard { report_lock: lock, ..Default::default() });
    reported.seldom_mut().fatigue = tocsin_model::Fatigue { guard, ..Default::default() }.kept();
    begin(store, reported.clone()).await;
    store.end(ended(reported, State::Reported)).await.expect("ended");
    assert!(store.standing(&user(1)).await.expect("read").lock_at(START).is_some());
    erase(&bench, 1, &[]).await;
    assert!(store.standing(&user(1)).await.expect("read").is_clear());
    begin(store, Transaction { user: Some(user(1)), ..transaction(2) }).await;
    assert_eq!(erase(&bench, 1, &[2]).await.transactions, [transaction_id(2)]);
}
