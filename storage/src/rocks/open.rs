//! Finding, checking and opening the database.
//!
//! Refuses a database that another process has, one of a newer format and one that is damaged, and says what to
//! do. It never repairs: a repair may forget an outcome, and that is an operator's decision.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::compaction_filter::Decision;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBRecoveryMode, LogLevel, Options, WriteBufferManager,
};
use tocsin_config::Storage;

use super::database::{CORRUPT_HINT, Database};
use super::row_cache::RowCache;
use super::sealed;
use crate::clock::Clock;
use crate::envelope::{self, Expiry};
use crate::key::{Family, Key};
use crate::pseudonym::Pseudonyms;
use crate::record::{FormatRecord, Malformed, MetaRecord, from_payload, to_row};
use crate::sealing::Sealer;
use crate::store::MetaKey;
use crate::verb::overlay::Changes;
use crate::verb::rows::Rows;
use crate::verb::table::corrupt;
use crate::verb::{Table, meta};
use crate::{StoreError, StoreErrorKind};

/// The format of the whole database that this version writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// The folder of the database inside the configured one.
const FOLDER: &str = "db";

/// Only the server's user may look into the folder.
const FOLDER_MODE: u32 = 0o700;

/// Table files held open at once.
const OPEN_FILES_MAX: i32 = 1_024;

/// Threads that flush and compact.
const BACKGROUND_JOBS_MAX: i32 = 2;

/// Blocks that a write buffer grows by. A block counts whole against the limit that all families share; with
/// RocksDB's own choice, up to a megabyte, the seldom used families would take a good part of a small limit.
const BUFFER_BLOCK_BYTES: usize = 64 * 1024;

/// Bits of the bloom filter for each key: about one false look in a hundred.
const BLOOM_BITS_PER_KEY: f64 = 10.0;

/// The size of one piece of a table's filter or index; the cache holds and drops them piece by piece.
const FILTER_BLOCK_BYTES: usize = 4 * 1_024;

/// The part of a write buffer that its filter of whole keys takes: with it nobody searches a buffer for a key that is new,
/// and a key for every hundred bytes has eight bits.
const BUFFER_FILTER_RATIO: f64 = 0.01;

/// The part of the memory for blocks that single rows get, those that every start and answer look at.
const ROWS_PART: usize = 2;

/// Every row passes a compaction, and so the expiry filter, at least this often.
const PERIODIC_COMPACTION_S: u64 = 12 * 60 * 60;

/// The least that the write-ahead log may grow to before idle families are written out.
const WAL_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// RocksDB's own log: files kept, and bytes of each.
const LOG_FILES_KEPT: usize = 4;
const LOG_FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Dirty bytes of a table file after which the kernel is asked to begin writing, so that no long sync builds up.
const BYTES_PER_WRITEBACK: u64 = 1024 * 1024;

/// An open database and the options that its counters hang on.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) options: Options,
}

/// Opens the database under the configured folder, or makes one.
pub(super) fn open(
    storage: &Storage,
    sealer: Option<Arc<Sealer>>,
    clock: &Clock,
    with_statistics: bool,
) -> Result<Opened, StoreError> {
    let folder = prepare_folder(&storage.path)?;
    refuse_headless(&folder)?;
    let options = database_options(storage, with_statistics);
    let families = family_names(&options, &folder)?;
    let rows_bytes = storage.block_cache_bytes / ROWS_PART;
    let cache = Cache::new_lru_cache(storage.block_cache_bytes - rows_bytes);
    let descriptors = families.into_iter().map(|name| {
        let options = family_options(storage, &name, &cache, clock.clone());
        ColumnFamilyDescriptor::new(name, options)
    });
    let db = DB::open_cf_descriptors(&options, &folder, descriptors)
        .map_err(|error| open_error(&error, &folder))?;
    let database = Database::new(db, sealer, RowCache::new(rows_bytes));
    check_format(&database)?;
    sealed::check_and_seal(&database)?;
    Ok(Opened { database, options })
}

/// Where the database of this configuration is.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    path.join(FOLDER)
}

/// Makes the folders that are missing. The configured one keeps its mode if it exists, since it may be shared;
/// the database's own is closed to others.
fn prepare_folder(path: &Path) -> Result<PathBuf, StoreError> {
    let folder = folder_of(path);
    let refused = |error: io::Error| {
        StoreError::new(StoreErrorKind::Io, format!("cannot make the folder {}: {error}", folder.display()))
    };
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&folder).map_err(refused)?;
    fs::set_permissions(&folder, Permissions::from_mode(FOLDER_MODE)).map_err(refused)?;
    Ok(folder)
}

/// Without its file CURRENT a database looks like an empty folder, and RocksDB would begin a new one over it.
fn refuse_headless(folder: &Path) -> Result<(), StoreError> {
    if folder.join("CURRENT").exists() {
        return Ok(());
    }
    let entries = fs::read_dir(folder).map_err(|error| {
        StoreError::new(StoreErrorKind::Io, format!("cannot read {}: {error}", folder.display()))
    })?;
    let is_of_a_database = |name: &str| name.starts_with("MANIFEST-") || name.ends_with(".sst");
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(is_of_a_database) {
            let what = format!("{} has tables but no file CURRENT; {CORRUPT_HINT}", folder.display());
            return Err(StoreError::new(StoreErrorKind::Corrupt, what));
        }
    }
    Ok(())
}

/// Our families, and those of other versions: RocksDB opens all or none.
fn family_names(options: &Options, folder: &Path) -> Result<Vec<String>, StoreError> {
    let mut names: Vec<String> = Family::ALL.iter().map(|family| family.name().to_owned()).collect();
    if folder.join("CURRENT").exists() {
        let existing = DB::list_cf(options, folder).map_err(|error| open_error(&error, folder))?;
        names.extend(
            existing.into_iter().filter(|name| !Family::ALL.iter().any(|family| family.name() == name)),
        );
    }
    Ok(names)
}

