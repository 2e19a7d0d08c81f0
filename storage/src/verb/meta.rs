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
    let key = Key::meta(key);
    if let Some(MetaRecord { value }) = table.record(&key)? {
        return Ok(value);
    }
    batch.put(key, Expiry::Never, &MetaRecord { value: value.to_vec() });
    Ok(value.to_vec())
}
