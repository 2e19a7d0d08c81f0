//! Rows with changes on top that are not stored yet.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use super::batch::Batch;
use super::rows::{Row, RowResult, Rows, Value, end_of};
use crate::key::{Family, Key};
use crate::sealing::Sealer;

/// A row's key with its new value; `None` removes it.
type Change = (Key, Option<Vec<u8>>);

/// The changed rows of a group, each once, the last change of it; `None` is a removed row. Hardly any verb needs them in
/// an order, and all look for single ones. Only what is written comes here, under ids and kids that we draw, numbers,
/// hashes, and names of the configuration, so nobody chooses which ones meet: a fast hash will do.
pub(crate) type Changes = HashMap<Key, Option<Vec<u8>>, foldhash::fast::RandomState>;

/// What the table will be once the group is committed.
pub(crate) struct Overlay<'r, C = Changes> {
    base: &'r dyn Rows,
    changes: C,
    /// The keys of the changes in their order, of each family that was scanned.
    ordered: RefCell<BTreeMap<Family, BTreeSet<Key>>>,
}

/// Bytes of changed and appended rows with their keys.
pub(crate) fn bytes_of(changes: &Changes, appended: &[(Key, Vec<u8>)]) -> usize {
    let changed = changes.iter().map(|(key, row)| (key, row.as_ref().map_or(0, Vec::len)));
    let appended = appended.iter().map(|(key, row)| (key, row.len()));
    changed.chain(appended).map(|(key, bytes)| key.bytes().len() + bytes).sum()
}

impl<'r> Overlay<'r> {
    /// No changes on top of `base`.
    pub(crate) fn new(base: &'r dyn Rows) -> Self {
        Self { base, changes: Changes::default(), ordered: RefCell::default() }
    }

    /// Lays the changes of one verb on top.
    pub(crate) fn apply(&mut self, batch: Batch) {
        let ordered = self.ordered.get_mut();
        for (key, change) in batch.into_changes() {
            if let Some(keys) = ordered.get_mut(&key.family()) {
                keys.insert(key.clone());
            }
            self.changes.insert(key, change);
        }
    }

    /// The changes to commit.
    pub(crate) fn into_changes(self) -> Changes {
        self.changes
    }
}

#[cfg(any(feature = "rocks", test))]
impl<'r, C: Borrow<Changes>> Overlay<'r, C> {
    /// These changes on top of `base`.
    pub(crate) fn over(base: &'r dyn Rows, changes: C) -> Self {
        Self { base, changes, ordered: RefCell::default() }
    }
}

impl<C: Borrow<Changes>> Overlay<'_, C> {
    /// Asks `question` of the keys of the changes in this family, in their order.
    fn with_ordered<T>(&self, family: Family, question: impl FnOnce(&BTreeSet<Key>) -> T) -> T {
        let mut ordered = self.ordered.borrow_mut();
        let keys = self.changes.borrow().keys();
        question(
            ordered
                .entry(family)
                .or_insert_with(|| keys.filter(|key| key.family() == family).cloned().collect()),
        )
    }

    /// These keys with their changes; and how many rows of the base those may hide.
    fn changed<'k>(&self, keys: impl Iterator<Item = &'k Key>) -> (Vec<Change>, usize) {
        let changes = self.changes.borrow();
        let changed: Vec<_> = keys.map(|key| (key.clone(), changes.get(key).cloned().flatten())).collect();
        let hidden_max = changed.iter().filter(|(_, change)| change.is_none()).count();
        (changed, hidden_max)
    }
}

/// Changes laid over the rows that they may hide.
fn merged(base: Vec<Row>, changed: Vec<Change>) -> BTreeMap<Key, Option<Vec<u8>>> {
    base.into_iter().map(|(key, value)| (key, Some(value))).chain(changed).collect()
}

impl<C: Borrow<Changes>> Rows for Overlay<'_, C> {
    fn get(&self, key: &Key) -> RowResult<Option<Value>> {
        match self.changes.borrow().get(key) {
            Some(change) => Ok(change.clone().map(Value::Own)),
            None => self.base.get(key),
        }
    }

    fn scan(&self, prefix: &Key, after: Option<&Key>, limit: usize) -> RowResult<Vec<Row>> {
        let start = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let (changed, hidden_max) = self.with_ordered(prefix.family(), |keys| {
            let ahead = keys.range::<Key, _>((start, Bound::Unbounded));
            self.changed(ahead.take_while(|key| key.starts_with(prefix)))
        });
        let base = self.base.scan(prefix, after, limit.saturating_add(hidden_max))?;
        let present = merged(base, changed).into_iter().filter_map(|(key, change)| Some((key, change?)));
        Ok(present.take(limit).collect())
    }

    fn sealer(&self) -> Option<&Sealer> {
        self.base.sealer()
    }

    fn is_unstored(&self, key: &Key) -> bool {
        self.changes.borrow().contains_key(key) || self.base.is_unstored(key)
    }

    fn scan_back(&self, prefix: &Key, before: Option<&Key>, limit: usize) -> RowResult<Vec<Row>> {
        let end = end_of(prefix, before);
        let (changed, hidden_max) = self.with_ordered(prefix.family(), |keys| {
            let behind = keys.range::<Key, _>(..&*end).rev();
            self.changed(behind.take_while(|key| key.starts_with(prefix)))
        });
        let base = self.base.scan_back(prefix, before, limit.saturating_add(hidden_max))?;
        let present =
            merged(base, changed).into_iter().rev().filter_map(|(key, change)| Some((key, change?)));
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
    fn changes_lie_on_changes_that_are_not_stored_either() {
        let base = base();
        let below = Overlay::over(&base, overlay(&base).into_changes());
        let mut above = Overlay::new(&below);
        let mut batch = Batch::default();
        batch.delete(place(2));
        batch.put(place(1), Expiry::Never, &EmptyRecord {});
        above.apply(batch);
        let scanned = above.scan(&Key::all_open(), None, 3).expect("in memory");
        assert_eq!(deadlines(scanned), [1, 3, 4]);
        let scanned = above.scan_back(&Key::all_open(), Some(&place(4)), 2).expect("in memory");
        assert_eq!(deadlines(scanned), [3, 1]);
        assert_eq!(above.get(&place(2)).expect("in memory").as_deref(), None);
        let unstored = [1, 2, 3, 4, 5].map(|deadline| above.is_unstored(&place(deadline)));
        assert_eq!(unstored, [true, true, false, true, false]);
    }

    #[test]
    fn a_removed_row_is_absent() {
        let base = base();
        let overlay = overlay(&base);
        assert_eq!(overlay.get(&place(1)).expect("in memory").as_deref(), None);
        assert_eq!(overlay.get(&place(3)).expect("in memory").as_deref(), Some(&[][..]));
    }
}
