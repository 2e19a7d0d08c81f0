//! How fast a project may send: a token bucket, and the pauses that the network asks for. Pure.
//!
//! Kept as one moment, the time at which the bucket would be full again, so that a reservation is one
//! addition; a push that would have to wait beyond its own time takes nothing.

use std::time::Duration;

use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);

/// The rate of one project. Its bucket holds what a second allows, at least one push.
#[derive(Debug)]
pub(super) struct Bucket {
    interval: Duration,
    depth: Duration,
    full_at: Option<Instant>,
}

impl Bucket {
    /// So many pushes a minute, at least one.
    pub(super) fn new(pushes_per_minute_max: u32) -> Self {
        let interval = MINUTE / pushes_per_minute_max.max(1);
        let pushes_a_second = (pushes_per_minute_max / 60).max(1);
        Self { interval, depth: interval * pushes_a_second, full_at: None }
    }

    /// Reserves one push and answers when it may go; `None` when that would be after `latest`.
    pub(super) fn reserve(&mut self, now: Instant, latest: Instant) -> Option<Instant> {
        let full_at = self.full_at.map_or(now, |moment| moment.max(now)) + self.interval;
        let starts_at = full_at.checked_sub(self.depth).map_or(now, |moment| moment.max(now));
        if starts_at > latest {
            return None;
        }
        self.full_at = Some(full_at);
        Some(starts_at)
    }

    /// Nothing goes out before `until`, and what has waited does not go out in a burst then: the bucket is empty
    /// until that moment. An earlier call for a longer pause stands.
    pub(super) fn pause(&mut self, until: Instant) {
        let full_at = until + self.depth - self.interval;
        self.full_at = Some(self.full_at.map_or(full_at, |earlier| earlier.max(full_at)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_second_of_pushes_goes_at_once_and_the_rest_in_step() {
        let (mut bucket, now) = (Bucket::new(600), Instant::now());
        let latest = now + 10 * SECOND;
        for _ in 0..10 {
            assert_eq!(bucket.reserve(now, latest), Some(now));
        }
        assert_eq!(bucket.reserve(now, latest), Some(now + SECOND / 10));
        assert_eq!(bucket.reserve(now, latest), Some(now + SECOND / 5));
        assert_eq!(bucket.reserve(now + 10 * SECOND, now + 10 * SECOND), Some(now + 10 * SECOND));
    }

    #[test]
    fn a_minute_never_takes_more_than_its_rate_and_one_second() {
        let (mut bucket, start) = (Bucket::new(600), Instant::now());
        let sent = (0..60_000_u32).filter(|millisecond| {
            let now = start + Duration::from_millis(u64::from(*millisecond));
            bucket.reserve(now, now).is_some()
        });
        assert!((600..=610).contains(&sent.count()));
    }

    #[test]
    fn one_that_would_come_too_late_takes_nothing() {
        let (mut bucket, now) = (Bucket::new(60), Instant::now());
        assert_eq!(bucket.reserve(now, now), Some(now));
        assert_eq!(bucket.reserve(now, now), None);
        assert_eq!(bucket.reserve(now + SECOND, now + SECOND), Some(now + SECOND));
    }

    #[test]
    fn a_pause_holds_everything_back_and_the_longest_counts() {
        let (mut bucket, now) = (Bucket::new(600), Instant::now());
        bucket.pause(now + 5 * SECOND);
        bucket.pause(now + 2 * SECOND);
        assert_eq!(bucket.reserve(now, now + SECOND), None);
        assert_eq!(bucket.reserve(now, now + 9 * SECOND), Some(now + 5 * SECOND));
        assert_eq!(bucket.reserve(now, now + 9 * SECOND), Some(now + 5 * SECOND + SECOND / 10), "no burst");
    }

    #[test]
    fn the_slowest_rate_is_one_a_minute() {
        let (mut bucket, now) = (Bucket::new(0), Instant::now());
        assert_eq!(bucket.reserve(now, now), Some(now));
        assert_eq!(bucket.reserve(now, now + 59 * SECOND), None);
    }
}
