//! How users stand: what the ends of transactions do to them, in the batch of the end.

use tocsin_model::{
    AuditActor, AuditKind, BlockRule, Counter, DeliveryStatus, DurationMs, FailureReason, Fatigue, Guard,
    LockReason, Method, ReportLock, State, Transaction, TransactionId, UnixMs, UserLock, UserStanding,
};
use tocsin_storage::{Attempted, AuditQuery, Created, Ended, NewTransaction, Store};

use super::Bench;
use crate::fixture::*;

const BLOCK: BlockRule = BlockRule { after: 3, length: DurationMs::from_seconds(900) };

const COUNTS: Guard = Guard { counts: true, block: None, report_lock: None };
const BLOCKS: Guard = Guard { counts: true, block: Some(BLOCK), report_lock: None };
const LOCKS: Guard = Guard { counts: false, block: None, report_lock: Some(ReportLock::UntilRemoved) };

/// The transaction of this number of user 1 with this guard.
fn guarded(number: u64, guard: Guard) -> Transaction {
    let mut guarded = Transaction { user: Some(user(1)), ..transaction(number) };
    guarded.seldom_mut().fatigue = Fatigue { guard: Some(guard), ..Fatigue::default() }.kept();
    guarded
}

/// The same in place of others.
fn in_place_of(transaction: Transaction, replaces: Vec<TransactionId>) -> Transaction {
    let guard = transaction.guard();
    let mut replacing = transaction;
    replacing.seldom_mut().fatigue = Fatigue { guard, replaces }.kept();
    replacing
}

async fn create(store: &dyn Store, transaction: &Transaction) -> Created {
    let new = NewTransaction { transaction: transaction.clone(), ..new_transaction(1) };
    store.create(new).await.expect("answered")
}

/// Creates it and ends it in this state, at this moment.
async fn end_at(store: &dyn Store, pending: Transaction, state: State, at: UnixMs) {
    assert_eq!(create(store, &pending).await, Created::New);
    let ended = Transaction { ended_at: Some(at), ..ended(pending, state) };
    assert_eq!(store.end(ended).await.expect("answered"), Ended::Stored);
}

async fn standing(bench: &Bench) -> UserStanding {
    bench.store.standing(&user(1)).await.expect("read")
}

async fn told(bench: &Bench, kind: AuditKind) -> Vec<Option<Box<str>>> {
    let query = AuditQuery { kind: Some(kind), limit: 100, ..AuditQuery::default() };
    let page = bench.store.audit(query).await.expect("read");
    page.rows.into_iter().map(|row| row.event.detail).collect()
}

pub async fn ignored_and_refused_pushes_are_counted_with_their_end(bench: Bench) {
    assert_eq!(standing(&bench).await, UserStanding::default());
    let missed =
        [State::Timeout, State::Declined, State::Reported, State::Failed(FailureReason::WrongNumber)];
    for (number, state) in (1..).zip(missed) {
        end_at(&*bench.store, guarded(number, COUNTS), state, START).await;
        assert_eq!(standing(&bench).await.misses.len(), number as usize, "{state:?}");
    }
    // Whoever withdraws or fails it says nothing of its user.
    let neither = [State::Cancelled, State::Failed(FailureReason::ProviderRejected)];
    for (number, state) in (11..).zip(neither) {
        end_at(&*bench.store, guarded(number, COUNTS), state, START).await;
    }
    end_at(&*bench.store, Transaction { user: Some(user(1)), ..transaction(20) }, State::Declined, START)
        .await;
    assert_eq!(standing(&bench).await.misses, [START; 4]);
    end_at(&*bench.store, guarded(21, COUNTS), State::Accepted, START).await;
    assert_eq!(standing(&bench).await, UserStanding::default());
}

pub async fn a_push_that_never_arrived_was_ignored_by_nobody(bench: Bench) {
    let failed = marked(guarded(1, COUNTS), 2, DeliveryStatus::Failed);
    end_at(&*bench.store, failed, State::Timeout, START).await;
    assert!(standing(&bench).await.is_clear());
    let unpushed = Transaction { recipients: Vec::new(), ..guarded(2, COUNTS) };
    end_at(&*bench.store, unpushed, State::Timeout, START).await;
    assert!(standing(&bench).await.is_clear());
}

