//! What is left of users, in all the rows there are.

use std::sync::Arc;

use tocsin_model::{
    AuditActor, CallContext, CodeAddress, CodeDigits, CodeKeyId, CodeState, Counter, DurationMs,
    EmailAddress, FallbackPlan, Method, PhoneNumber, State, Transaction, UnixMs,
};
use tocsin_storage::memory::{MemoryOptions, MemoryStore};
use tocsin_storage::{AuditQuery, Created, Erasure, NewTransaction, Store};

use crate::fixture::*;

fn open() -> (MemoryStore, TestClock) {
    let clock = TestClock::new();
    let options = MemoryOptions { retention: RETENTION, ..MemoryOptions::new(clock.as_clock()) };
    (MemoryStore::new(options), clock)
}

/// Something about user 1 that is told now and over at once.
async fn is_told(store: &MemoryStore, clock: &TestClock, salt: u64) {
    let now = clock.now();
    let started = Transaction {
        user: Some(user(1)),
        created_at: now,
        expires_at: now.plus(MINUTE),
        ..transaction(salt)
    };
    let new = NewTransaction { transaction: started.clone(), ..new_transaction(salt) };
    assert_eq!(store.create(new).await.expect("answered"), Created::New);
    let ended = Transaction { ended_at: Some(now), ..ended(started, State::Declined) };
    store.end(ended).await.expect("ended");
}

/// Where users and their names stand.
fn user_rows(store: &MemoryStore) -> Vec<String> {
    store.rows_with(b"").into_iter().filter(|key| key.starts_with("user/")).collect()
}

async fn rows_by_name(store: &MemoryStore) -> usize {
    let query = AuditQuery { user: Some(user(1)), limit: 100, ..AuditQuery::default() };
    store.audit(query).await.expect("read").rows.len()
}

#[tokio::test]
async fn a_name_stays_as_long_as_a_row_of_the_trail_about_him_and_goes_then() {
    let (store, clock) = open();
    let tenth = DurationMs::new(RETENTION.audit.get() / 10);
    let cut = || store.cut_audit(UnixMs::new(clock.now().get().saturating_sub(RETENTION.audit.get())));
    let tenths = |count: u64| clock.advance(DurationMs::new(tenth.get() * count));
    is_told(&store, &clock, 1).await;
    tenths(4);
    is_told(&store, &clock, 2).await;
    tenths(9);
    store.sweep();
    cut().await.expect("cut");
    assert_eq!(rows_by_name(&store).await, 2, "those of the second time");
    is_told(&store, &clock, 3).await;
    tenths(10);
    store.sweep();
    assert_eq!(rows_by_name(&store).await, 4, "not cut yet");
    tenths(6);
    store.sweep();
    cut().await.expect("cut");
    assert_eq!(rows_by_name(&store).await, 0);
    assert_eq!((user_rows(&store), store.rows_with(b"user-1")), (Vec::new(), Vec::new()));
}

fn code(address: CodeAddress) -> CodeState {
    CodeState {
        key: CodeKeyId::from_bytes([3; 8]),
        digits: CodeDigits::new(6).expect("valid"),
        address: Some(address),
        gateways: Vec::new(),
        delivery: None,
        title: Some("to Alice of Wonder Lane".into()),
        message: Arc::from("{code} for Alice of Wonder Lane"),
        autofill_domain: None,
        attempts: Counter::new(3),
        resend_gap: DurationMs::new(0),
        verified_at: None,
    }
}

/// One that knows all that one can know of its user.
fn telling(salt: u64) -> Transaction {
    let mut telling = Transaction { user: Some(user(1)), ..transaction(salt) };
    telling
        .content
        .change_particulars(|particulars| particulars.secure_message = Some("Alice of Wonder Lane".into()));
    telling.content.change_particulars(|particulars| particulars.context = Some("from 203.0.113.7".into()));
    telling.recipients[0].device_name = "Alice of Wonder Lane".into();
    telling.call_context = Some(Box::new(CallContext {
        language: None,
        ip_address: Some("203.0.113.7".into()),
        user_agent: Some("Alice of Wonder Lane".into()),
        session_id: None,
    }));
    let phone = CodeAddress::Phone(PhoneNumber::parse("+15055551234").expect("valid"));
    let email = CodeAddress::Email(EmailAddress::parse("alice@example.com").expect("valid"));
    let seldom = telling.seldom_mut();
    seldom.code = Some(Box::new(code(phone)));
    let plan =
        FallbackPlan { method: Method::Email, due_at: None, code: code(email), resends_max: 1, next: None };
    seldom.plan = Some(Box::new(plan));
    telling
}

/// More than one step takes, so that one goes on where another ended.
#[tokio::test]
async fn an_erasure_leaves_no_address_text_or_origin_in_what_has_ended() {
    const COUNT: u64 = 401;
    let (store, clock) = open();
    for salt in 1..=COUNT {
        let new = NewTransaction { transaction: telling(salt), ..new_transaction(salt) };
        store.create(new).await.expect("created");
        if salt > 1 {
            store.end(ended(telling(salt), State::Accepted)).await.expect("ended");
        }
    }
    let words: [&[u8]; 4] = [b"+15055551234", b"alice@example.com", b"203.0.113.7", b"Wonder Lane"];
    assert!(words.iter().all(|word| !store.rows_with(word).is_empty()));
    let open = vec![transaction_id(1)];
    let erasure = Erasure { user: user(1), open, by: AuditActor::Server, now: clock.now() };
    assert_eq!(store.erase_user(erasure).await.expect("erased").transactions, [transaction_id(1)]);
    let (mut behind, mut steps) = (None, 0);
    loop {
        steps += 1;
        behind = store.redact_ended(user(1), behind).await.expect("taken out");
        if behind.is_none() {
            break;
        }
    }
    assert_eq!(steps, 3);
    for word in words {
        assert_eq!(store.rows_with(word), Vec::<String>::new(), "{}", String::from_utf8_lossy(word));
    }
    let left = store.transaction(transaction_id(2)).await.expect("read").expect("there");
    assert_eq!((left.state, left.user), (State::Accepted, Some(user(1))));
    assert_eq!(left.recipients[0].device_id, device_id(2));
}
