//! RocksDB as rows, with or without leave to touch the disk.

use std::borrow::Cow;
use std::sync::Arc;

use rocksdb::{
    BottommostLevelCompaction, ColumnFamily, CompactOptions, DB, DBRawIterator, ErrorKind, PrefixRange,
    ReadOptions, ReadTier, WriteBatch, WriteOptions,
};

use super::row_cache::{Known, Look, RowCache};
use crate::key::{Family, Key};
use crate::sealing::Sealer;
use crate::verb::overlay::Changes;
use crate::verb::rows::{KeptRow, Row, RowFault, RowResult, Rows, Value};
use crate::{RowsKept, StoreError, StoreErrorKind};

/// What an operator does about a database that cannot be read.
pub(super) const CORRUPT_HINT: &str =
    "keep a copy of the folder, check the disk and the kernel's log, and restore the last backup";

/// RocksDB's name for the number of files in a family that no compaction has taken yet.
const FILES_WAITING: &str = "rocksdb.num-files-at-level0";

/// Questions look at what is in memory first.
fn is_first(tier: ReadTier) -> bool {
    matches!(tier, ReadTier::BlockCache)
}

/// Rows that a walk passes by before it searches.
const STEPS_BEFORE_SEARCH: usize = 4;

/// An open database. Rows read through it may come from the disk, and are as they are stored: sealed ones are
/// opened by who understands them.
pub(super) struct Database {
    db: DB,
    sealer: Option<Arc<Sealer>>,
    /// For look-ups that may not wait for the disk, and for those that may.
    in_memory: ReadOptions,
    anywhere: ReadOptions,
    cache: RowCache,
}

/// The same rows, as far as they are in memory: never waits for the disk.
pub(super) struct InMemory<'d>(pub(super) &'d Database);

impl Database {
    /// Wraps a database in which every family is open.
    pub(super) fn new(db: DB, sealer: Option<Arc<Sealer>>, cache: RowCache) -> Self {
        let [in_memory, anywhere] = [ReadTier::BlockCache, ReadTier::All].map(read_options);
        Self { db, sealer, in_memory, anywhere, cache }
    }

    /// RocksDB's own handle, for what concerns all of it.
    pub(super) const fn raw(&self) -> &DB {
        &self.db
    }

    /// What is kept of its rows.
    pub(super) fn rows_kept(&self) -> RowsKept {
        self.cache.counts()
    }

