//! Databases of every format that was ever served, checked in as they were written: later versions read them whole.
//!
//! `TOCSIN_WRITE_FORMAT=FOLDER cargo test -p tocsin-storage --features rocks --test it format` writes those of today.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tocsin_model::{
    AuditActor, CallbackFault, DeliveryStatus, DeviceStatus, DurationMs, EnrollmentState, FailureReason,
    KeptChallenge, State, Transaction, UnixMs,
};
use tocsin_storage::rocks::RocksStore;
use tocsin_storage::{
    Attempted, AuditChecked, AuditCheckpoint, CallbackList, CallbackVerdict, Created, MasterKey, MetaKey,
    NewTransaction, NoObserver, Sealer, Store, StoreError, TransactionQuery, callback_host,
};

use super::storage;
use crate::fixture::*;

/// When the outcomes came.
const LATER: UnixMs = UnixMs::new(START.get() + 20_000);

fn checked_in(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// The key of the sealed databases.
fn sealer() -> Option<Arc<Sealer>> {
    Some(Arc::new(Sealer::new(MasterKey::new(&[7; 32]), Vec::new()).expect("a key")))
}

fn open(folder: &Path, sealer: Option<Arc<Sealer>>) -> Result<RocksStore, StoreError> {
    let clock = TestClock::new();
    clock.advance(DurationMs::from_seconds(30));
    RocksStore::open_sealed(&storage(folder), sealer, clock.as_clock(), Arc::new(NoObserver))
}

fn calling_transaction(salt: u64) -> NewTransaction {
    NewTransaction {
        transaction: calling(transaction(salt)),
        idempotency: None,
        challenges: Vec::new(),
        otp: None,
    }
}

/// The pending one after a wrong try, when the network has taken its push.
fn pushed() -> Transaction {
    marked(tried(transaction(1)), 3, DeliveryStatus::Relayed)
}

fn challenge() -> KeptChallenge {
    KeptChallenge::Signed("e30.e30.CC".into())
}

fn accepted(salt: u64) -> Transaction {
    answered(calling(transaction(salt)), device_id(1), LATER)
}

/// One of each kind of record: a pending transaction with an idempotency key, an accepted and a failed one whose
/// callbacks are owed and dead, a phone, a revoked one, enrolments, what is kept of the server itself.
async fn fill(store: &RocksStore) {
    for salt in [1, 2] {
        let _ = store.open_enrollment(new_enrollment(salt)).await.expect("stored");
        let _ = store.enrol(code_hash(salt), device(salt), RULES, START).await.expect("stored");
    }
    let _ = store.open_enrollment(new_enrollment(3)).await.expect("stored");
    let _ = store.revoke_device(device_id(2), AuditActor::Console, LATER).await.expect("stored");
    let pending = NewTransaction {
        idempotency: Some(promise("login-1", 1)),
        challenges: vec![(device_id(1), challenge())],
        ..new_transaction(1)
    };
    assert_eq!(store.create(pending).await.expect("stored"), Created::New);
    assert_eq!(store.attempt(tried(transaction(1)), 0).await.expect("stored"), Attempted::Stored);
    store.mark(pushed()).await.expect("stored");
    for salt in [2, 3] {
        let _ = store.create(calling_transaction(salt)).await.expect("stored");
    }
    let _ = store.end(accepted(2)).await.expect("stored");
    let failed = State::Failed(FailureReason::ProviderRejected);
    let _ = store.end(ended(calling(transaction(3)), failed)).await.expect("stored");
    let died = CallbackVerdict::Dead { since: LATER, fault: CallbackFault::Timeout };
    let _ = store.settle_callback(transaction_id(3), 0, died).await.expect("stored");
    store.keep_meta(MetaKey::Issuer, b"https://push.bank.example".to_vec()).await.expect("stored");
    store.keep_meta(MetaKey::DerivationKey, vec![9; 32]).await.expect("stored");
}

async fn expect_whole(store: &RocksStore) {
    assert_eq!(store.transaction(transaction_id(1)).await.expect("read"), Some(pushed()));
    let kept = store.kept_challenge(transaction_id(1), device_id(1)).await.expect("read");
    assert_eq!(kept, Some(challenge()));
    let client = "portal".parse().expect("valid");
    let promised = store.by_idempotency_key(&client, &promise("login-1", 1)).await.expect("read");
    assert_eq!(promised, Some(Created::Existing(transaction_id(1))));
    assert_eq!(store.transaction(transaction_id(2)).await.expect("read"), Some(accepted(2)));
    let failed = store.transaction(transaction_id(3)).await.expect("read").expect("there");
    assert_eq!(failed.state, State::Failed(FailureReason::ProviderRejected));
    let open = store.open_transactions(None, 10).await.expect("read");
    assert_eq!(open.transactions.iter().map(|open| open.id).collect::<Vec<_>>(), [transaction_id(1)]);

    let query = TransactionQuery {
        client: None,
        user: Some(user(2)),
        state: None,
        from: None,
        to: None,
        before: None,
        limit: 10,
    };
    let of_user = store.transactions(query).await.expect("read").transactions;
    assert_eq!(of_user.iter().map(|listed| listed.id).collect::<Vec<_>>(), [transaction_id(2)]);

    let phone = store.device(device_id(1)).await.expect("read").expect("there");
    assert_eq!(phone.keys, device(1).keys);
    assert_eq!((phone.status, phone.push), (DeviceStatus::Active, device(1).push));
    let by_kid = store.device_by_kid(device(1).keys[1].kid).await.expect("read").expect("there");
    assert_eq!(by_kid.id, device_id(1));
    let gone = store.device(device_id(2)).await.expect("read").expect("there");
    assert_eq!(gone.status, DeviceStatus::Revoked);
    assert_eq!(store.devices_of(&user(1)).await.expect("read").len(), 1);

    let waiting = store.enrollment_by_code(code_hash(3)).await.expect("read").expect("there");
    assert_eq!(waiting, enrollment(3));
    let done = store.enrollment(enrollment(1).id).await.expect("read").expect("there");
    assert!(matches!(done.state, EnrollmentState::Completed { .. }), "{:?}", done.state);

    let owed = store.callback(CallbackList::Owed, transaction_id(2)).await.expect("read").expect("there");
    assert_eq!(owed.url, callback_url(2));
    let host = callback_host(&owed.client, &owed.url);
    let due = store.due_callbacks(host, START..=LATER, 10).await.expect("read");
    assert_eq!((due.callbacks, due.next_try_at), (vec![owed], None));
    assert!(store.callback(CallbackList::Dead, transaction_id(3)).await.expect("read").is_some());
    let issuer = store.meta(MetaKey::Issuer).await.expect("read");
    assert_eq!(issuer.as_deref(), Some(&b"https://push.bank.example"[..]));
    assert_eq!(store.meta(MetaKey::DerivationKey).await.expect("read"), Some(vec![9; 32]));
    let mut checked = AuditChecked::More(AuditCheckpoint::default());
    while let AuditChecked::More(checkpoint) = checked {
        checked = store.check_audit(checkpoint).await.expect("read");
    }
    assert!(matches!(&checked, AuditChecked::Sound(summary) if summary.rows > 0), "{checked:?}");
}

/// Writes a database into `folder`, without what only a running one needs: closed in order, or left with its rows in
/// the write-ahead log, as a crash leaves it.
async fn write(folder: &Path, sealer: Option<Arc<Sealer>>) {
    let is_closed = sealer.is_none();
    let store = open(folder, sealer).expect("a new database");
    fill(&store).await;
    if is_closed {
        store.close().expect("closed");
    }
    drop(store);
    for entry in fs::read_dir(folder.join("db")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if ["LOCK", "LOG", "OPTIONS"].iter().any(|part| name.starts_with(part)) {
            fs::remove_file(path).expect("removed");
        }
    }
}

fn copied(from: &Path) -> TempDir {
    let to = tempfile::tempdir().expect("a folder");
    fs::create_dir(to.path().join("db")).expect("a folder");
    for entry in fs::read_dir(from.join("db")).expect("a checked-in database") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name");
        fs::copy(&path, to.path().join("db").join(name)).expect("copied");
    }
    to
}

#[tokio::test]
async fn a_database_of_today_is_read_whole_plain_and_sealed() {
    let wanted = env::var_os("TOCSIN_WRITE_FORMAT").map(PathBuf::from);
    for (name, sealer) in [("plain", None), ("sealed", sealer())] {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = wanted.as_ref().map_or_else(|| folder.path().to_owned(), |wanted| wanted.join(name));
        fs::create_dir_all(&folder).expect("a folder");
        write(&folder, sealer.clone()).await;
        let copy = copied(&folder);
        expect_whole(&open(copy.path(), sealer).expect("opened")).await;
    }
}

#[tokio::test]
async fn a_database_of_format_1_is_read_whole_plain_and_sealed() {
    for (name, sealer) in [("format-1/plain", None), ("format-1/sealed", sealer())] {
        let copy = copied(&checked_in(name));
        expect_whole(&open(copy.path(), sealer).expect("opened")).await;
    }
}
