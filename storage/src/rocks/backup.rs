//! Backups of a running database, and what a restore must go through.

use std::path::Path;

use rocksdb::checkpoint::Checkpoint;
use tocsin_model::{DeviceId, EnrollmentId};

use super::database::Database;
use super::store::RocksStore;
use crate::key::Key;
use crate::{StoreError, StoreErrorKind};

/// Ids that one page holds.
const IDS_PER_PAGE: usize = 1_000;

/// A page of ids, and where the next one starts; `None` at the end.
pub type IdPage<T> = (Vec<T>, Option<T>);

impl RocksStore {
    /// Makes a consistent copy of the database in `folder`, which must not exist, while everything goes on: files
    /// that do not change any more are linked where the disk allows it. Whatever was acknowledged before the call is
    /// in it. Blocks on the disk.
    pub fn checkpoint(&self, folder: &Path) -> Result<(), StoreError> {
        self.database().checkpoint(folder)
    }

    /// Ids of enrolments behind `after`, in the order of the ids. Blocks on the disk.
    pub fn enrollment_ids(&self, after: Option<EnrollmentId>) -> Result<IdPage<EnrollmentId>, StoreError> {
        let after = after.map(|id| Key::enrollment(&id));
        page(self.database(), &Key::enrollments(), after.as_ref(), EnrollmentId::from_bytes)
    }

    /// Ids of devices behind `after`, revoked ones too, in the order of the ids. Blocks on the disk.
    pub fn device_ids(&self, after: Option<DeviceId>) -> Result<IdPage<DeviceId>, StoreError> {
        let after = after.map(|id| Key::device(&id));
        page(self.database(), &Key::devices(), after.as_ref(), DeviceId::from_bytes)
    }
}

fn page<T: Copy>(
    database: &Database,
    prefix: &Key,
    after: Option<&Key>,
    make: fn([u8; 16]) -> T,
) -> Result<IdPage<T>, StoreError> {
    let rows =
        crate::verb::rows::Rows::scan(database, prefix, after, IDS_PER_PAGE).map_err(StoreError::from)?;
    let full = rows.len() == IDS_PER_PAGE;
    let ids: Vec<T> = rows.iter().filter_map(|(key, _)| key.trailing_id()).map(make).collect();
    let next = if full { ids.last().copied() } else { None };
    Ok((ids, next))
}

impl Database {
    fn checkpoint(&self, folder: &Path) -> Result<(), StoreError> {
        let failed = |error: rocksdb::Error| StoreError::new(StoreErrorKind::Io, error.to_string());
        // The log is synced first, so that the copy has all that was answered, whatever the durability.
        self.raw().flush_wal(true).map_err(failed)?;
        Checkpoint::new(self.raw())
            .and_then(|checkpoint| checkpoint.create_checkpoint(folder))
            .map_err(failed)
    }
}
