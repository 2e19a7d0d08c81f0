//! The bare library: RocksDB write batches of the same rows, each synced, by one thread that waits for nobody.

use std::path::Path;
use std::time::{Duration, Instant};

use rocksdb::{ColumnFamilyDescriptor, DB, DBCompressionType, Options, WriteBatch, WriteOptions};

use crate::group_store::WRITE_BUFFER_BYTES;

/// The families that a create writes to: the record, and its place among the open ones.
const FAMILIES: [&str; 2] = ["transaction", "open"];

/// Bytes of a record's key: its kind and its id.
const RECORD_KEY_BYTES: usize = 2 + 16;

/// Bytes of an open row's key: its kind, its deadline and its id.
const OPEN_KEY_BYTES: usize = 2 + 8 + 16;

/// Bytes of an open row: an envelope around next to nothing.
const OPEN_ROW_BYTES: usize = 5;

/// RocksDB with two families and nothing of ours.
pub struct BareStore {
    db: DB,
    record: Vec<u8>,
    written: u64,
}

impl BareStore {
    /// Opens a database under `folder` whose creates are as large as ours.
    pub fn open(folder: &Path, bytes_per_create: usize) -> Self {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_max_background_jobs(2);
        let families = FAMILIES.map(|name| ColumnFamilyDescriptor::new(name, family_options()));
        let db = DB::open_cf_descriptors(&options, folder, families).expect("a fresh folder can be opened");
        let others = RECORD_KEY_BYTES + OPEN_KEY_BYTES + OPEN_ROW_BYTES;
        let record = (0_u8..=u8::MAX).cycle().take(bytes_per_create.saturating_sub(others)).collect();
        Self { db, record, written: 0 }
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
            filled.put_cf(families[0], key::<RECORD_KEY_BYTES>(self.written), &self.record);
            filled.put_cf(families[1], key::<OPEN_KEY_BYTES>(self.written), [0; OPEN_ROW_BYTES]);
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

/// A key that begins as ids do: a hundred with the same time, in no order among themselves.
fn key<const BYTES: usize>(number: u64) -> [u8; BYTES] {
    let mut key = [0; BYTES];
    key[2..10].copy_from_slice(&(number / 100).to_be_bytes());
    key[BYTES - 8..].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key
}
