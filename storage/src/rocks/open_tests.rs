use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tocsin_config::Durability;
use tocsin_model::{DurationMs, TransactionId, UnixMs};

use super::super::database::InMemory;
use super::*;
use crate::record::EmptyRecord;
use crate::verb::rows::RowFault;

fn storage(path: &Path) -> Storage {
    Storage {
        path: path.to_owned(),
        durability: Durability::Os,
        commit_queue_max: 16,
        block_cache_bytes: 1 << 20,
        write_buffer_bytes: 1 << 20,
        transaction_retention: DurationMs::from_seconds(60),
        enrollment_retention: DurationMs::from_seconds(60),
        audit_retention: DurationMs::from_seconds(34_560_000),
        disk_free_min_bytes: 0,
    }
}

fn clock_at(now: &Arc<AtomicU64>) -> Clock {
    let now = Arc::clone(now);
    Arc::new(move || UnixMs::new(now.load(Ordering::SeqCst)))
}

fn open_at(path: &Path, now: &Arc<AtomicU64>) -> Result<Opened, StoreError> {
    open(&storage(path), None, &clock_at(now), false)
}

fn put(database: &Database, key: Key, row: Vec<u8>) {
    database.write(&Changes::from_iter([(key, Some(row))]), &[], false).expect("written");
}

#[test]
fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let now = Arc::new(AtomicU64::new(1));
    let opened = open_at(folder.path(), &now).expect("a new database");
    put(&opened.database, Key::format(), to_row(Expiry::Never, &FormatRecord { format: FORMAT + 1 }));
    drop(opened);
    let refused = open_at(folder.path(), &now).err().expect("refused");
    assert_eq!(refused.kind(), StoreErrorKind::NewerFormat);
    assert!(refused.to_string().contains("start the version that wrote it"), "{refused}");
}

#[test]
fn nothing_is_compacted_before_it_is_begun_and_then_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let opened = open_at(folder.path(), &Arc::new(AtomicU64::new(1))).expect("a new database");
    let (database, place) =
        (&opened.database, Key::open(UnixMs::new(1), &TransactionId::from_bytes([0; 16])));
    // RocksDB compacts from four files on.
    for _ in 0..6 {
        put(database, place.clone(), to_row(Expiry::Never, &EmptyRecord {}));
        database.flush().expect("flushed");
    }
    assert_eq!(database.files_waiting(), 6);
    database.begin_compactions().expect("begun");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while database.files_waiting() == 6 {
        assert!(std::time::Instant::now() < deadline, "never compacted");
        std::thread::yield_now();
    }
}

#[test]
fn a_family_of_another_version_does_not_hinder() {
    let folder = tempfile::tempdir().expect("a folder");
    let now = Arc::new(AtomicU64::new(1));
    drop(open_at(folder.path(), &now).expect("a new database"));
    let path = folder_of(folder.path());
    let families = DB::list_cf(&Options::default(), &path).expect("listed");
    let mut db = DB::open_cf(&Options::default(), &path, families).expect("opened");
    db.create_cf("ladder", &Options::default()).expect("made");
    drop(db);
    assert!(open_at(folder.path(), &now).is_ok());
}

#[test]
fn a_compaction_drops_what_has_expired_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let now = Arc::new(AtomicU64::new(10));
    let database = open_at(folder.path(), &now).expect("a new database").database;
    let key = |salt| Key::transaction(&TransactionId::from_bytes([salt; 16]));
    let row = |expiry| to_row(expiry, &EmptyRecord {});
    let mut sealed = row(Expiry::At(UnixMs::new(10)));
    sealed[3] = 1;
    put(&database, key(1), row(Expiry::At(UnixMs::new(10))));
    put(&database, key(2), row(Expiry::At(UnixMs::new(11))));
    put(&database, key(3), row(Expiry::Never));
    put(&database, key(4), sealed);
    database.flush().expect("flushed");
    database.compact(Family::Transaction).expect("compacted");
    let left: Vec<u8> =
        (1..=4).filter(|salt| Rows::get(&database, &key(*salt)).expect("read").is_some()).collect();
    assert_eq!(left, [2, 3, 4]);
}

#[test]
fn the_folder_is_closed_to_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let now = Arc::new(AtomicU64::new(1));
    let deep = folder.path().join("state");
    drop(open_at(&deep, &now).expect("a new database"));
    for made in [deep.clone(), folder_of(&deep)] {
        let mode = fs::metadata(&made).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, FOLDER_MODE, "{}", made.display());
    }
}

#[test]
fn a_row_on_the_disk_is_not_in_memory_until_it_was_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let now = Arc::new(AtomicU64::new(1));
    let key = Key::transaction(&TransactionId::from_bytes([1; 16]));
    let database = open_at(folder.path(), &now).expect("a new database").database;
    put(&database, key.clone(), to_row(Expiry::Never, &EmptyRecord {}));
    assert!(matches!(InMemory(&database).get(&key), Ok(Some(_))), "it is in the write buffer");
    database.flush().expect("flushed");
    drop(database);
    let database = open_at(folder.path(), &now).expect("opened").database;
    let in_memory = InMemory(&database);
    assert!(matches!(in_memory.get(&key), Err(RowFault::NotInMemory)));
    assert!(matches!(in_memory.scan(&Key::transactions(), None, 1), Err(RowFault::NotInMemory)));
    assert!(matches!(Rows::get(&database, &key), Ok(Some(_))));
    assert!(matches!(in_memory.get(&key), Ok(Some(_))), "now it is in the cache");
}
