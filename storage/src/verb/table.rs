//! Typed look-ups over rows: opens envelopes, hides what has expired, names what is corrupt.

use std::cell::RefCell;
use std::sync::Arc;

use minicbor::Decode;
use tocsin_model::{
    ActivationCodeHash, Callback, Device, DeviceId, DurationMs, Enrollment, EnrollmentId, KeptChallenge,
    Pseudonym, Transaction, TransactionId, UnixMs, User, UserProfile,
};

use zeroize::Zeroizing;

use super::rows::{RowResult, Rows, Value};
use crate::envelope;
use crate::key::Key;
use crate::record::{
    AuditRecord, CallbackRecord, DeviceRecord, EnrollmentRecord, KeptChallengeRecord, LinkRecord, Malformed,
    MarksRecord, NameRecord, ProfileRecord, TransactionHead, TransactionRecord, UsedRecord, UserRecord,
    UserRow, from_payload,
};
use crate::sealing::MasterKeyId;
use crate::store::CallbackList;
use crate::{StoreError, StoreErrorKind};

/// Rows taken in one go behind those of which some had expired.
const EXPIRED_STEP: usize = 128;

/// Expired rows that one look passes by, in steps: the writer looks too, and holds everybody up meanwhile. They go in
/// the background, and only a user with as many unconfirmed phones has so many.
const EXPIRED_ROWS_PASSED_MAX: usize = 10_000;

/// How long rows are kept after their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// A final transaction.
    pub transaction: DurationMs,
    /// An ended enrolment and a revoked device.
    pub enrollment: DurationMs,
    /// A row of the audit trail, and for at least as long whom it tells of.
    pub audit: DurationMs,
}

/// Rows at a moment.
pub(crate) struct Table<'r> {
    rows: &'r dyn Rows,
    /// The user that was read last: a verb looks at how he stands, and the audit trail at how it names him.
    last_user: RefCell<Option<(User, Option<UserRow>)>>,
    /// The moment that expiry is judged by.
    pub(crate) now: UnixMs,
    /// How long rows are kept.
    pub(crate) retention: Retention,
}

/// The error of a row that cannot be read.
pub(crate) fn corrupt(key: &Key, what: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Corrupt,
        format!(
            "row {key}: {what}; stop the server, keep a copy of the database's folder, check the disk, and restore \
             the last backup"
        ),
    )
}

/// What nobody can say yet: what stands behind must not be taken for absent.
fn too_many_expired(prefix: &Key) -> StoreError {
    StoreError::new(
        StoreErrorKind::Busy,
        format!("too many expired rows below {prefix}; they are being cleared away"),
    )
}

/// Lays marks on a pending transaction, unless its record is newer.
fn lay_on(pending: &mut Transaction, marks: MarksRecord) -> RowResult<()> {
    if pending.revision < marks.revision {
        let key = Key::transaction_marks(&pending.id);
        marks.lay_on(pending).map_err(|Malformed(what)| corrupt(&key, what))?;
    }
    Ok(())
}

/// A device with the time of its last answer.
fn with_use(mut device: Device, used: Option<UsedRecord>) -> Device {
    if let Some(UsedRecord { at_ms }) = used {
        device.last_used_at = device.last_used_at.max(UnixMs::new(at_ms));
    }
    device
}

impl<'r> Table<'r> {
    pub(crate) const fn new(rows: &'r dyn Rows, now: UnixMs, retention: Retention) -> Self {
        Self { rows, last_user: RefCell::new(None), now, retention }
    }

    /// Reads the row under `key`; `read` gets its payload.
    pub(crate) fn read<T>(
        &self,
        key: &Key,
        read: impl FnOnce(&[u8]) -> Result<T, Malformed>,
    ) -> RowResult<Option<T>> {
        match self.rows.get(key)? {
            Some(row) => self.open(key, &row, read),
            None => Ok(None),
        }
    }

