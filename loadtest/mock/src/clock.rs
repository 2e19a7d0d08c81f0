//! The mock's wall clock, which a test can move.
//!
//! It is the only file here that reads the wall time. It does not move timers: delays and deadlines run
//! on tokio's time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The system's wall clock plus an offset shared by all clones.
#[derive(Clone, Debug, Default)]
pub struct MockClock {
    offset_ms: Arc<AtomicI64>,
}

impl MockClock {
    /// A clock that shows the system's time until it is moved.
    pub fn new() -> Self {
        Self::default()
    }

    /// Unix time in milliseconds.
    pub fn now_ms(&self) -> u64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        millis(since_epoch).saturating_add(self.offset_ms.load(Ordering::SeqCst)).max(0).unsigned_abs()
    }

    /// Unix time in whole seconds.
    pub fn now_s(&self) -> u64 {
        self.now_ms() / 1_000
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.offset_ms.fetch_add(millis(by), Ordering::SeqCst);
    }

    /// Moves the clock back.
    pub fn set_back(&self, by: Duration) {
        self.offset_ms.fetch_sub(millis(by), Ordering::SeqCst);
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_shows_the_moved_time() {
        let clock = MockClock::new();
        let clone = clock.clone();
        let before_s = clock.now_s();
        clone.advance(Duration::from_secs(3_600));
        assert!(clock.now_s() >= before_s + 3_600);
        clone.set_back(Duration::from_secs(7_200));
        assert!(clock.now_s() < before_s);
    }
}
