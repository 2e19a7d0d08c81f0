//! Callbacks: owed with the outcome, gone by a delivery, dead at the end of the window.

use tocsin_model::{
    AuditActor, Callback, CallbackFault, CallbackPhase, DurationMs, FailureReason, State, Transaction, UnixMs,
};
use tocsin_storage::{
    CallbackList, CallbackSettled, CallbackVerdict, NewTransaction, Redelivered, Store, callback_host,
};

use super::Bench;
use crate::fixture::*;

const LATER: UnixMs = UnixMs::new(START.get() + 5_000);

fn operator() -> AuditActor {
    AuditActor::Operator("ann".parse().expect("valid"))
}

async fn start(store: &dyn Store, salt: u64) {
    let new = NewTransaction {
        transaction: calling(transaction(salt)),
        idempotency: None,
        challenges: Vec::new(),
        otp: None,
    };
    let _ = store.create(new).await.expect("stored");
}

async fn owe(store: &dyn Store, salt: u64) {
    start(store, salt).await;
    let _ = store.end(ended(calling(transaction(salt)), State::Accepted)).await.expect("stored");
}

async fn owed(store: &dyn Store, salt: u64) -> Option<Callback> {
    store.callback(CallbackList::Owed, transaction_id(salt)).await.expect("read")
}

async fn dead(store: &dyn Store, salt: u64) -> Option<Callback> {
    store.callback(CallbackList::Dead, transaction_id(salt)).await.expect("read")
}

async fn settle(store: &dyn Store, salt: u64, before: u32, verdict: CallbackVerdict) -> CallbackSettled {
    store.settle_callback(transaction_id(salt), before, verdict).await.expect("answered")
}

fn again(at: UnixMs) -> CallbackVerdict {
    CallbackVerdict::TryAgain { at, fault: CallbackFault::ServerError }
}

fn died(since: UnixMs) -> CallbackVerdict {
    CallbackVerdict::Dead { since, fault: CallbackFault::Timeout }
}

pub async fn an_outcome_owes_its_callback(bench: Bench) {
    let store = &*bench.store;
    start(store, 1).await;
    assert_eq!(owed(store, 1).await, None);
    let stored = store.transaction(transaction_id(1)).await.expect("read").expect("there");
    assert_eq!(stored.callback_url, Some(callback_url(1)));
    let _ = store.end(ended(calling(transaction(1)), State::Declined)).await.expect("stored");
    let expected = Callback {
        transaction_id: transaction_id(1),
        client: "portal".parse().expect("valid"),
        url: callback_url(1),
        state: State::Declined,
        owed_at: START,
        tries: 0,
        last_fault: None,
        phase: CallbackPhase::Owed { next_try_at: START },
    };
    assert_eq!(owed(store, 1).await, Some(expected));
}

pub async fn the_last_wrong_try_owes_a_callback_too(bench: Bench) {
    let store = &*bench.store;
    start(store, 1).await;
    let _ = store.attempt(tried(calling(transaction(1))), 0).await.expect("stored");
    assert_eq!(owed(store, 1).await, None);
    let failed = State::Failed(FailureReason::AttemptsExceeded);
    let last = ended(tried(tried(calling(transaction(1)))), failed);
    let _ = store.attempt(last, 1).await.expect("stored");
    assert_eq!(owed(store, 1).await.map(|callback| callback.state), Some(failed));
}

pub async fn nothing_is_owed_without_a_url_or_by_a_loser(bench: Bench) {
    let store = &*bench.store;
    let _ = store.create(new_transaction(1)).await.expect("stored");
    let _ = store.end(ended(transaction(1), State::Accepted)).await.expect("stored");
    assert_eq!(owed(store, 1).await, None);
    owe(store, 2).await;
    assert_eq!(settle(store, 2, 0, CallbackVerdict::Delivered).await, CallbackSettled::Stored);
    let _ = store.end(ended(calling(transaction(2)), State::Cancelled)).await.expect("answered");
    assert_eq!(owed(store, 2).await, None);
}

