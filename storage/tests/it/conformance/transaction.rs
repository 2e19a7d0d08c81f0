//! Transactions.

use tocsin_model::{
    AuditKind, DeliveryStatus, FailureReason, Fallback, FallbackReason, Method, Partition, Recipient, State,
    StateWord, Transaction, TransactionId, UnixMs,
};
use tocsin_storage::{
    Amended, Attempted, AuditQuery, Created, Ended, NewTransaction, Resend, Resent, TransactionQuery,
};

use super::Bench;
use crate::fixture::*;

pub async fn a_created_transaction_reads_back_whole(bench: Bench) {
    let created = bench.store.create(new_transaction(1)).await.expect("stored");
    assert_eq!(created, Created::New);
    assert_eq!(bench.store.transaction(transaction_id(1)).await.expect("read"), Some(transaction(1)));
    assert_eq!(bench.store.transaction(transaction_id(2)).await.expect("read"), None);
}

pub async fn an_id_that_is_taken_is_not_overwritten(bench: Bench) {
    let accepted = ended(transaction(1), State::Accepted);
    let _ = bench.store.create(new_transaction(1)).await.expect("stored");
    let _ = bench.store.end(accepted.clone()).await.expect("stored");
    let created = bench.store.create(new_transaction(1)).await.expect("answered");
    assert_eq!(created, Created::Existing(transaction_id(1)));
    assert_eq!(bench.store.transaction(transaction_id(1)).await.expect("read"), Some(accepted));
}

pub async fn the_first_final_state_stands(bench: Bench) {
    let _ = bench.store.create(new_transaction(1)).await.expect("stored");
    let accepted = ended(transaction(1), State::Accepted);
    let cancelled = ended(transaction(1), State::Cancelled);
    // Both are submitted before either is answered.
    let (first, second) = (bench.store.end(accepted.clone()), bench.store.end(cancelled));
    assert_eq!(first.await.expect("answered"), Ended::Stored);
    assert_eq!(second.await.expect("answered"), Ended::Lost(Box::new(accepted.clone())));
    assert_eq!(bench.store.transaction(transaction_id(1)).await.expect("read"), Some(accepted));
}

pub async fn an_end_that_is_not_final_changes_nothing(bench: Bench) {
    let _ = bench.store.create(new_transaction(1)).await.expect("stored");
    let ended = bench.store.end(tried(transaction(1))).await.expect("answered");
    assert_eq!(ended, Ended::Lost(Box::new(transaction(1))));
    assert_eq!(bench.store.open_transactions(None, 10).await.expect("read").transactions, [transaction(1)]);
}

pub async fn an_unknown_transaction_is_absent_to_every_verb(bench: Bench) {
    let unknown = transaction(9);
    assert_eq!(
        bench.store.end(ended(unknown.clone(), State::Timeout)).await.expect("answered"),
        Ended::Absent
    );
    assert_eq!(bench.store.attempt(tried(unknown.clone()), 0).await.expect("answered"), Attempted::Absent);
    bench.store.mark(tried(unknown.clone())).await.expect("answered");
    assert_eq!(bench.store.transaction(unknown.id).await.expect("read"), None);
}

pub async fn a_mark_is_stored_only_over_an_older_pending_record(bench: Bench) {
    let _ = bench.store.create(new_transaction(1)).await.expect("stored");
    let newer = marked(transaction(1), 3, DeliveryStatus::Relayed);
    bench.store.mark(newer.clone()).await.expect("answered");
    for (revision, status) in [(3, DeliveryStatus::Failed), (2, DeliveryStatus::Sent)] {
        bench.store.mark(marked(transaction(1), revision, status)).await.expect("answered");
    }
    assert_eq!(bench.store.transaction(newer.id).await.expect("read"), Some(newer.clone()));
    let open = bench.store.open_transactions(None, 10).await.expect("read").transactions;
    assert_eq!(open, std::slice::from_ref(&newer));

    let declined = ended(newer.clone(), State::Declined);
    let _ = bench.store.end(declined.clone()).await.expect("stored");
    bench.store.mark(marked(newer, 9, DeliveryStatus::Fetched)).await.expect("answered");
    assert_eq!(bench.store.transaction(declined.id).await.expect("read"), Some(declined));
}

