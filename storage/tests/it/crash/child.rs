//! The child: many workers that create, try wrongly and end, and write down every acknowledgement.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tocsin_config::Durability;
use tocsin_model::{
    DeviceId, EnrollmentId, FailureReason, KeyUse, Partition, State, Transaction, TransactionId,
};
use tocsin_storage::rocks::{RocksStore, Statistics};
use tocsin_storage::{
    Attempted, CallbackSettled, CallbackVerdict, Created, Ended, EnrollmentOpened, NewTransaction,
    NoObserver, PinTried, Store, StoreError, StoreErrorKind,
};

use super::line::{Line, Verdict};
use super::promise::{PIN_TRIES_MAX, owes};
use super::random::Random;
use crate::fixture::*;

/// The test that becomes the child.
pub const ENTRY: &str = "crash::child::without_orders_the_child_does_nothing";
pub const FOLDER: &str = "TOCSIN_STORAGE_CHILD_FOLDER";
pub const DURABILITY: &str = "TOCSIN_STORAGE_CHILD_DURABILITY";
pub const SEED: &str = "TOCSIN_STORAGE_CHILD_SEED";
pub const ROUNDS: &str = "TOCSIN_STORAGE_CHILD_ROUNDS";

/// Calls in flight at once.
const WORKERS: u64 = 64;

#[test]
fn without_orders_the_child_does_nothing() {
    let orders = std::env::var_os(FOLDER);
    assert_eq!(orders.is_some(), std::env::var_os(DURABILITY).is_some(), "orders come whole or not at all");
    if let Some(folder) = orders {
        obey(&PathBuf::from(folder));
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// One line, one write(2): both a pipe and the shim see it whole.
fn say(line: &Line) {
    let text = format!("{line}\n");
    let written = nix::unistd::write(std::io::stdout(), text.as_bytes());
    assert_eq!(written, Ok(text.len()), "the parent listens");
}

fn obey(folder: &Path) {
    // The harness has begun a line of its own.
    println!();
    say(&Line::Opening);
    let mut storage = crate::rocks::storage(folder);
    let synced = std::env::var(DURABILITY).is_ok_and(|word| word == "sync");
    storage.durability = if synced { Durability::Sync } else { Durability::Os };
    let clock = TestClock::new().as_clock();
    let store = RocksStore::open_with(&storage, clock, Arc::new(NoObserver), Statistics::On);
    let store = Arc::new(store.expect("what a killed process left opens"));
    say(&Line::Opened(store.wal_syncs()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(work(&store));
    say(&Line::Done(store.wal_syncs()));
}

async fn work(store: &Arc<RocksStore>) {
    let seed = number(SEED).unwrap_or(1);
    let rounds = number(ROUNDS).unwrap_or(u64::MAX);
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let mut random = Random::new(seed ^ (worker << 32));
                for round in 0..rounds {
                    if round.is_multiple_of(4)
                        && let Err(error) = one_phone(&*store, &mut random).await
                    {
                        return fail(&*store, &error);
                    }
                    if let Err(error) = one_life(&*store, &mut random).await {
                        return fail(&*store, &error);
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("no worker panics");
    }
}

/// A store that has stopped says so to everybody, before it says so to anybody.
fn fail(store: &impl Store, error: &StoreError) {
    assert_eq!(*store.stopped().borrow(), error.kind() == StoreErrorKind::Stopped);
    say(&Line::Failed(format!("{:?}", error.kind())));
}

/// One transaction from its start to, mostly, its end.
async fn one_life(store: &impl Store, random: &mut Random) -> Result<(), StoreError> {
    let mut transaction = transaction(random.next());
    transaction.id = TransactionId::compose(START, Partition::default(), random.bytes16());
    if owes(&transaction.id) {
        transaction = calling(transaction);
    }
    let created = store
        .create(NewTransaction {
            transaction: transaction.clone(),
            idempotency: None,
            challenges: Vec::new(),
            otp: None,
        })
        .await?;
    assert_eq!(created, Created::New);
    say(&Line::Acknowledged(transaction.id, Verdict::Created));
    for _ in 0..random.below(4) {
        transaction = try_wrongly(store, transaction).await?;
        if transaction.state.is_final() {
            return Ok(());
        }
    }
    if random.below(2) == 0 {
        transaction.revision += 1;
        store.mark(transaction.clone()).await?;
    }
    if random.below(4) == 0 {
        return Ok(());
    }
    let outcomes = [State::Accepted, State::Declined, State::Reported, State::Timeout, State::Cancelled];
    let outcome = outcomes[usize::try_from(random.below(5)).expect("small")];
    let transaction = ended(transaction, outcome);
    assert_eq!(store.end(transaction.clone()).await?, Ended::Stored);
    say_ended(&transaction);
    deliver(store, &transaction, random).await
}

/// Half of the callbacks are delivered.
async fn deliver(store: &impl Store, ended: &Transaction, random: &mut Random) -> Result<(), StoreError> {
    if !owes(&ended.id) || random.below(2) == 0 {
        return Ok(());
    }
    say(&Line::Settling(ended.id));
    let settled = store.settle_callback(ended.id, 0, CallbackVerdict::Delivered).await?;
    assert_eq!(settled, CallbackSettled::Stored);
    say(&Line::Settled(ended.id));
    Ok(())
}

/// One phone, and wrong PINs up to its last.
async fn one_phone(store: &impl Store, random: &mut Random) -> Result<(), StoreError> {
    let salt = random.next() >> 1;
    let (mut new, mut phone) = (new_enrollment(salt), device(salt));
    let id = random.bytes16();
    (new.enrollment.id, phone.id) = (EnrollmentId::from_bytes(id), DeviceId::from_bytes(id));
    phone.keys.push(key(KeyUse::Pin, salt ^ 1));
    assert_eq!(store.open_enrollment(new).await?, EnrollmentOpened::New);
    assert!(is_stored(&store.enrol(code_hash(salt), phone.clone(), RULES, START).await?));
    for used in 1..=PIN_TRIES_MAX.min(1 + u32::try_from(random.below(4)).expect("small")) {
        let tried = store.count_pin_try(phone.id, PIN_TRIES_MAX, START).await?;
        let last = used == PIN_TRIES_MAX;
        assert_eq!(tried, if last { PinTried::Exhausted } else { PinTried::Counted { used } });
        say(&Line::Acknowledged(TransactionId::from_bytes(id), Verdict::PinTried(used)));
    }
    Ok(())
}

/// The last try ends the transaction.
async fn try_wrongly(store: &impl Store, transaction: Transaction) -> Result<Transaction, StoreError> {
    let used_before = transaction.attempts.used;
    let mut tried = tried(transaction);
    if tried.attempts.left() == 0 {
        tried = ended(tried, State::Failed(FailureReason::AttemptsExceeded));
    }
    assert_eq!(store.attempt(tried.clone(), used_before).await?, Attempted::Stored);
    if tried.state.is_final() {
        say_ended(&tried);
    } else {
        say(&Line::Acknowledged(tried.id, Verdict::Tried(tried.attempts.left())));
    }
    Ok(tried)
}

fn say_ended(transaction: &Transaction) {
    let verdict = Verdict::Ended(transaction.state.as_str().to_owned(), transaction.attempts.left());
    say(&Line::Acknowledged(transaction.id, verdict));
}
