//! Rows with changes on top that are not stored yet.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::batch::Batch;
use super::rows::{Row, RowResult, Rows, end_of};
use crate::key::Key;
use crate::sealing::Sealer;

/// The changed rows of a group, each once, the last change of it; `None` is a removed row.
pub(crate) type Changes = BTreeMap<Key, Option<Vec<u8>>>;

/// What the table will be once the group is committed.
pub(crate) struct Overlay<'r> {
    base: &'r dyn Rows,
    changes: Changes,
}

impl<'r> Overlay<'r> {
    /// No changes on top of `base`.
    pub(crate) fn new(base: &'r dyn Rows) -> Self {
        Self { base, changes: Changes::new() }
    }

    /// Lays the changes of one verb on top.
    pub(crate) fn apply(&mut self, batch: Batch) {
        self.changes.extend(batch.into_changes());
    }

    /// The changes to commit.
    pub(crate) fn into_changes(self) -> Changes {
        self.changes
    }
}

impl Rows for Overlay<'_> {
    fn get(&self, key: &Key) -> RowResult<Option<Vec<u8>>> {
        match self.changes.get(key) {
            Some(change) => Ok(change.clone()),
            None => self.base.get(key),
        }
    }

    fn scan(&self, prefix: &Key, after: Option<&Key>, limit: usize) -> RowResult<Vec<Row>> {
        let start = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let ahead = self.changes.range::<Key, _>((start, Bound::Unbounded));
        let changed: Vec<_> = ahead.take_while(|(key, _)| key.starts_with(prefix)).collect();
        // Each removed row may hide one of the base's, so that many more are asked for.
        let hidden_max = changed.iter().filter(|(_, change)| change.is_none()).count();
        let base = self.base.scan(prefix, after, limit.saturating_add(hidden_max))?;
        let mut merged: Changes = base.into_iter().map(|(key, value)| (key, Some(value))).collect();
        merged.extend(changed.into_iter().map(|(key, change)| (key.clone(), change.clone())));
        let present = merged.into_iter().filter_map(|(key, change)| change.map(|value| (key, value)));
        Ok(present.take(limit).collect())
    }

    fn sealer(&self) -> Option<&Sealer> {
        self.base.sealer()
    }

    fn is_unstored(&self, key: &Key) -> bool {
        self.changes.contains_key(key)
    }

    fn scan_back(&self, prefix: &Key, before: Option<&Key>, limit: usize) -> RowResult<Vec<Row>> {
        let end = end_of(prefix, before);
        let behind = self.changes.range::<Key, _>(..&*end).rev();
        let changed: Vec<_> = behind.take_while(|(key, _)| key.starts_with(prefix)).collect();
        let hidden_max = changed.iter().filter(|(_, change)| change.is_none()).count();
        let base = self.base.scan_back(prefix, before, limit.saturating_add(hidden_max))?;
        let mut merged: Changes = base.into_iter().map(|(key, value)| (key, Some(value))).collect();
        merged.extend(changed.into_iter().map(|(key, change)| (key.clone(), change.clone())));
        let present = merged.into_iter().rev().filter_map(|(key, change)| change.map(|value| (key, value)));
        Ok(present.take(limit).collect())
    }
}

#[cfg(test)]
mod tests {
    use tocsin_model::{TransactionId, UnixMs};

    use super::*;
    use crate::envelope::Expiry;
    use crate::record::EmptyRecord;

    fn place(deadline: u64) -> Key {
        Key::open(UnixMs::new(deadline), &TransactionId::from_bytes([0; 16]))
    }

    fn deadlines(rows: Vec<Row>) -> Vec<u64> {
        rows.iter().filter_map(|(key, _)| key.as_open()).map(|(deadline, _)| deadline.get()).collect()
    }

    fn overlay(base: &BTreeMap<Key, Vec<u8>>) -> Overlay<'_> {
        let mut overlay = Overlay::new(base);
        let mut batch = Batch::default();
        batch.delete(place(1));
        batch.put(place(2), Expiry::Never, &EmptyRecord {});
        batch.put(place(4), Expiry::Never, &EmptyRecord {});
        overlay.apply(batch);
        overlay
    }

    fn base() -> BTreeMap<Key, Vec<u8>> {
        [1, 3, 5].into_iter().map(|deadline| (place(deadline), vec![])).collect()
    }

    #[test]
    fn a_scan_merges_what_is_stored_with_what_will_be() {
        let base = base();
        let overlay = overlay(&base);
        let scan = |after: Option<u64>, limit| {
            deadlines(overlay.scan(&Key::all_open(), after.map(place).as_ref(), limit).expect("in memory"))
        };
        assert_eq!(scan(None, 10), [2, 3, 4, 5]);
        assert_eq!(scan(None, 2), [2, 3]);
        assert_eq!(scan(Some(3), 10), [4, 5]);
    }

    #[test]
    fn a_scan_back_does_the_same_from_the_end() {
        let base = base();
        let overlay = overlay(&base);
        let scan = |before: Option<u64>, limit| {
            deadlines(
                overlay.scan_back(&Key::all_open(), before.map(place).as_ref(), limit).expect("in memory"),
            )
        };
        assert_eq!(scan(None, 10), [5, 4, 3, 2]);
        assert_eq!(scan(None, 2), [5, 4]);
        assert_eq!(scan(Some(4), 10), [3, 2]);
        assert_eq!(scan(Some(3), 10), [2]);
    }

    #[test]
    fn a_removed_row_is_absent() {
        let base = base();
        let overlay = overlay(&base);
        assert_eq!(overlay.get(&place(1)).expect("in memory"), None);
        assert_eq!(overlay.get(&place(3)).expect("in memory"), Some(vec![]));
    }
}