pub async fn a_mark_stores_deliveries_and_nothing_else(bench: Bench) {
    let _ = bench.store.create(new_transaction(1)).await.expect("stored");
    let expected = marked(transaction(1), 2, DeliveryStatus::Failed);
    let mut changed = expected.clone();
    changed.keep_for_polling = false;
    changed.resends.used = 2;
    changed.content.title = "Another".into();
    changed.recipients[0].device_name = "Another".into();
    bench.store.mark(changed).await.expect("answered");
    assert_eq!(bench.store.transaction(expected.id).await.expect("read"), Some(expected));
}

pub async fn a_later_record_of_a_pending_transaction_stands_over_its_marks(bench: Bench) {
    let _ = bench.store.create(new_transaction(1)).await.expect("stored");
    let relayed = marked(transaction(1), 2, DeliveryStatus::Relayed);
    bench.store.mark(relayed.clone()).await.expect("answered");
    let later = marked(tried(relayed), 3, DeliveryStatus::Fetched);
    assert_eq!(bench.store.attempt(later.clone(), 0).await.expect("answered"), Attempted::Stored);
    assert_eq!(bench.store.transaction(later.id).await.expect("read"), Some(later.clone()));
    let latest = marked(later, 4, DeliveryStatus::Unknown);
    bench.store.mark(latest.clone()).await.expect("answered");
    assert_eq!(bench.store.transaction(latest.id).await.expect("read"), Some(latest));
}

pub async fn who_loses_is_told_the_marks_while_the_transaction_is_pending(bench: Bench) {
    let _ = bench.store.create(new_transaction(1)).await.expect("stored");
    let relayed = marked(transaction(1), 7, DeliveryStatus::Relayed);
    bench.store.mark(relayed.clone()).await.expect("answered");
    let lost = bench.store.attempt(tried(transaction(1)), 1).await.expect("answered");
    assert_eq!(lost, Attempted::Lost(Box::new(relayed.clone())));
    let lost = bench.store.end(transaction(1)).await.expect("answered");
    assert_eq!(lost, Ended::Lost(Box::new(relayed)));
}

pub async fn a_wrong_try_is_stored_once(bench: Bench) {
    let _ = bench.store.create(new_transaction(1)).await.expect("stored");
    let once = tried(transaction(1));
    let (first, second) = (bench.store.attempt(once.clone(), 0), bench.store.attempt(once.clone(), 0));
    assert_eq!(first.await.expect("answered"), Attempted::Stored);
    assert_eq!(second.await.expect("answered"), Attempted::Lost(Box::new(once.clone())));
    assert_eq!(bench.store.attempt(tried(once.clone()), 1).await.expect("answered"), Attempted::Stored);
    let stored = bench.store.transaction(once.id).await.expect("read").expect("there");
    assert_eq!(stored.attempts.left(), 1);
}

pub async fn the_last_wrong_try_ends_the_transaction(bench: Bench) {
    let _ = bench.store.create(new_transaction(1)).await.expect("stored");
    let last = ended(tried(transaction(1)), State::Failed(FailureReason::AttemptsExceeded));
    assert_eq!(bench.store.attempt(last.clone(), 0).await.expect("answered"), Attempted::Stored);
    assert_eq!(bench.store.transaction(last.id).await.expect("read"), Some(last.clone()));
    assert!(bench.store.open_transactions(None, 10).await.expect("read").transactions.is_empty());
    let late = bench.store.attempt(tried(last.clone()), 1).await.expect("answered");
    assert_eq!(late, Attempted::Lost(Box::new(last)));
}

pub async fn neither_an_end_nor_a_mark_gives_a_try_back(bench: Bench) {
    let _ = bench.store.create(new_transaction(1)).await.expect("stored");
    let _ = bench.store.attempt(tried(transaction(1)), 0).await.expect("stored");
    let mut forgetful = transaction(1);
    forgetful.revision = 7;
    bench.store.mark(forgetful.clone()).await.expect("answered");
    let marked = bench.store.transaction(forgetful.id).await.expect("read").expect("there");
    assert_eq!((marked.revision, marked.attempts.used), (7, 1));
    let _ = bench.store.end(ended(forgetful.clone(), State::Timeout)).await.expect("stored");
    let final_record = bench.store.transaction(forgetful.id).await.expect("read").expect("there");
    assert_eq!((final_record.state, final_record.attempts.used), (State::Timeout, 1));
}

