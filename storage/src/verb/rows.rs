//! The abstract table of rows that verbs and reads look at.

use std::any::Any;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use crate::key::Key;
use crate::sealing::Sealer;
use crate::{StoreError, StoreErrorKind};

/// A stored value with its key.
pub(crate) type Row = (Key, Vec<u8>);

/// A stored value that is kept in memory, with what was first read from it.
#[derive(Debug)]
pub(crate) struct KeptRow {
    bytes: Box<[u8]>,
    read: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl KeptRow {
    /// Keeps this value.
    #[cfg(any(feature = "rocks", test))]
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.into(), read: OnceLock::new() }
    }

    /// The value.
    #[cfg(feature = "rocks")]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What was read from it, if that was a `T`.
    pub(super) fn read<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        Arc::clone(self.read.get()?).downcast().ok()
    }

    /// Keeps what was read from it; the first thing stays.
    pub(super) fn keep<T: Send + Sync + 'static>(&self, read: Arc<T>) {
        let _ = self.read.set(read);
    }
}

/// A stored value as a view of the rows gives it.
#[derive(Debug)]
pub(crate) enum Value {
    /// A copy.
    Own(Vec<u8>),
    /// The one that is kept in memory.
    #[cfg_attr(not(feature = "rocks"), allow(dead_code, reason = "only a back end with a disk keeps rows"))]
    Kept(Arc<KeptRow>),
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Kept(row) => &row.bytes,
        }
    }
}

/// What looking at rows may fail with.
#[derive(Debug)]
pub(crate) enum RowFault {
    /// The row is not in memory, and this view may not touch the disk.
    #[cfg_attr(not(feature = "rocks"), allow(dead_code, reason = "only a back end with a disk says so"))]
    NotInMemory,
    /// The look-up failed.
    Failed(StoreError),
}

/// The outcome of looking at rows.
pub(crate) type RowResult<T> = Result<T, RowFault>;

impl From<StoreError> for RowFault {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl From<RowFault> for StoreError {
    fn from(fault: RowFault) -> Self {
        match fault {
            RowFault::Failed(error) => error,
            RowFault::NotInMemory => {
                Self::new(StoreErrorKind::Io, "a row was not in memory where it had to be")
            }
        }
    }
}

/// Rows in the order of their keys.
pub(crate) trait Rows {
    /// The value under `key`, expired or not.
    fn get(&self, key: &Key) -> RowResult<Option<Value>>;

    /// The first `limit` rows whose keys begin with `prefix` and, if given, come behind `after`.
    fn scan(&self, prefix: &Key, after: Option<&Key>, limit: usize) -> RowResult<Vec<Row>>;

    /// The last `limit` rows whose keys begin with `prefix` and, if given, come before `before`, from the last to
    /// the first.
    fn scan_back(&self, prefix: &Key, before: Option<&Key>, limit: usize) -> RowResult<Vec<Row>>;

    /// The values under `keys`, which are of one family and in their order: cheaper than one by one where they lie close
    /// together.
    fn gather(&self, keys: &[Key]) -> RowResult<Vec<Option<Value>>> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    /// What opens sealed rows; `None` where nothing is sealed.
    fn sealer(&self) -> Option<&Sealer> {
        None
    }

    /// Whether the row under `key` is not stored yet, and so not sealed yet.
    fn is_unstored(&self, _key: &Key) -> bool {
        false
    }
}

/// Where a scan back begins in a map: before `before`, else behind all keys of the prefix.
pub(crate) fn end_of<'k>(prefix: &Key, before: Option<&'k Key>) -> std::borrow::Cow<'k, Key> {
    before.map_or_else(|| std::borrow::Cow::Owned(prefix.behind_all()), std::borrow::Cow::Borrowed)
}

/// Rows in a map, as the memory back end and tests keep them.
impl Rows for std::collections::BTreeMap<Key, Vec<u8>> {
    fn get(&self, key: &Key) -> RowResult<Option<Value>> {
        Ok(Self::get(self, key).cloned().map(Value::Own))
    }

    fn scan(&self, prefix: &Key, after: Option<&Key>, limit: usize) -> RowResult<Vec<Row>> {
        let from = std::ops::Bound::Included(prefix);
        let start = after.map_or(from, std::ops::Bound::Excluded);
        let rows = self.range::<Key, _>((start, std::ops::Bound::Unbounded));
        let matching = rows.take_while(|(key, _)| key.starts_with(prefix)).take(limit);
        Ok(matching.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn scan_back(&self, prefix: &Key, before: Option<&Key>, limit: usize) -> RowResult<Vec<Row>> {
        let end = end_of(prefix, before);
        let rows = self.range::<Key, _>(..&*end).rev();
        let matching = rows.take_while(|(key, _)| key.starts_with(prefix)).take(limit);
        Ok(matching.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}