pub async fn the_miss_at_the_limit_locks_its_user_in_its_own_batch(bench: Bench) {
    for number in 1..=2 {
        end_at(&*bench.store, guarded(number, BLOCKS), State::Declined, START).await;
    }
    assert_eq!(standing(&bench).await.lock_at(START), None);
    end_at(&*bench.store, guarded(3, BLOCKS), State::Timeout, START).await;
    let until = START.plus(BLOCK.length);
    let lock = UserLock { reason: LockReason::Fatigue, since: START, until: Some(until) };
    assert_eq!(standing(&bench).await.locks, [lock]);
    assert_eq!(told(&bench, AuditKind::UserLocked).await, [Some("fatigue".into())]);
    assert_eq!(create(&*bench.store, &guarded(4, BLOCKS)).await, Created::UserLocked(lock));
    assert_eq!(bench.store.transaction(transaction_id(4)).await.expect("read"), None);
    // Another user is none of its business, and its end is its end.
    assert_eq!(create(&*bench.store, &transaction(5)).await, Created::New);
    bench.clock.advance(BLOCK.length);
    assert_eq!(create(&*bench.store, &guarded(4, BLOCKS)).await, Created::New);
}

pub async fn a_last_wrong_try_is_no_miss_but_ends_like_any_other(bench: Bench) {
    let pending = Transaction { attempts: Counter::new(1), ..guarded(1, BLOCKS) };
    assert_eq!(create(&*bench.store, &pending).await, Created::New);
    let last = ended(tried(pending), State::Failed(FailureReason::AttemptsExceeded));
    assert_eq!(bench.store.attempt(last, 0).await.expect("answered"), Attempted::Stored);
    assert!(standing(&bench).await.is_clear());
}

pub async fn misses_are_gone_after_a_day(bench: Bench) {
    end_at(&*bench.store, guarded(1, COUNTS), State::Timeout, START).await;
    bench.clock.advance(DurationMs::from_seconds(24 * 3_600 - 1));
    assert_eq!(standing(&bench).await.misses.len(), 1);
    bench.clock.advance(DurationMs::from_seconds(1));
    assert!(standing(&bench).await.is_clear());
}

pub async fn a_report_is_told_and_locks_where_it_is_to(bench: Bench) {
    let reported = Transaction { user: Some(user(1)), ..transaction(1) };
    end_at(&*bench.store, reported, State::Reported, START).await;
    assert_eq!(told(&bench, AuditKind::FraudReported).await.len(), 1);
    assert!(standing(&bench).await.is_clear());
    let for_a_minute = Guard { report_lock: Some(ReportLock::For(MINUTE)), ..LOCKS };
    end_at(&*bench.store, guarded(2, for_a_minute), State::Reported, START).await;
    let lock = |until| UserLock { reason: LockReason::Reported, since: START, until };
    assert_eq!(standing(&bench).await.locks, [lock(Some(START.plus(MINUTE)))]);
    bench.clock.advance(MINUTE);
    end_at(&*bench.store, guarded(3, LOCKS), State::Reported, bench.clock.now()).await;
    let [lock] = standing(&bench).await.locks[..] else { panic!("one lock") };
    assert_eq!((lock.since, lock.until), (bench.clock.now(), None));
    bench.clock.advance(DurationMs::from_seconds(400 * 24 * 3_600));
    assert_eq!(create(&*bench.store, &guarded(4, LOCKS)).await, Created::UserLocked(lock));
    assert_eq!(told(&bench, AuditKind::FraudReported).await.len(), 3);
}

pub async fn an_end_that_lost_does_nothing_to_its_user(bench: Bench) {
    end_at(&*bench.store, guarded(1, BLOCKS), State::Declined, START).await;
    let again = ended(guarded(1, BLOCKS), State::Reported);
    assert!(matches!(bench.store.end(again).await.expect("answered"), Ended::Lost(_)));
    assert_eq!(standing(&bench).await.misses, [START]);
    assert!(told(&bench, AuditKind::FraudReported).await.is_empty());
}

pub async fn removed_locks_are_told_and_begin_a_new_row(bench: Bench) {
    for number in 1..=3 {
        end_at(&*bench.store, guarded(number, BLOCKS), State::Declined, START).await;
    }
    let by = || AuditActor::Client("desk".parse().expect("valid"));
    let held = bench.store.unlock_user(user(1), by()).await.expect("answered");
    assert_eq!(held.iter().map(|lock| lock.reason).collect::<Vec<_>>(), [LockReason::Fatigue]);
    assert!(standing(&bench).await.is_clear());
    assert_eq!(told(&bench, AuditKind::UserUnlocked).await, [Some("fatigue".into())]);
    assert_eq!(bench.store.unlock_user(user(1), by()).await.expect("answered"), []);
    assert_eq!(told(&bench, AuditKind::UserUnlocked).await.len(), 1);
    end_at(&*bench.store, guarded(4, BLOCKS), State::Declined, START).await;
    assert_eq!(standing(&bench).await.lock_at(START), None);
}