pub async fn open_transactions_come_in_the_order_of_their_deadlines(bench: Bench) {
    for (salt, life_s) in [(1, 30), (2, 10), (3, 20), (4, 20)] {
        let mut new = new_transaction(salt);
        new.transaction.expires_at = START.plus(tocsin_model::DurationMs::from_seconds(life_s));
        let _ = bench.store.create(new).await.expect("stored");
    }
    let first = bench.store.open_transactions(None, 3).await.expect("read");
    let ids =
        |page: &tocsin_storage::OpenPage| page.transactions.iter().map(|open| open.id).collect::<Vec<_>>();
    assert_eq!(ids(&first), [2, 3, 4].map(transaction_id));
    assert!(first.next.is_some());
    let second = bench.store.open_transactions(first.next, 3).await.expect("read");
    assert_eq!(ids(&second), [transaction_id(1)]);
    assert_eq!(second.next, None);
}

pub async fn a_final_transaction_is_not_open(bench: Bench) {
    let _ = bench.store.create(new_transaction(1)).await.expect("stored");
    let _ = bench.store.create(new_transaction(2)).await.expect("stored");
    let _ = bench.store.end(ended(transaction(1), State::Timeout)).await.expect("stored");
    let open = bench.store.open_transactions(None, 10).await.expect("read").transactions;
    assert_eq!(open, [transaction(2)]);
}

/// The transaction of two phones, and what is left of it when the first has gone.
fn left_by_one() -> (Transaction, Transaction) {
    let mut both = transaction(1);
    both.recipients.push(Recipient { device_id: device_id(2), ..both.recipients[0].clone() });
    let mut left = both.clone();
    left.recipients.remove(0);
    left.revision += 1;
    (both, left)
}

pub async fn a_record_that_a_phone_has_left_is_kept(bench: Bench) {
    let (both, left) = left_by_one();
    let new = tocsin_storage::NewTransaction { transaction: both, ..new_transaction(1) };
    let _ = bench.store.create(new).await.expect("stored");
    assert_eq!(bench.store.amend(left.clone()).await.expect("answered"), Amended::Stored);
    assert_eq!(bench.store.transaction(left.id).await.expect("read"), Some(left.clone()));
    assert_eq!(bench.store.open_transactions(None, 9).await.expect("read").transactions, [left]);
}

pub async fn an_amended_record_stands_only_over_an_older_pending_one_with_the_same_counters(bench: Bench) {
    let (both, left) = left_by_one();
    assert_eq!(bench.store.amend(left.clone()).await.expect("answered"), Amended::Absent);
    let new = tocsin_storage::NewTransaction { transaction: both.clone(), ..new_transaction(1) };
    let _ = bench.store.create(new).await.expect("stored");
    for unfit in [
        Transaction { revision: both.revision, ..left.clone() },
        tried(left.clone()),
        ended(left.clone(), State::Accepted),
    ] {
        let refused = bench.store.amend(unfit).await.expect("answered");
        assert_eq!(refused, Amended::Lost(Box::new(both.clone())));
    }
    let over = ended(both, State::Timeout);
    let _ = bench.store.end(over.clone()).await.expect("stored");
    let late = bench.store.amend(Transaction { revision: 9, ..left }).await.expect("answered");
    assert_eq!(late, Amended::Lost(Box::new(over)));
}

