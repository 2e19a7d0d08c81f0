//! Failures in the log: each kind once a second, with the number of those that were not told.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::LocationFault;

/// Time between two lines about the same kind of failure.
const GAP: Duration = Duration::from_secs(1);

/// What was told when; at most one entry for each kind.
#[derive(Debug, Default)]
pub(super) struct Reports(Mutex<BTreeMap<LocationFault, Told>>);

#[derive(Debug)]
struct Told {
    at: Instant,
    untold: u64,
}

impl Reports {
    /// Says that a place is not known. The address stands in no log.
    pub(super) fn tell(&self, fault: LocationFault, source: &'static str, now: Instant) {
        if let Some(untold) = self.due(fault, now) {
            let fault = fault.as_str();
            tracing::warn!(
                source,
                fault,
                untold,
                "a place is not known; the message is shown without the origin"
            );
        }
    }

    /// How many were not told since the last line, where it is time for another.
    fn due(&self, fault: LocationFault, now: Instant) -> Option<u64> {
        // A panic of another holder cannot leave half an entry.
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match told.get_mut(&fault) {
            Some(told) if now.saturating_duration_since(told.at) < GAP => {
                told.untold += 1;
                None
            }
            Some(told) => {
                told.at = now;
                Some(std::mem::take(&mut told.untold))
            }
            None => {
                told.insert(fault, Told { at: now, untold: 0 });
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_kind_is_told_once_a_second_with_the_number_of_the_others() {
        let (reports, now) = (Reports::default(), Instant::now());
        assert_eq!(reports.due(LocationFault::Timeout, now), Some(0));
        assert_eq!(reports.due(LocationFault::Status, now), Some(0));
        for _ in 0..3 {
            assert_eq!(reports.due(LocationFault::Timeout, now + GAP / 2), None);
        }
        assert_eq!(reports.due(LocationFault::Timeout, now + GAP), Some(3));
        assert_eq!(reports.due(LocationFault::Timeout, now + 2 * GAP), Some(0));
    }
}
