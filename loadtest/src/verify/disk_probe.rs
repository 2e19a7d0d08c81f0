//! How long the disk itself takes for a sync, measured beside the server on the same disk.
//!
//! An end is stored with a sync, so a disk that stands still holds it up whatever the server does. This tells such
//! a failure from one of the server; it excuses none.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tocsin_model::UnixMs;

use crate::LoadtestError;

/// Pause between two syncs.
const INTERVAL: Duration = Duration::from_millis(50);

/// A sync that takes longer is slow and is kept.
const SLOW_FROM: Duration = Duration::from_millis(100);

/// Slow syncs that are kept.
const SLOW_MAX: usize = 100_000;

/// Syncs a file of its own until it is dropped.
#[derive(Debug)]
pub(super) struct DiskProbe {
    slow: Arc<Mutex<Vec<SlowSync>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy, Debug)]
struct SlowSync {
    from: UnixMs,
    to: UnixMs,
}

impl SlowSync {
    fn took(self) -> Duration {
        self.to.since(self.from).to_std()
    }
}

impl DiskProbe {
    /// Begins to sync a file in `folder`.
    pub(super) fn start(folder: &Path) -> Result<Self, LoadtestError> {
        let mut file = File::create(folder.join("disk-probe"))
            .map_err(LoadtestError::io("make a file for the disk probe"))?;
        let (slow, is_over) = (Arc::<Mutex<Vec<SlowSync>>>::default(), Arc::<AtomicBool>::default());
        let (kept, over) = (Arc::clone(&slow), Arc::clone(&is_over));
        let thread = thread::spawn(move || {
            // A disk that cannot be written ends the server, too, which is told elsewhere.
            while !over.load(Ordering::Relaxed) && probe_once(&mut file, &kept).is_ok() {
                thread::sleep(INTERVAL);
            }
        });
        Ok(Self { slow, is_over, thread: Some(thread) })
    }

    /// The slowest sync that was under way at some time of this span.
    pub(super) fn slowest_between(&self, from: UnixMs, to: UnixMs) -> Duration {
        let slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        let under_way = slow.iter().filter(|sync| sync.from <= to && sync.to >= from);
        under_way.map(|sync| sync.took()).max().unwrap_or_default()
    }

    /// The slowest sync of all.
    pub(super) fn slowest(&self) -> Duration {
        self.slowest_between(UnixMs::default(), UnixMs::new(u64::MAX))
    }
}

impl Drop for DiskProbe {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It does nothing that could panic.
            let _ = thread.join();
        }
    }
}

fn probe_once(file: &mut File, kept: &Mutex<Vec<SlowSync>>) -> io::Result<()> {
    let from = now();
    file.write_all(b"sync")?;
    file.sync_data()?;
    let sync = SlowSync { from, to: now() };
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if sync.took() >= SLOW_FROM && kept.len() < SLOW_MAX {
        kept.push(sync);
    }
    Ok(())
}

/// The wall clock of this machine.
pub(super) fn now() -> UnixMs {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs::new(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_sync_counts_only_for_the_time_in_which_it_was_under_way() {
        let folder = tempfile::TempDir::new().unwrap();
        let probe = DiskProbe::start(folder.path()).unwrap();
        // Far from the present, where the probe itself is at work.
        let sync = SlowSync { from: UnixMs::new(1_000), to: UnixMs::new(1_700) };
        probe.slow.lock().unwrap().push(sync);
        let between = |from, to| probe.slowest_between(UnixMs::new(from), UnixMs::new(to)).as_millis();
        assert_eq!((between(1_600, 2_000), between(500, 1_000), between(1_701, 2_000)), (700, 700, 0));
    }
}