pub async fn a_fallback_is_told_once_however_often_its_record_is_amended(bench: Bench) {
    let _ = bench.store.create(new_transaction(1)).await.expect("stored");
    let mut fallen = transaction(1);
    fallen.revision += 1;
    fallen.method = Method::Sms;
    fallen.seldom_mut().fallback =
        Some(Fallback { from: Method::Push, to: Method::Sms, reason: FallbackReason::NoAnswer, at: START });
    assert_eq!(bench.store.amend(fallen.clone()).await.expect("answered"), Amended::Stored);
    let again = Transaction { revision: fallen.revision + 1, ..fallen };
    assert_eq!(bench.store.amend(again).await.expect("answered"), Amended::Stored);
    let query = AuditQuery { kind: Some(AuditKind::FallbackTaken), limit: 9, ..AuditQuery::default() };
    let rows = bench.store.audit(query).await.expect("read").rows;
    let details: Vec<_> = rows.iter().map(|row| row.event.detail.as_deref()).collect();
    assert_eq!(details, [Some("push sms no_answer")]);
}

fn of_user(salt: u64) -> TransactionQuery {
    TransactionQuery { user: Some(user(salt)), limit: 10, ..TransactionQuery::default() }
}

async fn listed(bench: &Bench, query: TransactionQuery) -> Vec<TransactionId> {
    let page = bench.store.transactions(query).await.expect("read");
    page.transactions.iter().map(|transaction| transaction.id).collect()
}

async fn create_of_user(bench: &Bench, salts: impl IntoIterator<Item = u64>) {
    for salt in salts {
        let transaction = Transaction { user: Some(user(1)), ..transaction(salt) };
        let _ = bench
            .store
            .create(NewTransaction { transaction, ..new_transaction(salt) })
            .await
            .expect("stored");
    }
}

pub async fn transactions_of_a_user_are_listed_newest_first(bench: Bench) {
    create_of_user(&bench, [2, 1, 3]).await;
    let _ = bench.store.create(new_transaction(11)).await.expect("stored");
    assert_eq!(listed(&bench, of_user(1)).await, [3, 2, 1].map(transaction_id));
    assert_eq!(listed(&bench, of_user(11)).await, [transaction_id(11)]);
    assert_eq!(listed(&bench, of_user(2)).await, []);
    let all = TransactionQuery { limit: 10, ..TransactionQuery::default() };
    assert_eq!(listed(&bench, all).await, [11, 3, 2, 1].map(transaction_id));
}

pub async fn a_list_is_filtered_by_client_and_by_the_word_of_the_state(bench: Bench) {
    create_of_user(&bench, 1..4).await;
    let failed =
        ended(Transaction { user: Some(user(1)), ..transaction(2) }, State::Failed(FailureReason::NoDevice));
    let _ = bench.store.end(failed).await.expect("stored");
    for (word, salts) in [("pending", &[3, 1][..]), ("failed", &[2]), ("accepted", &[])] {
        let query = TransactionQuery { state: StateWord::parse(word), ..of_user(1) };
        let expected: Vec<_> = salts.iter().copied().map(transaction_id).collect();
        assert_eq!(listed(&bench, query).await, expected, "{word}");
    }
    for (client, count) in [("portal", 3), ("other", 0)] {
        let query = TransactionQuery { client: client.parse().ok(), ..of_user(1) };
        assert_eq!(listed(&bench, query).await.len(), count, "{client}");
    }
}

pub async fn a_list_is_bounded_by_times(bench: Bench) {
    let at = |salt: u64| UnixMs::new(START.get() + salt);
    let id = |salt: u64| TransactionId::compose(at(salt), Partition::default(), [salt as u8; 16]);
    for salt in 1..7 {
        let transaction =
            Transaction { id: id(salt), user: Some(user(1)), created_at: at(salt), ..transaction(salt) };
        let new = NewTransaction { transaction, ..new_transaction(salt) };
        let _ = bench.store.create(new).await.expect("stored");
    }
    for user in [Some(user(1)), None] {
        let between = |from: Option<u64>, to: Option<u64>| TransactionQuery {
            user: user.clone(),
            from: from.map(at),
            to: to.map(at),
            limit: 2,
            ..TransactionQuery::default()
        };
        assert_eq!(listed(&bench, between(Some(5), None)).await, [6, 5].map(id));
        assert_eq!(listed(&bench, between(None, Some(3))).await, [2, 1].map(id));
        assert_eq!(listed(&bench, between(Some(3), Some(4))).await, [id(3)]);
        assert_eq!(listed(&bench, between(Some(4), Some(4))).await, []);
        let page = bench.store.transactions(between(Some(3), Some(6))).await.expect("read");
        assert_eq!(page.next, Some(id(4)));
        let query = TransactionQuery { before: page.next, ..between(Some(3), Some(6)) };
        let last = bench.store.transactions(query).await.expect("read");
        assert_eq!((last.transactions.len(), last.next), (1, None));
        let exact = bench.store.transactions(between(Some(3), Some(5))).await.expect("read");
        assert_eq!((exact.transactions.len(), exact.next), (2, None), "no page behind the last that fits");
    }
}

