//! The bare library: RocksDB write batches of the same rows, each synced, by one thread that waits for nobody.

use std::path::Path;
use std::time::{Duration, Instant};

use rocksdb::{ColumnFamilyDescriptor, DB, DBCompressionType, Options, WriteBatch, WriteOptions};

use crate::group_store::WRITE_BUFFER_BYTES;

/// The families that a create writes to: the record, its place among the open ones, its place among those of its user,
/// and its row of the audit trail.
const FAMILIES: [&str; 4] = ["transaction", "open", "by-user", "audit"];

/// Bytes of the keys of those rows: a kind, and an id, a deadline and an id, the hash of a user and an id, a number.
const KEY_BYTES: [usize; 4] = [2 + 16, 2 + 8 + 16, 2 + 32 + 16, 2 + 8];

/// Bytes of a row that is nothing but a place: an envelope around next to nothing.
const PLACE_BYTES: usize = 13;

/// RocksDB with four families and nothing of ours.
pub struct BareStore {
    db: DB,
    rows: [Vec<u8>; 4],
    written: u64,
}

impl BareStore {
    /// Opens a database under `folder` whose creates have the rows of ours: so many bytes with their keys, of which so
    /// many are not of the audit trail.
    pub fn open(folder: &Path, bytes_per_create: usize, bytes_without_audit: usize) -> Self {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_max_background_jobs(2);
        let families = FAMILIES.map(|name| ColumnFamilyDescriptor::new(name, family_options()));
        let db = DB::open_cf_descriptors(&options, folder, families).expect("a fresh folder can be opened");
        let [record_key, open_key, list_key, audit_key] = KEY_BYTES;
        let record = bytes_without_audit - record_key - open_key - list_key - 2 * PLACE_BYTES;
        let audit = bytes_per_create - bytes_without_audit - audit_key;
        let rows = [record, PLACE_BYTES, PLACE_BYTES, audit]
            .map(|bytes| (0..=u8::MAX).cycle().take(bytes).collect());
        Self { db, rows, written: 0 }
    }

    /// The time of `creates` durable creates in synced batches of up to `batch`.
    pub fn create(&mut self, creates: u64, batch: u64) -> Duration {
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        let began = Instant::now();
        let mut left = creates;
        while left > 0 {
            let size = left.min(batch.max(1));
            let filled = self.fill(size);
            self.db.write_opt(filled, &synced).expect("the disk takes it");
            left -= size;
        }
        began.elapsed()
    }

    fn fill(&mut self, creates: u64) -> WriteBatch {
        let families = FAMILIES.map(|name| self.db.cf_handle(name).expect("it was opened"));
        let mut filled = WriteBatch::default();
        for _ in 0..creates {
            self.written += 1;
            let keys = keys(self.written);
            for ((family, key), row) in families.iter().zip(&keys).zip(&self.rows) {
                filled.put_cf(family, key, row);
            }
        }
        filled
    }
}

fn family_options() -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(WRITE_BUFFER_BYTES / 2);
    options.set_compression_type(DBCompressionType::Lz4);
    options
}

/// Keys as ours are: ids begin with the time, a hundred with the same, in no order among themselves; the deadline of
/// an open one is its time again, all are of one user, and rows of the audit trail are numbered.
fn keys(number: u64) -> [Vec<u8>; 4] {
    let time = (number / 100).to_be_bytes();
    let id = [time, number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()].concat();
    let [kind, user] = [&[0; 2][..], &[7; 32]];
    [
        [kind, &id].concat(),
        [kind, &time, &id].concat(),
        [kind, user, &id].concat(),
        [kind, &number.to_be_bytes()].concat(),
    ]
}
