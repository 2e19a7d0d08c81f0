//! Reads that are more than one look-up.

use std::cmp::Reverse;
use std::sync::Arc;

use tocsin_model::{
    ClientId, Device, DeviceId, EnrollmentId, Idempotency, KeyId, TransactionId, UnixMs, User,
};

use super::idempotency::{self, Seen};
use super::rows::RowResult;
use super::table::Table;
use crate::key::Key;
use crate::record::LinkRecord;
use crate::store::{Created, EnrollmentOpened, OpenIds, OpenPage, TransactionPage, TransactionQuery};

/// Transactions on one page of the open ones, whatever the caller asks for.
const OPEN_PAGE_MAX: usize = 10_000;

/// Live devices of one user that are listed: one an app, and far fewer apps than this.
const LIVE_DEVICES_LISTED_MAX: usize = 1_000;

/// Revoked devices of one user that are listed, those revoked last.
const REVOKED_DEVICES_LISTED_MAX: usize = 100;

/// What a client's idempotency key stands for among its transactions.
pub(crate) fn by_idempotency_key(
    table: &Table<'_>,
    client: &ClientId,
    promise: &Idempotency,
) -> RowResult<Option<Created>> {
    Ok(match idempotency::look(table, client, Some(promise))? {
        Seen::Never => None,
        Seen::Before(id) => Some(Created::Existing(TransactionId::from_bytes(id))),
        Seen::Other => Some(Created::Mismatch),
    })
}

/// What a client's idempotency key stands for among its enrolments.
pub(crate) fn enrollment_by_idempotency_key(
    table: &Table<'_>,
    client: &ClientId,
    promise: &Idempotency,
) -> RowResult<Option<EnrollmentOpened>> {
    Ok(match idempotency::look(table, client, Some(promise))? {
        Seen::Never => None,
        Seen::Before(id) => Some(EnrollmentOpened::Existing(EnrollmentId::from_bytes(id))),
        Seen::Other => Some(EnrollmentOpened::Mismatch),
    })
}

/// One page of the ids of the open transactions.
pub(crate) fn open_ids(
    table: &Table<'_>,
    after: Option<(UnixMs, TransactionId)>,
    limit: usize,
) -> RowResult<OpenIds> {
    let after = after.map(|(expires_at, id)| Key::open(expires_at, &id));
    let (keys, may_have_more) =
        table.keys(&Key::all_open(), after.as_ref(), limit.clamp(1, OPEN_PAGE_MAX))?;
    let ids = keys.iter().filter_map(Key::as_open).map(|(_, id)| id).collect();
    let next = keys.last().filter(|_| may_have_more).and_then(Key::as_open);
    Ok(OpenIds { ids, next })
}

/// One page of the open transactions.
pub(crate) fn open_transactions(
    table: &Table<'_>,
    after: Option<(UnixMs, TransactionId)>,
    limit: usize,
) -> RowResult<OpenPage> {
    let OpenIds { ids, next } = open_ids(table, after, limit)?;
    Ok(OpenPage { transactions: table.transactions(&ids)?, next })
}

/// Rows looked at for one page of a list, so that a filter that fits little holds nobody up: such a page may have
/// fewer items than asked for, or none, and still another behind it.
const LIST_ROWS_MAX: usize = 1_000;

/// Rows taken in one go.
const LIST_STEP: usize = 128;

/// One page of the transactions that a query is for, newest first.
pub(crate) fn transactions(table: &Table<'_>, query: &TransactionQuery) -> RowResult<TransactionPage> {
    let key = |id: &TransactionId| match &query.user {
        Some(user) => Key::transaction_of_user(user, id),
        None => Key::transaction(id),
    };
    let prefix = match &query.user {
        Some(user) => Key::transactions_of_user(user),
        None => Key::transactions(),
    };
    let limit = query.limit.clamp(1, LIST_ROWS_MAX);
    // Ids begin with the time, so that a time is a place in the list.
    let newest = [query.before, query.to.map(TransactionId::first_at)].into_iter().flatten().min();
    let is_too_old = |id: &TransactionId| query.from.is_some_and(|from| id.created_at() < from);
    let (mut page, mut rows_left, mut before) = (TransactionPage::default(), LIST_ROWS_MAX, newest);
    let back = |before: Option<TransactionId>, rows| {
        table.keys_back(&prefix, before.as_ref().map(key).as_ref(), rows)
    };
    while page.transactions.len() < limit && rows_left > 0 {
        let step = LIST_STEP.min(rows_left);
        let keys = back(before, step)?;
        rows_left -= keys.len();
        for (id, is_there) in keys.iter().filter_map(|(key, is_there)| Some((key.trailing_id()?, *is_there)))
        {
            if page.transactions.len() == limit {
                break;
            }
            let id = TransactionId::from_bytes(id);
            if is_too_old(&id) {
                return Ok(page);
            }
            before = Some(id);
            if is_there && let Some(found) = table.transaction(&id)?.filter(|found| query.takes(found)) {
                page.transactions.push(found);
            }
        }
        if keys.len() < step && page.transactions.len() < limit {
            return Ok(page);
        }
    }
    let next = back(before, 1)?.first().and_then(|(key, _)| key.trailing_id()).map(TransactionId::from_bytes);
    let has_more = next.is_some_and(|id| !is_too_old(&id));
    page.next = before.filter(|_| has_more);
    Ok(page)
}

/// The device that has a key of this name, as its own row has it.
pub(crate) fn device_by_kid(table: &Table<'_>, kid: &KeyId) -> RowResult<Option<Arc<Device>>> {
    let Some(LinkRecord { id }) = table.record(&Key::device_by_kid(kid))? else { return Ok(None) };
    let device = table.phone(&DeviceId::from_bytes(id))?;
    Ok(device.filter(|device| device.key_by_kid(kid).is_some()))
}

/// The devices of a user, newest first.
pub(crate) fn devices_of(table: &Table<'_>, user: &User) -> RowResult<Vec<Device>> {
    let mut keys = live_devices(table, user)?;
    keys.extend(table.keys(&Key::revoked_devices(user), None, REVOKED_DEVICES_LISTED_MAX)?.0);
    let mut devices = Vec::with_capacity(keys.len());
    for id in keys.iter().filter_map(Key::trailing_id).map(DeviceId::from_bytes) {
        devices.extend(table.device(&id)?);
    }
    devices.sort_by_key(|device| Reverse((device.created_at, device.id)));
    Ok(devices)
}

/// Those of them that were not removed, newest first, as their own rows have them.
pub(crate) fn phones_of(table: &Table<'_>, user: &User) -> RowResult<Vec<Arc<Device>>> {
    let keys = live_devices(table, user)?;
    let mut phones = Vec::with_capacity(keys.len());
    for id in keys.iter().filter_map(Key::trailing_id).map(DeviceId::from_bytes) {
        phones.extend(table.phone(&id)?);
    }
    phones.sort_by_key(|device| Reverse((device.created_at, device.id)));
    Ok(phones)
}

fn live_devices(table: &Table<'_>, user: &User) -> RowResult<Vec<Key>> {
    Ok(table.keys(&Key::live_devices(user), None, LIVE_DEVICES_LISTED_MAX)?.0)
}
