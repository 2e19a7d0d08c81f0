//! Shows that the actor threads live: each ticks, and a thread that is blocked does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_rt::ArbiterHandle;
use tokio::time::Instant;

use crate::limits::ARBITER_TICK;

/// When each actor thread last ticked.
#[derive(Clone, Debug)]
pub(crate) struct Ticks {
    started: Instant,
    last_ms: Arc<Vec<AtomicU64>>,
}

impl Ticks {
    /// Starts a ticking task on each arbiter.
    pub(crate) fn start(arbiters: &[ArbiterHandle]) -> Self {
        let last_ms = Arc::new(arbiters.iter().map(|_| AtomicU64::new(0)).collect::<Vec<_>>());
        let ticks = Self { started: Instant::now(), last_ms };
        for (number, arbiter) in arbiters.iter().enumerate() {
            let ticks = ticks.clone();
            arbiter.spawn(async move {
                loop {
                    ticks.last_ms[number].store(ticks.now_ms(), Ordering::Relaxed);
                    tokio::time::sleep(ARBITER_TICK).await;
                }
            });
        }
        ticks
    }

    /// Whether every thread ticked within `longest`.
    pub(crate) fn all_within(&self, longest: Duration) -> bool {
        let now = self.now_ms();
        let longest_ms = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        self.last_ms.iter().all(|last| now.saturating_sub(last.load(Ordering::Relaxed)) <= longest_ms)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_thread_that_ticks_no_more_is_noticed() {
        let last_ms = Arc::new(vec![AtomicU64::new(0), AtomicU64::new(0)]);
        let ticks = Ticks { started: Instant::now(), last_ms };
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(ticks.all_within(Duration::from_secs(5)));
        ticks.last_ms[0].store(ticks.now_ms(), Ordering::Relaxed);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!ticks.all_within(Duration::from_secs(5)), "the second one has not ticked");
        ticks.last_ms[1].store(ticks.now_ms(), Ordering::Relaxed);
        assert!(ticks.all_within(Duration::from_secs(5)));
    }
}
