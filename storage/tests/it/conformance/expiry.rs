//! Retention: a reader treats an expired row as absent, whether or not it is still on the disk.

use tocsin_model::{DurationMs, State};
use tocsin_storage::{Created, EnrollmentOpened, TransactionQuery};

use super::Bench;
use crate::fixture::*;

pub async fn a_final_transaction_is_readable_until_its_retention_ends(bench: Bench) {
    let _ = bench.store.create(new_transaction(1)).await.expect("stored");
    let _ = bench.store.end(ended(transaction(1), State::Accepted)).await.expect("stored");
    bench.clock.advance(DurationMs::new(RETENTION.transaction.get() - 1));
    assert!(bench.store.transaction(transaction_id(1)).await.expect("read").is_some());
    let listed = async || {
        let query = TransactionQuery { user: Some(user(1)), limit: 10, ..TransactionQuery::default() };
        bench.store.transactions(query).await.expect("read").transactions.len()
    };
    assert_eq!(listed().await, 1);
    bench.clock.advance(DurationMs::new(1));
    assert_eq!(listed().await, 0);
    assert_eq!(bench.store.transaction(transaction_id(1)).await.expect("read"), None);
    assert_eq!(bench.store.create(new_transaction(1)).await.expect("answered"), Created::New);
}

/// Ended long before a late deadline: its key lives ten minutes beyond that, and so must it.
pub async fn what_a_key_made_is_readable_as_long_as_the_key(bench: Bench) {
    let three_retentions = DurationMs::new(3 * RETENTION.transaction.get());
    let mut new = new_transaction(1);
    new.transaction.expires_at = new.transaction.created_at.plus(three_retentions);
    new.idempotency = Some(promise("a-key", 1));
    let (client, ended_now) =
        (new.transaction.client.clone(), ended(new.transaction.clone(), State::Accepted));
    let _ = bench.store.create(new).await.expect("stored");
    let _ = bench.store.end(ended_now).await.expect("stored");
    bench.clock.advance(DurationMs::new(three_retentions.get() + 10 * MINUTE.get() - 1));
    let seen = bench.store.by_idempotency_key(&client, &promise("a-key", 1)).await.expect("read");
    assert_eq!(seen, Some(Created::Existing(transaction_id(1))));
    assert!(bench.store.transaction(transaction_id(1)).await.expect("read").is_some());
    bench.clock.advance(DurationMs::new(1));
    let seen = bench.store.by_idempotency_key(&client, &promise("a-key", 1)).await.expect("read");
    assert_eq!(seen, None);
}

pub async fn a_pending_transaction_outlives_any_time(bench: Bench) {
    let _ = bench.store.create(new_transaction(1)).await.expect("stored");
    bench.clock.advance(DurationMs::from_seconds(10 * 365 * 86_400));
    let open = bench.store.open_transactions(None, 10).await.expect("read").transactions;
    assert_eq!(open, [transaction(1)]);
}

pub async fn an_enrolment_is_readable_until_its_retention_ends(bench: Bench) {
    assert_eq!(
        bench.store.open_enrollment(new_enrollment(1)).await.expect("answered"),
        EnrollmentOpened::New
    );
    bench.clock.advance(DurationMs::new(MINUTE.get() + RETENTION.enrollment.get() - 1));
    assert!(bench.store.enrollment(enrollment(1).id).await.expect("read").is_some());
    assert!(bench.store.enrollment_by_code(code_hash(1)).await.expect("read").is_some());
    bench.clock.advance(DurationMs::new(1));
    assert_eq!(bench.store.enrollment(enrollment(1).id).await.expect("read"), None);
    assert_eq!(bench.store.enrollment_by_code(code_hash(1)).await.expect("read"), None);
}
