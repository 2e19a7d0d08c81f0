//! When a transaction ended, as seen from outside, and whether that was in time. Pure.

use std::time::Duration;

use tocsin_model::{State, TransactionId, UnixMs};

use crate::error::ensure;
use crate::{LoadtestError, TransactionView};

/// How late an end may be stored.
pub(super) const LATE_MAX: Duration = Duration::from_millis(500);

/// A transaction that waits for its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) id: TransactionId,
    pub(super) expires_at: UnixMs,
}

/// An end as it was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeenEnd {
    pending: Pending,
    /// The end that the view tells.
    ended_at: UnixMs,
    /// When it was seen from outside: it was stored before. `None` where whoever looked came too late to tell.
    seen_at: Option<UnixMs>,
}

impl SeenEnd {
    /// The end that a view tells, which must be a time-out.
    pub(super) fn of(
        pending: Pending,
        view: &TransactionView,
        seen_at: Option<UnixMs>,
    ) -> Result<Self, LoadtestError> {
        let ended_at = view.ended_at.filter(|_| view.state == State::Timeout);
        let not_timed_out = || LoadtestError::Unexpected(format!("not a time-out: {view:?}"));
        Ok(Self { pending, ended_at: ended_at.ok_or_else(not_timed_out)?, seen_at })
    }

    /// How late it was by its own word: never before the deadline, and seen no later than allowed. `slowest_sync`
    /// tells how long the disk itself took in a span of time; it excuses nothing, but says where to look.
    pub(super) fn check(
        &self,
        slowest_sync: impl Fn(UnixMs, UnixMs) -> Duration,
    ) -> Result<Duration, LoadtestError> {
        let Pending { id, expires_at } = self.pending;
        let stored_late = self.ended_at.since(expires_at).to_std();
        let in_time = [Some(stored_late), self.seen_late()].iter().flatten().all(|late| *late <= LATE_MAX);
        ensure(self.ended_at >= expires_at && in_time, || {
            let seen = self.seen_at.unwrap_or(self.ended_at);
            let sync_ms = slowest_sync(expires_at, seen).as_millis();
            format!(
                "{id} was due at {}, ended at {} and was seen at {}; slowest sync of the disk then: {sync_ms} ms",
                expires_at.get(),
                self.ended_at.get(),
                seen.get()
            )
        })?;
        Ok(stored_late)
    }

    /// From the deadline to the moment at which it was seen.
    pub(super) fn seen_late(&self) -> Option<Duration> {
        Some(self.seen_at?.since(self.pending.expires_at).to_std())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ended_at: u64, seen_at: u64, sync_ms: u64) -> Option<u128> {
        let pending = Pending { id: TransactionId::from_bytes([1; 16]), expires_at: UnixMs::new(10_000) };
        let end = SeenEnd { pending, ended_at: UnixMs::new(ended_at), seen_at: Some(UnixMs::new(seen_at)) };
        end.check(|_, _| Duration::from_millis(sync_ms)).ok().map(|late| late.as_millis())
    }

    #[test]
    fn an_end_before_the_deadline_is_wrong() {
        assert_eq!(check(10_000, 10_100, 0), Some(0));
        assert_eq!(check(9_999, 10_100, 0), None);
    }

    #[test]
    fn half_a_second_late_is_in_time_and_more_is_not() {
        assert_eq!(check(10_001, 10_500, 0), Some(1));
        assert_eq!(check(10_001, 10_501, 0), None);
        assert_eq!(check(10_501, 10_500, 0), None);
    }

    #[test]
    fn a_disk_that_stood_still_excuses_nothing() {
        assert_eq!(check(10_001, 10_501, 700), None);
    }
}