/// Options of the whole database.
///
/// **Recovery of the write-ahead log** tolerates a torn end and nothing else
/// (`kTolerateCorruptedTailRecords`). A kill or a power cut leaves at most an unfinished last record, which nobody
/// was answered for. RocksDB's default (`kPointInTimeRecovery`) would also open over a flipped bit further up,
/// and silently forget every acknowledged outcome behind it; then a transaction that was declined could be accepted
/// after all. We rather refuse and let an operator decide. The price: a power cut on a disk that stores the pages of
/// an unfinished write out of order can ask for that decision, too. Logs that were synced and are gone or
/// too short are noticed by their entry in the manifest.
fn database_options(storage: &Storage, with_statistics: bool) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_total_wal_size(wal_bytes_max(storage));
    // The limit holds for all families together; stalling the one writer would stall every caller.
    options.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager(
        storage.write_buffer_bytes,
        false,
    ));
    options.set_allow_concurrent_memtable_write(false);
    options.set_max_background_jobs(BACKGROUND_JOBS_MAX);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_bytes_per_sync(BYTES_PER_WRITEBACK);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(LOG_FILES_KEPT);
    options.set_max_log_file_size(LOG_FILE_BYTES_MAX);
    if with_statistics {
        options.enable_statistics();
    }
    options
}

fn wal_bytes_max(storage: &Storage) -> u64 {
    u64::try_from(storage.write_buffer_bytes).unwrap_or(u64::MAX).saturating_mul(2).max(WAL_BYTES_MIN)
}

/// Options of one family: all share one cache, in which filters and indexes count, too.
fn family_options(storage: &Storage, name: &str, cache: &Cache, clock: Clock) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    // A large table's filter in one piece does not fit a shard of the cache and would be read anew for each look.
    blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    blocks.set_partition_filters(true);
    blocks.set_metadata_block_size(FILTER_BLOCK_BYTES);
    blocks.set_pin_top_level_index_and_filter(true);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(storage.write_buffer_bytes / 2);
    options.set_arena_block_size(BUFFER_BLOCK_BYTES);
    if Family::ALL.iter().any(|family| family.name() == name && family.is_asked_for_new_keys()) {
        options.set_memtable_whole_key_filtering(true);
        options.set_memtable_prefix_bloom_ratio(BUFFER_FILTER_RATIO);
    }
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_periodic_compaction_seconds(PERIODIC_COMPACTION_S);
    // The housekeeper begins it.
    options.set_disable_auto_compactions(true);
    options.set_compaction_filter("tocsin.expiry", move |_level, _key: &[u8], row: &[u8]| {
        if is_droppable(row, &clock) { Decision::Remove } else { Decision::Keep }
    });
    options
}

/// A row of another envelope is kept: its bytes may mean something else.
fn is_droppable(row: &[u8], clock: &Clock) -> bool {
    envelope::sealed_by(row).is_ok() && envelope::expiry(row).is_some_and(|expiry| expiry.is_over(clock()))
}

/// Refuses a newer format, and marks a database without one as ours.
fn check_format(database: &Database) -> Result<(), StoreError> {
    let key = Key::format();
    let Some(row) = Rows::get(database, &key)? else {
        let row = to_row(Expiry::Never, &FormatRecord { format: FORMAT });
        return database.write(&Changes::from_iter([(key, Some(row))]), &[], true);
    };
    let payload = envelope::payload(&row).map_err(|what| corrupt(&key, what))?;
    let FormatRecord { format } = from_payload(payload).map_err(|Malformed(what)| corrupt(&key, what))?;
    if format > FORMAT {
        let what = format!(
            "it has format {format}, this version reads up to {FORMAT}; start the version that wrote it"
        );
        return Err(StoreError::new(StoreErrorKind::NewerFormat, what));
    }
    Ok(())
}

/// What names the users of the audit trail, by the key that is kept or by a new one.
pub(super) fn pseudonyms(database: &Database, table: &Table<'_>) -> Result<Pseudonyms, StoreError> {
    if let Some(key) = meta::kept(table, MetaKey::PseudonymKey)? {
        return Ok(Pseudonyms::new(&key));
    }
    let key = Pseudonyms::new_key()?;
    let row = to_row(Expiry::Never, &MetaRecord { value: key.clone() });
    database.write(&Changes::from_iter([(Key::meta(MetaKey::PseudonymKey), Some(row))]), &[], true)?;
    Ok(Pseudonyms::new(&key))
}

/// RocksDB tells a held lock from other refusals only in its text: the first is of another process, the second
/// of this one.
fn is_locked(text: &str) -> bool {
    text.contains("/LOCK: Resource temporarily unavailable") || text.contains("lock hold by current process")
}

fn open_error(error: &rocksdb::Error, folder: &Path) -> StoreError {
    let text = error.to_string();
    let place = folder.display();
    match error.kind() {
        rocksdb::ErrorKind::IOError if is_locked(&text) => StoreError::new(
            StoreErrorKind::Locked,
            format!("{place}: the server is running; stop it first, or ask it through its ops door ({text})"),
        ),
        rocksdb::ErrorKind::Corruption => {
            StoreError::new(StoreErrorKind::Corrupt, format!("{place}: {text}; {CORRUPT_HINT}"))
        }
        rocksdb::ErrorKind::IOError if text.contains("No such file or directory") => StoreError::new(
            StoreErrorKind::Corrupt,
            format!("{place}: a file is missing: {text}; {CORRUPT_HINT}"),
        ),
        _ => StoreError::new(StoreErrorKind::Io, format!("{place}: {text}")),
    }
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;
