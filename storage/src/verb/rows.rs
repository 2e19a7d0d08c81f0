//! The abstract table of rows that verbs and reads look at.

use crate::key::Key;
use crate::sealing::Sealer;
use crate::{StoreError, StoreErrorKind};

/// A stored value with its key.
pub(crate) type Row = (Key, Vec<u8>);

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
    fn get(&self, key: &Key) -> RowResult<Option<Vec<u8>>>;

    /// The first `limit` rows whose keys begin with `prefix` and, if given, come behind `after`.
    fn scan(&self, prefix: &Key, after: Option<&Key>, limit: usize) -> RowResult<Vec<Row>>;

    /// The last `limit` rows whose keys begin with `prefix` and, if given, come before `before`, from the last to
    /// the first.
    fn scan_back(&self, prefix: &Key, before: Option<&Key>, limit: usize) -> RowResult<Vec<Row>>;

    /// The values under `keys`, which are of one family and in their order: cheaper than one by one where they lie close
    /// together.
    fn gather(&self, keys: &[Key]) -> RowResult<Vec<Option<Vec<u8>>>> {
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
    fn get(&self, key: &Key) -> RowResult<Option<Vec<u8>>> {
        Ok(Self::get(self, key).cloned())
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