pub async fn a_list_comes_in_pages_that_lead_on_to_its_end(bench: Bench) {
    create_of_user(&bench, 1..6).await;
    for user in [Some(user(1)), None] {
        let (mut before, mut seen) = (None, Vec::new());
        for _ in 0..9 {
            let query =
                TransactionQuery { user: user.clone(), before, limit: 2, ..TransactionQuery::default() };
            let page = bench.store.transactions(query).await.expect("read");
            assert!(page.transactions.len() <= 2);
            seen.extend(page.transactions.iter().map(|transaction| transaction.id));
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(before, None);
        assert_eq!(seen, [5, 4, 3, 2, 1].map(transaction_id));
    }
}

pub async fn a_list_that_fits_little_is_looked_through_in_bounded_steps(bench: Bench) {
    create_of_user(&bench, 1..1_203).await;
    let accepted = ended(Transaction { user: Some(user(1)), ..transaction(1) }, State::Accepted);
    let _ = bench.store.end(accepted).await.expect("stored");
    let query = TransactionQuery { state: StateWord::parse("accepted"), ..of_user(1) };
    let first = bench.store.transactions(query.clone()).await.expect("read");
    assert_eq!((first.transactions.len(), first.next), (0, Some(transaction_id(203))));
    let second =
        bench.store.transactions(TransactionQuery { before: first.next, ..query }).await.expect("read");
    assert_eq!((second.transactions.len(), second.next), (1, None));
}

fn resent(mut transaction: Transaction) -> Transaction {
    transaction.resends.used += 1;
    transaction.revision += 1;
    transaction
}

pub async fn a_repeated_push_is_counted_once(bench: Bench) {
    let _ = bench.store.create(new_transaction(1)).await.expect("stored");
    let once = resent(transaction(1));
    let resend = || Resend { resent: once.clone(), used_before: 0, idempotency: None };
    let (first, second) = (bench.store.resend(resend()), bench.store.resend(resend()));
    assert_eq!(first.await.expect("answered"), Resent::Stored);
    assert_eq!(second.await.expect("answered"), Resent::Lost(Box::new(once.clone())));
    assert_eq!(bench.store.transaction(once.id).await.expect("read"), Some(once.clone()));
    let cancelled = ended(once.clone(), State::Cancelled);
    assert_eq!(bench.store.end(cancelled.clone()).await.expect("answered"), Ended::Stored);
    let late = Resend { resent: resent(once), used_before: 1, idempotency: None };
    assert_eq!(bench.store.resend(late).await.expect("answered"), Resent::Lost(Box::new(cancelled)));
    let unknown = Resend { resent: resent(transaction(2)), used_before: 0, idempotency: None };
    assert_eq!(bench.store.resend(unknown).await.expect("answered"), Resent::Absent);
}

pub async fn a_repeated_push_keeps_its_promise(bench: Bench) {
    let _ = bench.store.create(new_transaction(1)).await.expect("stored");
    let once = resent(transaction(1));
    let resend = |resent: &Transaction, fingerprint: u64| Resend {
        resent: resent.clone(),
        used_before: resent.resends.used - 1,
        idempotency: Some(promise("a", fingerprint)),
    };
    assert_eq!(bench.store.resend(resend(&once, 1)).await.expect("answered"), Resent::Stored);
    let twice = resent(once.clone());
    assert_eq!(bench.store.resend(resend(&twice, 1)).await.expect("answered"), Resent::Existing);
    assert_eq!(bench.store.resend(resend(&twice, 2)).await.expect("answered"), Resent::Mismatch);
    assert_eq!(bench.store.transaction(once.id).await.expect("read"), Some(once));
}
