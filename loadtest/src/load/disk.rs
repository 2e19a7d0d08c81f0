//! How long the disk itself takes for a sync, measured in the server's folder before and after a run.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::meter::Latencies;

/// Syncs of one measurement.
const SYNCS: usize = 400;

/// Longest time of one measurement.
const TIME_MAX: Duration = Duration::from_secs(3);

/// What is written before each sync: about a small commit.
const BLOCK: [u8; 4_096] = [b's'; 4_096];

/// Measures it; `None` when the folder cannot be written.
pub(super) fn measure_syncs(folder: &Path) -> Option<Latencies> {
    let path = folder.join("disk-probe");
    let measured = measure(&path).ok();
    // It is in nobody's way if it stays.
    let _ = fs::remove_file(path);
    measured
}

fn measure(path: &Path) -> io::Result<Latencies> {
    let mut file = File::create(path)?;
    let begun = Instant::now();
    let mut took = Vec::with_capacity(SYNCS);
    while took.len() < SYNCS && begun.elapsed() < TIME_MAX {
        let from = Instant::now();
        file.write_all(&BLOCK)?;
        file.sync_data()?;
        took.push(from.elapsed());
    }
    Ok(Latencies::of(took))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_measured_and_left_as_it_was() {
        let folder = tempfile::TempDir::new().unwrap();
        assert!(measure_syncs(folder.path()).unwrap().count > 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(measure_syncs(&folder.path().join("missing")).is_none());
    }
}
