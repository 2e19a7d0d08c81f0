//! The deployment's own small values.

use tocsin_model::ProviderName;

use super::batch::Batch;
use super::rows::RowResult;
use super::table::Table;
use crate::envelope::Expiry;
use crate::key::Key;
use crate::record::{MetaRecord, ProviderTokenRecord};
use crate::store::{KeptProviderToken, MetaKey};

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

/// Keeps a provider's token until it expires.
pub(crate) fn keep_provider_token(provider: &ProviderName, token: &KeptProviderToken, batch: &mut Batch) {
    let record = ProviderTokenRecord::new(token);
    batch.put(Key::provider_token(provider), Expiry::At(token.expires_at), &record);
}

/// The token that was kept last.
pub(crate) fn provider_token(
    table: &Table<'_>,
    provider: &ProviderName,
) -> RowResult<Option<KeptProviderToken>> {
    let record: Option<ProviderTokenRecord> = table.record(&Key::provider_token(provider))?;
    Ok(record.map(ProviderTokenRecord::into_model))
}