    /// Stores the changes, and rows that are new and of a kind that is not kept in memory, in one atomic write: all are
    /// plain, and sealed here where there is a master key. With `sync` it returns when they are on the disk.
    pub(super) fn write(
        &self,
        changes: &Changes,
        appended: &[(Key, Vec<u8>)],
        sync: bool,
    ) -> Result<(), StoreError> {
        if changes.is_empty() && appended.is_empty() {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        let mut families = [None; Family::ALL.len()];
        // A write buffer searches the place of a key unless that is right behind the key before, as for keys that begin
        // with a time or a number; and a search from near by finds more in the caches.
        let mut changed: Vec<_> = changes.iter().map(|(key, change)| (key, change.as_ref())).collect();
        changed.sort_unstable_by_key(|(key, _)| *key);
        for (key, change) in changed.into_iter().chain(appended.iter().map(|(key, row)| (key, Some(row)))) {
            let family = match &mut families[key.family() as usize] {
                Some(family) => *family,
                unknown => *unknown.insert(self.family(key.family())?),
            };
            match change {
                Some(row) => batch.put_cf(family, key.bytes(), self.to_stored(key, row)?),
                None => batch.delete_cf(family, key.bytes()),
            }
        }
        self.db.write_opt(batch, &write_options(sync)).map_err(|error| error_of(&error))?;
        for (key, change) in changes {
            // What was sealed is read anew: there is no copy of it.
            let is_plain = change.is_none() || self.sealer.is_none() || !key.is_sealed_kind();
            self.cache.change(key, is_plain.then_some(change.as_deref()));
        }
        Ok(())
    }

    fn to_stored<'r>(&self, key: &Key, row: &'r [u8]) -> Result<Cow<'r, [u8]>, StoreError> {
        match &self.sealer {
            Some(sealer) if key.is_sealed_kind() => {
                let failed =
                    |error| StoreError::new(StoreErrorKind::Io, format!("cannot seal a row: {error}"));
                sealer.seal_row(key, row).map(Cow::Owned).map_err(failed)
            }
            Some(_) | None => Ok(Cow::Borrowed(row)),
        }
    }

    /// Removes the rows of one family from `from` to before `to`, of kinds that are not kept in memory.
    pub(super) fn delete_range(&self, from: &Key, to: &Key) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        batch.delete_range_cf(self.family(from.family())?, from.bytes(), to.bytes());
        self.db.write_opt(batch, &write_options(false)).map_err(|error| error_of(&error))
    }

    /// Syncs the write-ahead log and writes every family's buffer out, so that the next start is quick.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.db.flush_wal(true).map_err(|error| error_of(&error))?;
        for family in Family::ALL {
            self.db.flush_cf(self.family(family)?).map_err(|error| error_of(&error))?;
        }
        Ok(())
    }

    /// Visits the rows whose keys begin with `prefix`, in their order, until `visit` returns `false`. What it
    /// reads from the disk does not push other rows out of the cache.
    pub(super) fn visit(&self, prefix: &Key, visit: impl FnMut(&[u8], &[u8]) -> bool) -> RowResult<()> {
        let mut options = read_options(ReadTier::All);
        options.fill_cache(false);
        self.walk(options, prefix, None, visit)
    }

    /// The most files that wait for a compaction in one family.
    pub(super) fn files_waiting(&self) -> u64 {
        let waiting = Family::ALL.into_iter().filter_map(|family| {
            let property = self.db.property_int_value_cf(self.family(family).ok()?, FILES_WAITING);
            property.ok()?
        });
        waiting.max().unwrap_or(0)
    }

    /// Lets RocksDB compact by itself from now on.
    pub(super) fn begin_compactions(&self) -> Result<(), StoreError> {
        for family in Family::ALL {
            let begun =
                self.db.set_options_cf(self.family(family)?, &[("disable_auto_compactions", "false")]);
            begun.map_err(|error| error_of(&error))?;
        }
        Ok(())
    }

    /// Rewrites the whole family, so that nothing is left of rows that were dropped or replaced.
    pub(super) fn compact(&self, family: Family) -> Result<(), StoreError> {
        let family = self.family(family)?;
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        self.db.compact_range_cf_opt(family, None::<&[u8]>, None::<&[u8]>, &options);
        Ok(())
    }

    fn family(&self, family: Family) -> Result<&ColumnFamily, StoreError> {
        let missing = || StoreError::new(StoreErrorKind::Io, format!("family {} is not open", family.name()));
        self.db.cf_handle(family.name()).ok_or_else(missing)
    }

    fn get(&self, tier: ReadTier, key: &Key) -> RowResult<Option<Value>> {
        if !key.is_kept_in_memory() {
            return self.find(tier, key, |row| Value::Own(row.to_vec()));
        }
        let seen = match self.cache.look(key, is_first(tier)) {
            Look::Known(Known::Row(row)) => return Ok(row.map(Value::Kept)),
            Look::Known(Known::Rows(_)) => return self.find(tier, key, |row| Value::Own(row.to_vec())),
            Look::Unknown(seen) => seen,
        };
        let row = self.find(tier, key, |row| Arc::new(KeptRow::new(row)))?;
        self.cache.keep(key, Known::Row(row.clone()), seen);
        Ok(row.map(Value::Kept))
    }

    fn find<T>(&self, tier: ReadTier, key: &Key, copy: impl FnOnce(&[u8]) -> T) -> RowResult<Option<T>> {
        let options = match tier {
            ReadTier::BlockCache => &self.in_memory,
            _ => &self.anywhere,
        };
        let found = self.db.get_pinned_cf_opt(self.family(key.family())?, key.bytes(), options);
        found.map(|row| row.map(|row| copy(&row))).map_err(|error| fault_of(&error))
    }

    /// What is known already is not read.
    fn gather(&self, tier: ReadTier, keys: &[Key]) -> RowResult<Vec<Option<Value>>> {
        if !keys.first().is_some_and(Key::is_kept_in_memory) {
            return self.gather_stored(tier, keys, |row| Value::Own(row.to_vec()));
        }
        let mut found: Vec<Option<Value>> = keys.iter().map(|_| None).collect();
        let (mut unknown, mut asked) = (Vec::new(), Vec::new());
        for (place, key) in keys.iter().enumerate() {
            match self.cache.look(key, is_first(tier)) {
                Look::Known(Known::Row(row)) => found[place] = row.map(Value::Kept),
                Look::Known(Known::Rows(_)) => {}
                Look::Unknown(seen) => {
                    unknown.push((place, seen));
                    asked.push(key.clone());
                }
            }
        }
        let read = self.gather_stored(tier, &asked, |row| Arc::new(KeptRow::new(row)))?;
        for (((place, seen), key), row) in unknown.into_iter().zip(&asked).zip(read) {
            self.cache.keep(key, Known::Row(row.clone()), seen);
            found[place] = row.map(Value::Kept);
        }
        Ok(found)
    }

    /// One walk over the family, with a step from each key to the next. What it reads from the disk does not push other
    /// rows out of the cache.
    fn gather_stored<T>(
        &self,
        tier: ReadTier,
        keys: &[Key],
        copy: impl Fn(&[u8]) -> T,
    ) -> RowResult<Vec<Option<T>>> {
        let mut found = Vec::with_capacity(keys.len());
        let Some(first) = keys.first() else { return Ok(found) };
        let mut options = read_options(tier);
        options.fill_cache(false);
        let mut rows = self.db.raw_iterator_cf_opt(self.family(first.family())?, options);
        rows.seek(first.bytes());
        for key in keys {
            step_to(&mut rows, key.bytes());
            found.push(rows.item().filter(|(at, _)| *at == key.bytes()).map(|(_, row)| copy(row)));
        }
        rows.status().map_err(|error| fault_of(&error))?;
        Ok(found)
    }

    fn scan(&self, tier: ReadTier, prefix: &Key, after: Option<&Key>, limit: usize) -> RowResult<Vec<Row>> {
        if after.is_some() || !prefix.is_devices_of_user() {
            return self.scan_stored(tier, prefix, after, limit);
        }
        let seen = match self.cache.look(prefix, is_first(tier)) {
            Look::Known(Known::Rows(rows)) => return Ok(rows.iter().take(limit).cloned().collect()),
            Look::Known(Known::Row(_)) => return self.scan_stored(tier, prefix, after, limit),
            Look::Unknown(seen) => seen,
        };
        let rows = self.scan_stored(tier, prefix, after, limit)?;
        if rows.len() < limit {
            self.cache.keep(prefix, Known::Rows(rows.as_slice().into()), seen);
        }
        Ok(rows)
    }

    fn scan_stored(
        &self,
        tier: ReadTier,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> RowResult<Vec<Row>> {
        let mut rows = Vec::new();
        if limit == 0 {
            return Ok(rows);
        }
        self.walk(read_options(tier), prefix, after, |key, row| {
            rows.push((Key::from_stored(prefix.family(), key), row.to_vec()));
            rows.len() < limit
        })?;
        Ok(rows)
    }

    fn scan_back(
        &self,
        tier: ReadTier,
        prefix: &Key,
        before: Option<&Key>,
        limit: usize,
    ) -> RowResult<Vec<Row>> {
        let mut options = read_options(tier);
        options.set_iterate_range(PrefixRange(prefix.bytes()));
        let mut rows = self.db.raw_iterator_cf_opt(self.family(prefix.family())?, options);
        seek_before(&mut rows, before);
        let mut found = Vec::new();
        while found.len() < limit
            && let Some((key, row)) = rows.item()
        {
            found.push((Key::from_stored(prefix.family(), key), row.to_vec()));
            rows.prev();
        }
        rows.status().map_err(|error| fault_of(&error))?;
        Ok(found)
    }

    fn walk(
        &self,
        mut options: ReadOptions,
        prefix: &Key,
        after: Option<&Key>,
        mut visit: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> RowResult<()> {
        options.set_iterate_range(PrefixRange(prefix.bytes()));
        let mut rows = self.db.raw_iterator_cf_opt(self.family(prefix.family())?, options);
        seek_behind(&mut rows, prefix, after);
        while let Some((key, row)) = rows.item() {
            if !visit(key, row) {
                return Ok(());
            }
            rows.next();
        }
        rows.status().map_err(|error| fault_of(&error))
    }
}

impl Rows for Database {
    fn get(&self, key: &Key) -> RowResult<Option<Value>> {
        Self::get(self, ReadTier::All, key)
    }

    fn scan(&self, prefix: &Key, after: Option<&Key>, limit: usize) -> RowResult<Vec<Row>> {
        Self::scan(self, ReadTier::All, prefix, after, limit)
    }

    fn gather(&self, keys: &[Key]) -> RowResult<Vec<Option<Value>>> {
        Self::gather(self, ReadTier::All, keys)
    }

    fn sealer(&self) -> Option<&Sealer> {
        self.sealer.as_deref()
    }

    fn scan_back(&self, prefix: &Key, before: Option<&Key>, limit: usize) -> RowResult<Vec<Row>> {
        Self::scan_back(self, ReadTier::All, prefix, before, limit)
    }
}

impl Rows for InMemory<'_> {
    fn get(&self, key: &Key) -> RowResult<Option<Value>> {
        self.0.get(ReadTier::BlockCache, key)
    }

    fn scan(&self, prefix: &Key, after: Option<&Key>, limit: usize) -> RowResult<Vec<Row>> {
        self.0.scan(ReadTier::BlockCache, prefix, after, limit)
    }

    fn gather(&self, keys: &[Key]) -> RowResult<Vec<Option<Value>>> {
        self.0.gather(ReadTier::BlockCache, keys)
    }

    fn sealer(&self) -> Option<&Sealer> {
        self.0.sealer.as_deref()
    }

    fn scan_back(&self, prefix: &Key, before: Option<&Key>, limit: usize) -> RowResult<Vec<Row>> {
        self.0.scan_back(ReadTier::BlockCache, prefix, before, limit)
    }
}