pub async fn a_delivered_callback_is_gone(bench: Bench) {
    let store = &*bench.store;
    owe(store, 1).await;
    assert_eq!(settle(store, 1, 0, CallbackVerdict::Delivered).await, CallbackSettled::Stored);
    assert_eq!((owed(store, 1).await, dead(store, 1).await), (None, None));
    let due = store.due_callbacks(host(1), START..=LATER, 10).await.expect("read");
    assert_eq!((due.callbacks, due.next_try_at), (vec![], None));
    assert_eq!(settle(store, 1, 0, CallbackVerdict::Delivered).await, CallbackSettled::Lost);
}

pub async fn a_failed_try_is_counted_once_and_due_later(bench: Bench) {
    let store = &*bench.store;
    owe(store, 1).await;
    let (first, second) = (
        store.settle_callback(transaction_id(1), 0, again(LATER)),
        store.settle_callback(transaction_id(1), 0, CallbackVerdict::Delivered),
    );
    assert_eq!(first.await.expect("answered"), CallbackSettled::Stored);
    assert_eq!(second.await.expect("answered"), CallbackSettled::Lost);
    let callback = owed(store, 1).await.expect("owed");
    assert_eq!((callback.tries, callback.last_fault), (1, Some(CallbackFault::ServerError)));
    assert_eq!(callback.phase, CallbackPhase::Owed { next_try_at: LATER });
    let before = store.due_callbacks(host(1), START..=UnixMs::new(LATER.get() - 1), 10).await.expect("read");
    assert_eq!((before.callbacks, before.next_try_at), (vec![], Some(LATER)));
    let then = store.due_callbacks(host(1), START..=LATER, 10).await.expect("read");
    assert_eq!((then.callbacks, then.next_try_at), (vec![callback], None));
}

pub async fn a_dead_callback_is_kept_for_ever(bench: Bench) {
    let store = &*bench.store;
    owe(store, 1).await;
    assert_eq!(settle(store, 1, 0, died(LATER)).await, CallbackSettled::Stored);
    bench.clock.advance(DurationMs::from_seconds(1_000_000_000));
    let callback = dead(store, 1).await.expect("dead");
    assert_eq!(callback.phase, CallbackPhase::Dead { since: LATER });
    assert_eq!((callback.tries, callback.last_fault), (1, Some(CallbackFault::Timeout)));
    assert_eq!(owed(store, 1).await, None);
    assert_eq!(settle(store, 1, 1, CallbackVerdict::Delivered).await, CallbackSettled::Lost);
    assert!(store.callback_hosts(None, 10).await.expect("read").is_empty());
}

pub async fn a_redelivered_callback_is_owed_anew(bench: Bench) {
    let store = &*bench.store;
    owe(store, 1).await;
    let _ = settle(store, 1, 0, died(LATER)).await;
    let now = UnixMs::new(LATER.get() + 1);
    let Redelivered::Owed(callback) =
        store.redeliver_callback(transaction_id(1), operator(), now).await.expect("answered")
    else {
        panic!("it is dead, not absent");
    };
    assert_eq!((callback.owed_at, callback.phase), (now, CallbackPhase::Owed { next_try_at: now }));
    assert_eq!((owed(store, 1).await.as_ref(), dead(store, 1).await), (Some(&*callback), None));
    assert_eq!(settle(store, 1, 1, CallbackVerdict::Delivered).await, CallbackSettled::Stored);
    let absent = store.redeliver_callback(transaction_id(1), operator(), now).await.expect("answered");
    assert_eq!(absent, Redelivered::Absent);
}

