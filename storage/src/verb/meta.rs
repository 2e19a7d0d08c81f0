//! The deployment's own small values.

use super::batch::Batch;
use super::rows::RowResult;
use super::table::Table;
use crate::envelope::Expiry;
use crate::key::Key;
use crate::record::MetaRecord;
use crate::store::MetaKey;

/// Keeps a value unless there is one; answers with the one that stands.
pub(crate) fn keep(table: &Table<'_>, key: MetaKey, value: &[u8], batch: &mut Batch) -> RowResult<Vec<u8>> {
    if let Some(stands) = kept(table, key)? {
        return Ok(stands);
    }
    batch.put(Key::meta(key), Expiry::Never, &MetaRecord { value: value.to_vec() });
    Ok(value.to_vec())
}

/// The value that stands.
pub(crate) fn kept(table: &Table<'_>, key: MetaKey) -> RowResult<Option<Vec<u8>>> {
    Ok(table.record(&Key::meta(key))?.map(|MetaRecord { value }| value))
}