pub async fn what_is_replaced_is_cancelled_in_the_batch_of_the_new_one(bench: Bench) {
    let earlier = calling(guarded(1, COUNTS));
    assert_eq!(create(&*bench.store, &earlier).await, Created::New);
    assert_eq!(create(&*bench.store, &guarded(2, COUNTS)).await, Created::New);
    let ids = vec![transaction_id(2), transaction_id(1), transaction_id(9)];
    let new = in_place_of(guarded(3, COUNTS), ids.clone());
    assert_eq!(create(&*bench.store, &new).await, Created::New);
    for number in 1..=2 {
        let replaced = bench.store.transaction(transaction_id(number)).await.expect("read").expect("there");
        assert_eq!((replaced.state, replaced.ended_at), (State::Cancelled, Some(START)));
        assert!(replaced.revision > 1_000, "above all that its actor may have told");
    }
    let stored = bench.store.transaction(transaction_id(3)).await.expect("read").expect("there");
    assert_eq!((stored.state, stored.replaces()), (State::Pending, &ids[..]));
    let open = bench.store.open_transactions(None, 10).await.expect("read").transactions;
    assert_eq!(open.iter().map(|open| open.id).collect::<Vec<_>>(), [transaction_id(3)]);
    let owed = bench.store.callbacks(tocsin_storage::CallbackList::Owed, None, 10).await.expect("read");
    assert_eq!(owed.callbacks.len(), 1);
    assert_eq!(standing(&bench).await.superseded, [START; 2]);
    assert_eq!(told(&bench, AuditKind::TransactionEnded).await.len(), 2);
}

/// Whoever starts them makes these ends alone: as many as one likes must lock nobody.
pub async fn what_is_replaced_locks_nobody(bench: Bench) {
    assert_eq!(create(&*bench.store, &guarded(1, BLOCKS)).await, Created::New);
    for number in 2..=12 {
        let new = in_place_of(guarded(number, BLOCKS), vec![transaction_id(number - 1)]);
        assert_eq!(create(&*bench.store, &new).await, Created::New);
    }
    let stands = standing(&bench).await;
    assert_eq!((stands.misses_at(START), stands.lock_at(START)), (11, None));
    assert_eq!(
        bench.store.end(ended(guarded(12, BLOCKS), State::Accepted)).await.expect("answered"),
        Ended::Stored
    );
    assert!(standing(&bench).await.is_clear(), "a success ends the row");
}

pub async fn nothing_that_has_ended_or_is_of_another_user_is_replaced(bench: Bench) {
    end_at(&*bench.store, guarded(1, COUNTS), State::Accepted, START).await;
    assert_eq!(create(&*bench.store, &transaction(2)).await, Created::New);
    let new = in_place_of(guarded(3, COUNTS), vec![transaction_id(1), transaction_id(2)]);
    assert_eq!(create(&*bench.store, &new).await, Created::New);
    let state = async |number| {
        bench.store.transaction(transaction_id(number)).await.expect("read").expect("there").state
    };
    assert_eq!((state(1).await, state(2).await), (State::Accepted, State::Pending));
    assert!(standing(&bench).await.is_clear());
}

pub async fn a_start_that_is_not_stored_replaces_nothing(bench: Bench) {
    let new = |number, fingerprint| NewTransaction {
        transaction: in_place_of(guarded(number, COUNTS), vec![transaction_id(1)]),
        idempotency: Some(promise("key", fingerprint)),
        challenges: Vec::new(),
        otp: None,
    };
    let first = NewTransaction { transaction: guarded(1, COUNTS), ..new(1, 1) };
    assert_eq!(bench.store.create(first).await.expect("answered"), Created::New);
    let again = bench.store.create(new(2, 1)).await.expect("answered");
    assert_eq!(again, Created::Existing(transaction_id(1)));
    assert_eq!(bench.store.create(new(3, 2)).await.expect("answered"), Created::Mismatch);
    let kept = bench.store.transaction(transaction_id(1)).await.expect("read").expect("there");
    assert_eq!(kept.state, State::Pending);
}

/// A code that nobody typed in was no push; one that came after an ignored push does not make up for it.
pub async fn only_pushes_are_missed(bench: Bench) {
    let others = Method::ALL.into_iter().filter(|method| *method != Method::Push);
    for (number, method) in (10..).zip(others) {
        let other = Transaction { method, recipients: Vec::new(), ..guarded(number, COUNTS) };
        end_at(&*bench.store, other, State::Timeout, START).await;
        assert!(standing(&bench).await.is_clear());
    }
    end_at(&*bench.store, guarded(2, COUNTS), State::Timeout, START).await;
    assert_eq!(standing(&bench).await.misses.len(), 1);
    let fallen_back = Transaction { method: Method::Sms, ..guarded(3, COUNTS) };
    end_at(&*bench.store, fallen_back, State::Timeout, START).await;
    assert_eq!(standing(&bench).await.misses.len(), 2);
}
