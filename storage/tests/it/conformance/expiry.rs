//! Retention: a reader treats an expired row as absent, whether or not it is still on the disk.

use tocsin_model::{DurationMs, State};
use tocsin_storage::{Created, EnrollmentOpened};

use super::Bench;
use crate::fixture::*;

pub async fn a_final_transaction_is_readable_until_its_retention_ends(bench: Bench) {
    let _ = bench.store.create(new_transaction(1)).await.expect("stored");
    let _ = bench.store.end(ended(transaction(1), State::Accepted)).await.expect("stored");
    bench.clock.advance(DurationMs::new(RETENTION.transaction.get() - 1));
    assert!(bench.store.transaction(transaction_id(1)).await.expect("read").is_some());
    bench.clock.advance(DurationMs::new(1));
    assert_eq!(bench.store.transaction(transaction_id(1)).await.expect("read"), None);
    assert_eq!(bench.store.create(new_transaction(1)).await.expect("answered"), Created::New);
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
