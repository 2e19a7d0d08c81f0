//! The one file that reads time.
//!
//! Now is the wall time at the start plus the monotonic time since, so that a step of the system clock moves no
//! deadline while the process runs. Deadlines are stored as wall time, because they outlive the process. The
//! monotonic part is tokio's, so that tests on paused time drive everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tocsin_model::{DurationMs, UnixMs};
use tokio::time::Instant;

/// A difference between our time and the system's beyond which the system clock was stepped.
const STEP_MIN: DurationMs = DurationMs::from_seconds(1);

/// The clock of the process; clones share one state.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    started: Instant,
    /// Wall time that belongs to `started`, in milliseconds; moved when a step is taken over.
    wall_at_start_ms: AtomicU64,
    steps: AtomicU64,
}

impl Clock {
    /// A clock that starts from the system's wall time.
    pub fn system() -> Self {
        Self::starting_at(system_now())
    }

    /// A clock that starts from `wall`, for tests.
    pub fn starting_at(wall: UnixMs) -> Self {
        Self(Arc::new(Shared {
            started: Instant::now(),
            wall_at_start_ms: AtomicU64::new(wall.get()),
            steps: AtomicU64::new(0),
        }))
    }

    /// The present wall time.
    pub fn now(&self) -> UnixMs {
        let since_start = self.0.started.elapsed().as_millis();
        let wall_at_start = UnixMs::new(self.0.wall_at_start_ms.load(Ordering::Relaxed));
        wall_at_start.plus(DurationMs::new(u64::try_from(since_start).unwrap_or(u64::MAX)))
    }

    /// The present moment, to measure how long something takes.
    pub fn instant(&self) -> Instant {
        Instant::now()
    }

    /// The monotonic instant at which `now` will be `deadline`; the present one when it has passed.
    pub fn instant_of(&self, deadline: UnixMs) -> Instant {
        Instant::now() + deadline.since(self.now()).to_std()
    }

    /// Compares with the system's clock; after a step of more than a second takes its time over and answers
    /// with the size of the step. To be called every few seconds.
    pub fn follow_system(&self) -> Option<DurationMs> {
        self.follow(system_now())
    }

    fn follow(&self, system: UnixMs) -> Option<DurationMs> {
        let ours = self.now();
        let (forward, back) = (system.since(ours), ours.since(system));
        let step = forward.max(back);
        if step <= STEP_MIN {
            return None;
        }
        let moved = UnixMs::new(self.0.wall_at_start_ms.load(Ordering::Relaxed)).plus(forward).minus(back);
        self.0.wall_at_start_ms.store(moved.get(), Ordering::Relaxed);
        self.0.steps.fetch_add(1, Ordering::Relaxed);
        Some(step)
    }

    /// How often the system clock was stepped.
    pub fn steps(&self) -> u64 {
        self.0.steps.load(Ordering::Relaxed)
    }
}

fn system_now() -> UnixMs {
    // A system clock before 1970 is a fault of the machine; time then starts at zero and the first
    // follow-up takes the corrected clock over.
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs::new(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn time_follows_the_monotonic_clock() {
        let clock = Clock::starting_at(UnixMs::new(1_000));
        tokio::time::advance(Duration::from_millis(250)).await;
        assert_eq!(clock.now(), UnixMs::new(1_250));
        assert_eq!(clock.instant_of(UnixMs::new(2_250)) - Instant::now(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_of_the_system_clock_is_taken_over_and_counted() {
        let clock = Clock::starting_at(UnixMs::new(100_000));
        assert_eq!(clock.follow(UnixMs::new(101_000)), None);
        assert_eq!(clock.follow(UnixMs::new(90_000)), Some(DurationMs::new(10_000)));
        assert_eq!(clock.now(), UnixMs::new(90_000));
        assert_eq!(clock.steps(), 1);
    }
}
