//! What the writer did: creates, bytes and commits, counted.

use std::sync::atomic::{AtomicU64, Ordering};

use tocsin_storage::{CommitReport, StoreObserver};

/// Counters that the writer raises.
#[derive(Debug, Default)]
pub struct Commits {
    verbs: AtomicU64,
    bytes: AtomicU64,
    commits: AtomicU64,
}

impl Commits {
    /// Bytes of the rows that one create changes, with their keys, on average.
    pub fn bytes_per_verb(&self) -> usize {
        let bytes = self.bytes.load(Ordering::Relaxed) / self.verbs.load(Ordering::Relaxed).max(1);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// Creates so far, and the commits that they took.
    pub fn verbs_and_commits(&self) -> (u64, u64) {
        (self.verbs.load(Ordering::Relaxed), self.commits.load(Ordering::Relaxed))
    }
}

impl StoreObserver for Commits {
    fn committed(&self, report: CommitReport) {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        self.verbs.fetch_add(count(report.verbs), Ordering::Relaxed);
        self.bytes.fetch_add(count(report.bytes), Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    fn refused(&self) {}
}