    /// The same for a row that is read more often than it changes: all who read it while it is kept in memory share what
    /// the first one has read.
    fn shared<T: Send + Sync + 'static>(
        &self,
        key: &Key,
        read: impl FnOnce(&[u8]) -> Result<T, Malformed>,
    ) -> RowResult<Option<Arc<T>>> {
        let Some(row) = self.rows.get(key)? else { return Ok(None) };
        let Value::Kept(kept) = &row else { return Ok(self.open(key, &row, read)?.map(Arc::new)) };
        if let Some(known) = kept.read() {
            return Ok(Some(known).filter(|_| !self.is_over(&row)));
        }
        let read = self.open(key, &row, read)?.map(Arc::new);
        if let Some(read) = &read {
            kept.keep(Arc::clone(read));
        }
        Ok(read)
    }

    fn is_over(&self, row: &[u8]) -> bool {
        envelope::expiry(row).is_some_and(|expiry| expiry.is_over(self.now))
    }

    fn open<T>(
        &self,
        key: &Key,
        row: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T, Malformed>,
    ) -> RowResult<Option<T>> {
        if self.is_over(row) {
            return Ok(None);
        }
        let record = match envelope::sealed_by(row).map_err(|what| corrupt(key, what))? {
            None => read(self.plain(key, row)?),
            Some(id) => read(&self.unsealed(id, key, row)?),
        };
        Ok(Some(record.map_err(|Malformed(what)| corrupt(key, what))?))
    }

    /// Where rows are sealed, a stored one that is not was put there by somebody else.
    fn plain<'p>(&self, key: &Key, row: &'p [u8]) -> RowResult<&'p [u8]> {
        if self.rows.sealer().is_some() && key.is_sealed_kind() && !self.rows.is_unstored(key) {
            return Err(corrupt(key, "it is not sealed, and all of its kind are").into());
        }
        Ok(envelope::payload(row).map_err(|what| corrupt(key, what))?)
    }

    fn unsealed(&self, id: MasterKeyId, key: &Key, row: &[u8]) -> RowResult<Zeroizing<Vec<u8>>> {
        let Some(sealer) = self.rows.sealer() else {
            return Err(corrupt(key, "it is sealed, and there is no master key").into());
        };
        Ok(sealer.open_row(id, key, row).map_err(|error| corrupt(key, &error.to_string()))?)
    }

    /// Reads the row under `key` into a record that borrows nothing.
    pub(crate) fn record<R: for<'b> Decode<'b, ()>>(&self, key: &Key) -> RowResult<Option<R>> {
        self.read(key, |payload| from_payload(payload))
    }

    /// The first `limit` keys that begin with `prefix` and come behind `after`, of rows that have not expired.
    /// The flag says whether there may be more.
    pub(crate) fn keys(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> RowResult<(Vec<Key>, bool)> {
        let (mut keys, mut behind, mut expired) = (Vec::new(), after.cloned(), 0);
        let mut step = limit;
        while keys.len() < limit {
            let rows = self.rows.scan(prefix, behind.as_ref(), step)?;
            let is_end = rows.len() < step;
            for (key, row) in rows {
                behind = Some(key.clone());
                match self.open(&key, &row, |_| Ok(()))? {
                    Some(()) if keys.len() < limit => keys.push(key),
                    Some(()) => return Ok((keys, true)),
                    None => expired += 1,
                }
            }
            if is_end {
                return Ok((keys, false));
            }
            if expired > EXPIRED_ROWS_PASSED_MAX {
                return Err(too_many_expired(prefix).into());
            }
            step = (limit - keys.len()).max(EXPIRED_STEP);
        }
        Ok((keys, true))
    }

    /// The rows of the audit trail behind the one numbered `after`, at most `limit`.
    pub(crate) fn audit_rows(&self, after: u64, limit: usize) -> RowResult<Vec<(u64, AuditRecord)>> {
        let mut rows = Vec::new();
        for (key, row) in self.rows.scan(&Key::audit_rows(), Some(&Key::audit(after)), limit)? {
            let number = key.as_audit().ok_or_else(|| corrupt(&key, "its key has not eight bytes"))?;
            rows.extend(self.open(&key, &row, |payload| from_payload(payload))?.map(|row| (number, row)));
        }
        Ok(rows)
    }

    /// The last keys that begin with `prefix` and come before `before`, newest first, each with whether its row has
    /// not expired. Fewer than `limit` are all there are.
    pub(crate) fn keys_back(
        &self,
        prefix: &Key,
        before: Option<&Key>,
        limit: usize,
    ) -> RowResult<Vec<(Key, bool)>> {
        let rows = self.rows.scan_back(prefix, before, limit)?;
        let looked_at = rows.into_iter().map(|(key, row)| {
            let is_there = self.open(&key, &row, |_| Ok(()))?.is_some();
            Ok((key, is_there))
        });
        looked_at.collect()
    }

    /// A transaction, while it is pending with the marks of its pushes, which stand in a row of their own.
    pub(crate) fn transaction(&self, id: &TransactionId) -> RowResult<Option<Transaction>> {
        let found = self.read(&Key::transaction(id), |payload| {
            from_payload::<TransactionRecord<'_>>(payload)?.into_model(*id)
        })?;
        match found {
            Some(pending) if !pending.state.is_final() => self.with_marks(pending).map(Some),
            found => Ok(found),
        }
    }

    fn with_marks(&self, mut pending: Transaction) -> RowResult<Transaction> {
        if let Some(marks) = self.transaction_marks(&pending.id)? {
            lay_on(&mut pending, marks)?;
        }
        Ok(pending)
    }

    /// The same of many, in the order of `ids`: all rows of a kind are read in one go, in the order in which they are stored.
    pub(crate) fn transactions(&self, ids: &[TransactionId]) -> RowResult<Vec<Transaction>> {
        let mut places: Vec<usize> = (0..ids.len()).collect();
        // As numbers, which compare faster than bytes.
        places.sort_unstable_by_key(|place| u128::from_be_bytes(*ids[*place].as_bytes()));
        let mut found: Vec<Option<Transaction>> = ids.iter().map(|_| None).collect();
        let keys: Vec<Key> = places.iter().map(|place| Key::transaction(&ids[*place])).collect();
        for ((place, key), row) in places.iter().zip(&keys).zip(self.rows.gather(&keys)?) {
            let Some(row) = row else { continue };
            let read =
                |payload: &[u8]| from_payload::<TransactionRecord<'_>>(payload)?.into_model(ids[*place]);
            found[*place] = self.open(key, &row, read)?;
        }
        let keys: Vec<Key> = places.iter().map(|place| Key::transaction_marks(&ids[*place])).collect();
        for ((place, key), row) in places.iter().zip(&keys).zip(self.rows.gather(&keys)?) {
            let pending = found[*place].as_mut().filter(|found| !found.state.is_final());
            if let (Some(row), Some(pending)) = (row, pending)
                && let Some(marks) = self.open(key, &row, |payload| from_payload(payload))?
            {
                lay_on(pending, marks)?;
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// The stored marks of a transaction; they may be older than its record.
    pub(crate) fn transaction_marks(&self, id: &TransactionId) -> RowResult<Option<MarksRecord>> {
        self.record(&Key::transaction_marks(id))
    }

    pub(crate) fn transaction_head(&self, id: &TransactionId) -> RowResult<Option<TransactionHead>> {
        self.record(&Key::transaction(id))
    }

    /// A challenge as it left for one phone.
    pub(crate) fn kept_challenge(
        &self,
        id: &TransactionId,
        device_id: &DeviceId,
    ) -> RowResult<Option<KeptChallenge>> {
        self.read(&Key::kept_challenge(id, device_id), |payload| {
            from_payload::<KeptChallengeRecord<'_>>(payload)?.into_model()
        })
    }

    /// A callback that is owed or dead.
    pub(crate) fn callback(&self, list: CallbackList, id: &TransactionId) -> RowResult<Option<Callback>> {
        self.read(&Key::callback(list, id), |payload| {
            from_payload::<CallbackRecord<'_>>(payload)?.into_model(*id)
        })
    }

    /// A device with the time of its last answer, which stands in a row of its own.
    pub(crate) fn device(&self, id: &DeviceId) -> RowResult<Option<Device>> {
        let Some(device) = self.phone(id)? else { return Ok(None) };
        Ok(Some(with_use(Arc::unwrap_or_clone(device), self.record(&Key::device_used(id))?)))
    }

    /// A device as its own row has it, which does not tell all of its answers.
    pub(crate) fn phone(&self, id: &DeviceId) -> RowResult<Option<Arc<Device>>> {
        self.shared(&Key::device(id), |payload| from_payload::<DeviceRecord<'_>>(payload)?.into_model(*id))
    }

    /// The same of many, in the order of their ids: all rows of a kind are read in one go.
    pub(crate) fn devices(&self, ids: &[DeviceId]) -> RowResult<Vec<Device>> {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let keys = ids.iter().map(Key::device).collect::<Vec<_>>();
        let used_keys = ids.iter().map(Key::device_used).collect::<Vec<_>>();
        let (rows, used_rows) = (self.rows.gather(&keys)?, self.rows.gather(&used_keys)?);
        let mut devices = Vec::with_capacity(ids.len());
        for (((id, key), row), (used_key, used_row)) in
            ids.iter().zip(&keys).zip(rows).zip(used_keys.iter().zip(used_rows))
        {
            let read = |payload: &[u8]| from_payload::<DeviceRecord<'_>>(payload)?.into_model(*id);
            let device = row.map(|row| self.open(key, &row, read)).transpose()?.flatten();
            let used = used_row.map(|row| self.open(used_key, &row, |payload| from_payload(payload)));
            let used = used.transpose()?.flatten();
            devices.extend(device.map(|device| with_use(device, used)));
        }
        Ok(devices)
    }

    /// How a user stands and is named; `None` where nothing is known of him.
    pub(crate) fn user(&self, user: &User) -> RowResult<Option<UserRow>> {
        if let Some((last, row)) = &*self.last_user.borrow()
            && last == user
        {
            return Ok(row.clone());
        }
        let row = self.read(&Key::user(user), |payload| from_payload::<UserRecord>(payload)?.into_model())?;
        self.last_user.replace(Some((user.clone(), row.clone())));
        Ok(row)
    }

    /// What a portal keeps of a user.
    pub(crate) fn profile(&self, user: &User) -> RowResult<Option<UserProfile>> {
        self.read(&Key::profile(user), |payload| from_payload::<ProfileRecord>(payload)?.into_model())
    }

    /// Whom a pseudonym stands for; `None` once he was erased.
    pub(crate) fn named_by(&self, pseudonym: &Pseudonym) -> RowResult<Option<User>> {
        self.read(&Key::pseudonym(pseudonym), |payload| from_payload::<NameRecord<'_>>(payload)?.to_model())
    }

    pub(crate) fn enrollment(&self, id: &EnrollmentId) -> RowResult<Option<Enrollment>> {
        self.read(&Key::enrollment(id), |payload| {
            from_payload::<EnrollmentRecord<'_>>(payload)?.into_model(*id)
        })
    }

    pub(crate) fn enrollment_by_code(&self, hash: &ActivationCodeHash) -> RowResult<Option<Enrollment>> {
        let Some(LinkRecord { id }) = self.record(&Key::enrollment_by_code(hash))? else { return Ok(None) };
        self.enrollment(&EnrollmentId::from_bytes(id))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::verb::rows::{KeptRow, Row, RowFault};

    const RETENTION: Retention = Retention {
        transaction: DurationMs::from_seconds(1),
        enrollment: DurationMs::from_seconds(1),
        audit: DurationMs::from_seconds(1),
    };

    fn read(row: &[u8]) -> RowResult<Option<Transaction>> {
        let id = TransactionId::from_bytes([1; 16]);
        let rows = BTreeMap::from([(Key::transaction(&id), row.to_vec())]);
        Table::new(&rows, UnixMs::new(5), RETENTION).transaction(&id)
    }

    #[test]
    fn a_row_that_cannot_be_read_is_corrupt_and_says_what_to_do() {
        let never = envelope::begin(envelope::Expiry::Never, 0);
        let with_garbage = [never.clone(), vec![0xff]].concat();
        for row in [&[][..], &[1, 2, 3], &never, &with_garbage] {
            let Err(RowFault::Failed(error)) = read(row) else { panic!("{row:?} was read") };
            assert_eq!(error.kind(), StoreErrorKind::Corrupt);
            assert!(error.to_string().contains("transaction/0101"), "{error}");
            assert!(error.to_string().contains("restore the last backup"), "{error}");
        }
    }

    fn place(number: u64) -> Key {
        Key::open(UnixMs::new(number), &TransactionId::from_bytes([1; 16]))
    }

    /// So many places of which all but those numbered in `live` have expired.
    fn places(count: u64, live: &[u64]) -> BTreeMap<Key, Vec<u8>> {
        let expiry = |number| match live.contains(&number) {
            true => envelope::Expiry::Never,
            false => envelope::Expiry::At(UnixMs::new(5)),
        };
        (0..count).map(|number| (place(number), envelope::begin(expiry(number), 0))).collect()
    }

    fn keys(rows: &BTreeMap<Key, Vec<u8>>, after: Option<u64>, limit: usize) -> RowResult<(Vec<Key>, bool)> {
        Table::new(rows, UnixMs::new(5), RETENTION).keys(&Key::all_open(), after.map(place).as_ref(), limit)
    }

    #[test]
    fn what_stands_behind_expired_rows_is_found() {
        let rows = places(1_000, &[300, 700, 701]);
        for (after, limit, found) in [
            (None, 1, (vec![place(300)], true)),
            (None, 2, (vec![place(300), place(700)], true)),
            (Some(300), 2, (vec![place(700), place(701)], true)),
            (None, 4, (vec![place(300), place(700), place(701)], false)),
            (Some(701), 1, (Vec::new(), false)),
        ] {
            assert_eq!(keys(&rows, after, limit).expect("looked"), found, "{limit} behind {after:?}");
        }
    }

    #[test]
    fn no_look_passes_too_many_expired_rows_or_takes_what_is_behind_them_for_absent() {
        let count = u64::try_from(EXPIRED_ROWS_PASSED_MAX).expect("fits");
        let last_passed = places(count + 1, &[count]);
        assert_eq!(keys(&last_passed, None, 1).expect("looked").0, [place(count)]);
        let far = count + 1_000;
        let Err(RowFault::Failed(error)) = keys(&places(far + 1, &[far]), None, 1) else { panic!("passed") };
        assert_eq!(error.kind(), StoreErrorKind::Busy);
    }

    /// One row that is kept in memory.
    struct OneKept(Arc<KeptRow>);

    impl Rows for OneKept {
        fn get(&self, _: &Key) -> RowResult<Option<Value>> {
            Ok(Some(Value::Kept(Arc::clone(&self.0))))
        }

        fn scan(&self, _: &Key, _: Option<&Key>, _: usize) -> RowResult<Vec<Row>> {
            Ok(Vec::new())
        }

        fn scan_back(&self, _: &Key, _: Option<&Key>, _: usize) -> RowResult<Vec<Row>> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn a_kept_row_is_read_once_and_is_absent_once_it_has_expired() {
        let rows = OneKept(Arc::new(KeptRow::new(&envelope::begin(envelope::Expiry::At(UnixMs::new(5)), 0))));
        let times_read = std::cell::Cell::new(0);
        let shared = |now| {
            let read = |payload: &[u8]| {
                times_read.set(times_read.get() + 1);
                Ok(payload.len())
            };
            Table::new(&rows, UnixMs::new(now), RETENTION).shared(&place(1), read).expect("in memory")
        };
        let (first, second) = (shared(3).expect("there"), shared(4).expect("there"));
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(times_read.get(), 1);
        assert_eq!(shared(5), None);
    }

    #[test]
    fn an_expired_row_is_absent_even_when_it_is_damaged() {
        let row = envelope::begin(envelope::Expiry::At(UnixMs::new(5)), 0);
        assert!(matches!(read(&row), Ok(None)));
    }
}
