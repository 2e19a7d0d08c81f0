//! What nobody waits for: watching the free space, compactions, and sweeping out transactions whose retention is over.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;
use tocsin_model::{TransactionId, UnixMs};

use super::database::Database;
use super::queue::Queue;
use crate::StoreError;
use crate::clock::Clock;
use crate::envelope;
use crate::key::Key;

/// How often the free space is looked at.
const DISK_SAMPLED_EVERY: Duration = Duration::from_secs(1);

/// How often expired transactions are swept.
const SWEPT_EVERY: Duration = Duration::from_secs(600);

/// How long after the opening compactions begin: first a restart reads what was open, and wants the processors for that.
const COMPACTIONS_BEGIN_AFTER: Duration = Duration::from_secs(10);

/// With more files than that in one family compactions begin at once: a process that again and again ends before its start is
/// over would leave more and more of them. A busy server has fewer, as it compacts from four on.
const FILES_WAITING_MAX: u64 = 24;

/// Rows that one sweep looks at; the next goes on from there, since the swept ones are gone.
const ROWS_PER_SWEEP_MAX: usize = 1_000_000;

/// Whether the disk is nearly full.
pub(super) struct Disk {
    folder: PathBuf,
    free_min_bytes: u64,
    is_low: AtomicBool,
}

impl Disk {
    /// Looks at the disk for the first time.
    pub(super) fn new(folder: PathBuf, free_min_bytes: u64) -> Self {
        let disk = Self { folder, free_min_bytes, is_low: AtomicBool::new(false) };
        disk.sample();
        disk
    }

    /// Whether less is free than configured, as of the last look.
    pub(super) fn is_low(&self) -> bool {
        self.is_low.load(Ordering::Relaxed)
    }

    fn sample(&self) {
        match free_bytes(&self.folder) {
            Ok(free_bytes) => self.judge(free_bytes),
            Err(error) => tracing::warn!(%error, "cannot read the free disk space"),
        }
    }

    fn judge(&self, free_bytes: u64) {
        let is_low = free_bytes < self.free_min_bytes;
        if self.is_low.swap(is_low, Ordering::Relaxed) != is_low {
            let free_min_bytes = self.free_min_bytes;
            tracing::warn!(is_low, free_bytes, free_min_bytes, "free disk space crossed its minimum");
        }
    }
}

fn free_bytes(folder: &Path) -> nix::Result<u64> {
    let found = statvfs(folder)?;
    Ok(found.blocks_available().saturating_mul(found.fragment_size()))
}

/// The housekeeper's thread.
pub(super) struct Housekeeper {
    pub(super) database: Arc<Database>,
    pub(super) disk: Arc<Disk>,
    pub(super) clock: Clock,
    pub(super) queue: Arc<Queue>,
    /// Says nothing; it is gone when the store closes.
    pub(super) closing: Receiver<()>,
}

impl Housekeeper {
    /// Works until the store closes.
    pub(super) fn run(self) {
        let (opened_at, mut swept_at, mut compacts) = (Instant::now(), Instant::now(), false);
        while self.closing.recv_timeout(DISK_SAMPLED_EVERY) == Err(RecvTimeoutError::Timeout) {
            self.disk.sample();
            if !compacts && is_time_to_compact(opened_at.elapsed(), || self.database.files_waiting()) {
                match self.database.begin_compactions() {
                    Ok(()) => compacts = true,
                    Err(error) => tracing::warn!(%error, "compactions could not begin"),
                }
            }
            if swept_at.elapsed() >= SWEPT_EVERY {
                swept_at = Instant::now();
                if let Err(error) = sweep(&self.database, (self.clock)(), &self.queue) {
                    tracing::warn!(%error, "a sweep could not read its rows");
                }
            }
        }
    }
}

fn is_time_to_compact(open_for: Duration, files_waiting: impl Fn() -> u64) -> bool {
    open_for >= COMPACTIONS_BEGIN_AFTER || files_waiting() > FILES_WAITING_MAX
}

/// Asks the writers to drop the oldest transactions with their marks, as far as each has expired; answers with how
/// many those are.
///
/// The range ends with the last row that was seen to be over. Ids are ordered by time, so no row can appear in it:
/// that would need an id made a whole retention ago. The deletion needs no sync, as losing it loses nothing.
pub(super) fn sweep(database: &Database, now: UnixMs, queue: &Queue) -> Result<usize, StoreError> {
    let mut swept = 0;
    let mut last = None;
    database.visit(&Key::transactions(), |key, row| {
        let is_over = envelope::expiry(row).is_some_and(|expiry| expiry.is_over(now));
        if is_over {
            swept += 1;
            last = key.last_chunk::<16>().copied().map(TransactionId::from_bytes);
        }
        is_over && swept < ROWS_PER_SWEEP_MAX
    })?;
    for (from, to) in last.iter().flat_map(Key::transactions_up_to) {
        // Where the queue is full, marks without a record expire.
        queue.sweep(from, to);
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compactions_wait_for_a_start_to_be_over_unless_many_files_wait() {
        let soon = Duration::from_secs(1);
        assert!(!is_time_to_compact(soon, || FILES_WAITING_MAX));
        assert!(is_time_to_compact(soon, || FILES_WAITING_MAX + 1));
        assert!(is_time_to_compact(COMPACTIONS_BEGIN_AFTER, || 0));
    }
}
