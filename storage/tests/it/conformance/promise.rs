//! Idempotency keys.

use tocsin_model::DurationMs;
use tocsin_storage::{Created, EnrollmentOpened, NewEnrollment, NewTransaction};

use super::Bench;
use crate::fixture::*;

fn start(salt: u64, key: &str, fingerprint: u64) -> NewTransaction {
    NewTransaction {
        transaction: transaction(salt),
        idempotency: Some(promise(key, fingerprint)),
        challenges: Vec::new(),
        otp: None,
    }
}

fn opening(salt: u64, key: &str, fingerprint: u64) -> NewEnrollment {
    NewEnrollment { idempotency: Some(promise(key, fingerprint)), ..new_enrollment(salt) }
}

pub async fn the_same_key_and_fingerprint_is_the_same_transaction(bench: Bench) {
    // Both are submitted before either is answered.
    let (first, second) = (bench.store.create(start(1, "k", 1)), bench.store.create(start(2, "k", 1)));
    assert_eq!(first.await.expect("answered"), Created::New);
    assert_eq!(second.await.expect("answered"), Created::Existing(transaction_id(1)));
    assert_eq!(bench.store.transaction(transaction_id(2)).await.expect("read"), None);
    let client = transaction(1).client;
    let seen = bench.store.by_idempotency_key(&client, &promise("k", 1)).await.expect("read");
    assert_eq!(seen, Some(Created::Existing(transaction_id(1))));
}

pub async fn the_same_key_with_another_fingerprint_is_a_mismatch(bench: Bench) {
    let _ = bench.store.create(start(1, "k", 1)).await.expect("stored");
    assert_eq!(bench.store.create(start(2, "k", 2)).await.expect("answered"), Created::Mismatch);
    assert_eq!(bench.store.transaction(transaction_id(2)).await.expect("read"), None);
    let client = transaction(1).client;
    let seen = bench.store.by_idempotency_key(&client, &promise("k", 2)).await.expect("read");
    assert_eq!(seen, Some(Created::Mismatch));
}

pub async fn keys_are_apart_by_client(bench: Bench) {
    let mut foreign = start(2, "k", 2);
    foreign.transaction.client = "other".parse().expect("valid");
    assert_eq!(bench.store.create(start(1, "k", 1)).await.expect("answered"), Created::New);
    assert_eq!(bench.store.create(foreign).await.expect("answered"), Created::New);
}

pub async fn a_key_stands_for_one_call_of_whatever_sort(bench: Bench) {
    let client = transaction(1).client;
    let open = |opening| bench.store.open_enrollment(opening);
    assert_eq!(bench.store.create(start(1, "k", 1)).await.expect("answered"), Created::New);
    assert_eq!(open(opening(3, "k", 3)).await.expect("answered"), EnrollmentOpened::Mismatch);
    let seen = bench.store.enrollment_by_idempotency_key(&client, &promise("k", 3)).await.expect("read");
    assert_eq!(seen, Some(EnrollmentOpened::Mismatch));
    assert_eq!(open(opening(3, "e", 3)).await.expect("answered"), EnrollmentOpened::New);
    let again = open(opening(4, "e", 3)).await.expect("answered");
    assert_eq!(again, EnrollmentOpened::Existing(enrollment(3).id));
    assert_eq!(open(opening(4, "e", 4)).await.expect("answered"), EnrollmentOpened::Mismatch);
    assert_eq!(bench.store.create(start(2, "e", 2)).await.expect("answered"), Created::Mismatch);
    assert_eq!(bench.store.transaction(transaction_id(2)).await.expect("read"), None);
}

pub async fn the_key_of_an_enrolment_is_found_without_another_try(bench: Bench) {
    let client = enrollment(3).client;
    let seen = async |key, fingerprint| {
        let promise = promise(key, fingerprint);
        bench.store.enrollment_by_idempotency_key(&client, &promise).await.expect("read")
    };
    assert_eq!(seen("k", 3).await, None);
    let _ = bench.store.open_enrollment(opening(3, "k", 3)).await.expect("stored");
    assert_eq!(seen("k", 3).await, Some(EnrollmentOpened::Existing(enrollment(3).id)));
    assert_eq!(seen("k", 4).await, Some(EnrollmentOpened::Mismatch));
    assert_eq!(seen("other", 3).await, None);
}

pub async fn a_key_is_kept_until_ten_minutes_after_the_deadline(bench: Bench) {
    let client = transaction(1).client;
    let _ = bench.store.create(start(1, "k", 1)).await.expect("stored");
    bench.clock.advance(DurationMs::new(MINUTE.get() + 600_000 - 1));
    let seen = bench.store.by_idempotency_key(&client, &promise("k", 1)).await.expect("read");
    assert_eq!(seen, Some(Created::Existing(transaction_id(1))));
    bench.clock.advance(DurationMs::new(1));
    assert_eq!(bench.store.by_idempotency_key(&client, &promise("k", 1)).await.expect("read"), None);
    assert_eq!(bench.store.create(start(2, "k", 2)).await.expect("answered"), Created::New);
}
