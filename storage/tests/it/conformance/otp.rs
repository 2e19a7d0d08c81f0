//! One-time passwords and who claims them.

use tocsin_model::{AuditActor, AuditKind, DeviceStatus, Fatigue, Guard, ReportLock, State, Transaction};
use tocsin_storage::{AuditQuery, Claimed, Created, DeviceChange, Ended, NewTransaction, TransactionQuery};

use super::Bench;
use crate::fixture::*;

impl Bench {
    async fn begun(self) -> Self {
        assert_eq!(self.store.create(new_anonymous(9)).await.expect("stored"), Created::New);
        self.enrolled(1).await;
        self.enrolled(2).await;
        self
    }

    async fn claim(&self, claimed: Transaction) -> Claimed {
        self.store.claim(claimed).await.expect("answered")
    }

    async fn stored(&self) -> Transaction {
        self.store.transaction(transaction_id(9)).await.expect("read").expect("there")
    }
}

pub async fn an_anonymous_transaction_is_found_by_its_password_until_the_deadline(bench: Bench) {
    let bench = bench.begun().await;
    let by_otp = |salt| bench.store.transaction_by_otp(otp_hash(salt));
    assert_eq!(by_otp(9).await.expect("read"), Some(transaction_id(9)));
    assert_eq!(by_otp(1).await.expect("read"), None, "another password");
    assert_eq!(bench.stored().await, unclaimed(9));
    bench.clock.advance(MINUTE);
    assert_eq!(by_otp(9).await.expect("read"), None, "after the deadline");
}

pub async fn the_first_claim_stands(bench: Bench) {
    let bench = bench.begun().await;
    assert_eq!(bench.claim(claimed(9, 1, 1)).await, Claimed::Stored);
    let again = Transaction { revision: 7, ..claimed(9, 1, 1) };
    for later in [claimed(9, 2, 2), again] {
        assert_eq!(bench.claim(later).await, Claimed::Lost(Box::new(claimed(9, 1, 1))));
    }
    assert_eq!(bench.stored().await, claimed(9, 1, 1));
    let by_otp = bench.store.transaction_by_otp(otp_hash(9)).await.expect("read");
    assert_eq!(by_otp, Some(transaction_id(9)), "so that another phone can be told that it is used");
}

pub async fn of_two_claims_at_once_one_stands(bench: Bench) {
    let bench = bench.begun().await;
    // Both are submitted before either is answered.
    let (first, second) = (bench.store.claim(claimed(9, 1, 1)), bench.store.claim(claimed(9, 2, 2)));
    assert_eq!(first.await.expect("answered"), Claimed::Stored);
    assert_eq!(second.await.expect("answered"), Claimed::Lost(Box::new(claimed(9, 1, 1))));
}

pub async fn what_is_claimed_is_its_users(bench: Bench) {
    let bench = bench.begun().await;
    let listed = async |owner| {
        let query = TransactionQuery { user: Some(user(owner)), limit: 9, ..TransactionQuery::default() };
        bench.store.transactions(query).await.expect("read").transactions
    };
    assert_eq!(listed(1).await, []);
    assert_eq!(bench.claim(claimed(9, 1, 1)).await, Claimed::Stored);
    assert_eq!(listed(1).await, [claimed(9, 1, 1)]);
    let accepted = answered(claimed(9, 1, 1), device_id(1), START);
    assert_eq!(bench.store.end(accepted.clone()).await.expect("answered"), Ended::Stored);
    assert_eq!((listed(1).await, listed(2).await), (vec![accepted], Vec::new()));
}

pub async fn what_is_not_anonymous_or_has_ended_is_not_claimed(bench: Bench) {
    let bench = bench.begun().await;
    let _ = bench.store.create(new_transaction(3)).await.expect("stored");
    assert_eq!(bench.claim(claimed(3, 1, 1)).await, Claimed::Lost(Box::new(transaction(3))));
    assert_eq!(bench.claim(claimed(4, 1, 1)).await, Claimed::Absent);
    assert_eq!(bench.claim(unclaimed(9)).await, Claimed::Lost(Box::new(unclaimed(9))), "nobody's claim");
    let final_at_once = ended(claimed(9, 1, 1), State::Accepted);
    assert_eq!(bench.claim(final_at_once).await, Claimed::Lost(Box::new(unclaimed(9))));
    let cancelled = ended(unclaimed(9), State::Cancelled);
    assert_eq!(bench.store.end(cancelled.clone()).await.expect("answered"), Ended::Stored);
    assert_eq!(bench.claim(claimed(9, 1, 1)).await, Claimed::Lost(Box::new(cancelled)));
}

pub async fn a_phone_that_may_not_answer_claims_nothing(bench: Bench) {
    let bench = bench.begun().await;
    assert_eq!(bench.claim(claimed(9, 5, 5)).await, Claimed::Barred, "nobody enrolled it");
    let suspend = DeviceChange::Manage { name: None, suspended: Some(true) };
    let _ = bench.store.change_device(device_id(1), suspend, AuditActor::Server, START).await;
    let _ = bench.store.revoke_device(device_id(2), AuditActor::Server, START).await.expect("stored");
    let suspended = bench.store.device(device_id(1)).await.expect("read").expect("there");
    assert_eq!(suspended.status, DeviceStatus::Suspended);
    for number in [1, 2] {
        assert_eq!(bench.claim(claimed(9, number, number)).await, Claimed::Barred, "{number}");
    }
    assert_eq!(bench.stored().await, unclaimed(9));
}

pub async fn a_locked_user_claims_nothing(bench: Bench) {
    let bench = bench.begun().await;
    let mut reported = Transaction { user: Some(user(1)), ..transaction(3) };
    let guard = Guard { counts: false, block: None, report_lock: Some(ReportLock::UntilRemoved) };
    reported.seldom_mut().fatigue = Fatigue { guard: Some(guard), ..Fatigue::default() }.kept();
    let new = NewTransaction { transaction: reported.clone(), ..new_transaction(3) };
    assert_eq!(bench.store.create(new).await.expect("stored"), Created::New);
    assert_eq!(bench.store.end(ended(reported, State::Reported)).await.expect("stored"), Ended::Stored);
    assert_eq!(bench.claim(claimed(9, 1, 1)).await, Claimed::Barred);
    assert_eq!(bench.claim(claimed(9, 2, 2)).await, Claimed::Stored, "another user");
}

pub async fn a_claim_names_the_phones_own_user(bench: Bench) {
    let bench = bench.begun().await;
    assert_eq!(bench.claim(claimed(9, 1, 2)).await, Claimed::Barred);
    assert_eq!(bench.stored().await, unclaimed(9));
}

pub async fn a_claim_leaves_one_row_of_audit(bench: Bench) {
    let bench = bench.begun().await;
    for number in [1, 2, 1] {
        let _ = bench.claim(claimed(9, number, number)).await;
    }
    let query = AuditQuery { kind: Some(AuditKind::OtpClaimed), limit: 9, ..AuditQuery::default() };
    let rows = bench.store.audit(query).await.expect("read").rows;
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!(row.event.actor, AuditActor::Device(device_id(1)));
    assert_eq!((&row.event.user, row.event.transaction), (&Some(user(1)), Some(transaction_id(9))));
}
