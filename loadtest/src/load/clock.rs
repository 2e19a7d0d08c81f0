//! The clock of a run: time since its start, the same for all threads.

use std::time::{Duration, Instant};

/// Counts from the start of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunClock {
    start: Instant,
}

impl RunClock {
    /// A clock that starts now.
    pub(super) fn start_now() -> Self {
        Self { start: Instant::now() }
    }

    /// Since the start.
    pub(super) fn now(self) -> Duration {
        self.start.elapsed()
    }

    /// When that was.
    pub(super) fn at(self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.start)
    }
}