pub async fn an_owed_callback_is_brought_forward(bench: Bench) {
    let store = &*bench.store;
    owe(store, 1).await;
    let far = UnixMs::new(LATER.get() + 100_000);
    let _ = settle(store, 1, 0, again(far)).await;
    let _ = store.redeliver_callback(transaction_id(1), operator(), LATER).await.expect("answered");
    let due = store.due_callbacks(host(1), START..=LATER, 10).await.expect("read");
    assert_eq!(due.callbacks.iter().map(|callback| callback.owed_at).collect::<Vec<_>>(), [START]);
    assert_eq!(due.next_try_at, None);
}

pub async fn lists_are_paged_newest_first(bench: Bench) {
    let store = &*bench.store;
    for salt in 1..=5 {
        owe(store, salt).await;
    }
    let _ = settle(store, 4, 0, died(LATER)).await;
    let ids = |page: &tocsin_storage::CallbackPage| {
        page.callbacks.iter().map(|callback| callback.transaction_id).collect::<Vec<_>>()
    };
    let first = store.callbacks(CallbackList::Owed, None, 2).await.expect("read");
    assert_eq!(ids(&first), [5, 3].map(transaction_id));
    let second = store.callbacks(CallbackList::Owed, first.next, 2).await.expect("read");
    assert_eq!(ids(&second), [2, 1].map(transaction_id));
    let dead = store.callbacks(CallbackList::Dead, None, 2).await.expect("read");
    assert_eq!((ids(&dead), dead.next), (vec![transaction_id(4)], None));
}

pub async fn hosts_have_orders_of_their_own(bench: Bench) {
    let store = &*bench.store;
    for salt in 1..=5 {
        owe(store, salt).await;
    }
    let _ = settle(store, 1, 0, again(LATER)).await;
    // The fixture gives odd salts one host and even ones another, in another spelling.
    let due = store.due_callbacks(host(1), START..=START, 1).await.expect("read");
    assert_eq!(due.callbacks.len(), 1);
    assert_eq!(due.next_try_at, Some(START));
    let all = store.due_callbacks(host(1), START..=START, 10).await.expect("read");
    assert_eq!((all.callbacks.len(), all.next_try_at), (2, Some(LATER)));
    let behind = UnixMs::new(START.get() + 1)..=LATER;
    let late = store.due_callbacks(host(1), behind, 10).await.expect("read");
    assert_eq!(
        late.callbacks.iter().map(|callback| callback.transaction_id).collect::<Vec<_>>(),
        [transaction_id(1)]
    );
    let mut expected = vec![(host(1), START), (host(2), START)];
    expected.sort();
    assert_eq!(store.callback_hosts(None, 10).await.expect("read"), expected);
    assert_eq!(store.callback_hosts(None, 1).await.expect("read"), expected[..1]);
    let rest = store.callback_hosts(Some(expected[0].0), 10).await.expect("read");
    assert_eq!(rest, expected[1..]);
    assert_eq!(host(2), host(4));
}

pub async fn clients_have_orders_of_their_own(bench: Bench) {
    let store = &*bench.store;
    owe(store, 1).await;
    let other = Transaction { client: "other".parse().expect("valid"), ..calling(transaction(3)) };
    let new =
        NewTransaction { transaction: other.clone(), idempotency: None, challenges: Vec::new(), otp: None };
    let _ = store.create(new).await.expect("stored");
    let _ = store.end(ended(other.clone(), State::Accepted)).await.expect("stored");
    let others = callback_host(&other.client, &callback_url(3));
    assert_ne!(others.client(), host(1).client());
    for (host, id) in [(host(1), 1), (others, 3)] {
        let due = store.due_callbacks(host, START..=START, 10).await.expect("read");
        let ids: Vec<_> = due.callbacks.iter().map(|callback| callback.transaction_id).collect();
        assert_eq!(ids, [transaction_id(id)]);
    }
    assert_eq!(store.callback_hosts(None, 10).await.expect("read").len(), 2);
}

fn host(salt: u64) -> tocsin_model::CallbackHost {
    callback_host(&transaction(salt).client, &callback_url(salt))
}