fn seek_behind(rows: &mut DBRawIterator<'_>, prefix: &Key, after: Option<&Key>) {
    let Some(after) = after else { return rows.seek(prefix.bytes()) };
    rows.seek(after.bytes());
    if rows.key() == Some(after.bytes()) {
        rows.next();
    }
}

/// Goes on to the first row that does not stand before `key`: step by step while it may be near, else by a search.
fn step_to(rows: &mut DBRawIterator<'_>, key: &[u8]) {
    for _ in 0..STEPS_BEFORE_SEARCH {
        if rows.key().is_none_or(|at| at >= key) {
            return;
        }
        rows.next();
    }
    if rows.key().is_some_and(|at| at < key) {
        rows.seek(key);
    }
}

fn seek_before(rows: &mut DBRawIterator<'_>, before: Option<&Key>) {
    let Some(before) = before else { return rows.seek_to_last() };
    rows.seek_for_prev(before.bytes());
    if rows.key() == Some(before.bytes()) {
        rows.prev();
    }
}

fn read_options(tier: ReadTier) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_read_tier(tier);
    options
}

fn write_options(sync: bool) -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(sync);
    options
}

fn fault_of(error: &rocksdb::Error) -> RowFault {
    match error.kind() {
        ErrorKind::Incomplete => RowFault::NotInMemory,
        _ => RowFault::Failed(error_of(error)),
    }
}

/// RocksDB's texts hold paths and file names, never rows.
fn error_of(error: &rocksdb::Error) -> StoreError {
    match error.kind() {
        ErrorKind::Corruption => StoreError::new(StoreErrorKind::Corrupt, format!("{error}; {CORRUPT_HINT}")),
        _ => StoreError::new(StoreErrorKind::Io, error.to_string()),
    }
}
