//! What was seen when thousands of pending transactions ran out.

use std::fmt;
use std::time::Duration;

/// What was seen.
#[derive(Clone, Copy, Debug)]
pub struct TimeoutReport {
    /// Pending transactions.
    pub transactions: usize,
    /// Their life.
    pub ttl_s: u64,
    /// The time that their starts took.
    pub starts_took: Duration,
    /// Memory before them and with all of them pending, in bytes.
    pub resident_bytes: (u64, u64),
    /// From the deadline to the end that the view tells: half, 99 of 100 and all of them are no later.
    pub stored_late: Percentiles,
    /// From the deadline to the end of the read that saw it stored, each begun 100 ms after the deadline.
    pub seen_late: Percentiles,
    /// From the deadline to the return of a long poll.
    pub polled_late: Percentiles,
    /// Long polls.
    pub long_polls: usize,
    /// Slowest sync of the disk beside the server, zero below 100 ms.
    pub slowest_sync: Duration,
    /// The whole.
    pub took: Duration,
}

/// Latenesses in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Percentiles {
    /// Half are no later.
    pub p50_ms: u64,
    /// 99 of 100 are no later.
    pub p99_ms: u64,
    /// None is later.
    pub max_ms: u64,
}

impl TimeoutReport {
    /// Growth of the server's memory for each pending transaction.
    pub fn bytes_per_pending(&self) -> u64 {
        let (before, with_all) = self.resident_bytes;
        with_all.saturating_sub(before) / u64::try_from(self.transactions).unwrap_or(u64::MAX).max(1)
    }
}

impl Percentiles {
    /// Those of these.
    pub(super) fn of(mut late: Vec<Duration>) -> Self {
        late.sort_unstable();
        let at = |percent: usize| {
            let index = (late.len() * percent / 100).min(late.len().saturating_sub(1));
            late.get(index).map_or(0, |late| u64::try_from(late.as_millis()).unwrap_or(u64::MAX))
        };
        Self { p50_ms: at(50), p99_ms: at(99), max_ms: at(100) }
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50_ms, p99_ms, max_ms } = self;
        write!(formatter, "p50 {p50_ms} ms, p99 {p99_ms} ms, latest {max_ms} ms")
    }
}

impl fmt::Display for TimeoutReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transactions, ttl_s, starts_took, stored_late, polled_late, long_polls, took, .. } = self;
        let seen_late = self.seen_late;
        let rate = *transactions as f64 / starts_took.as_secs_f64();
        let (before, with_all) = (self.resident_bytes.0 / 1_024, self.resident_bytes.1 / 1_024);
        writeln!(formatter, "time-outs: {transactions} pending, {:.1} s in all", took.as_secs_f32())?;
        writeln!(
            formatter,
            "  started in {:.1} s ({rate:.0}/s), {ttl_s} s to live",
            starts_took.as_secs_f32()
        )?;
        writeln!(formatter, "  none before its deadline; stored after it: {stored_late}")?;
        writeln!(formatter, "  each seen stored by a read from 100 ms on: {seen_late}")?;
        writeln!(formatter, "  {long_polls} long polls returned after it: {polled_late}")?;
        if !self.slowest_sync.is_zero() {
            writeln!(formatter, "  slowest sync of the disk itself: {} ms", self.slowest_sync.as_millis())?;
        }
        write!(formatter, "  memory: {before} KiB before, {with_all} KiB with all pending: ")?;
        write!(formatter, "{} bytes for each", self.bytes_per_pending())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_values() {
        let late = (0..200).rev().map(Duration::from_millis).collect();
        let Percentiles { p50_ms, p99_ms, max_ms } = Percentiles::of(late);
        assert_eq!((p50_ms, p99_ms, max_ms), (100, 198, 199));
        assert_eq!(Percentiles::of(Vec::new()).max_ms, 0);
    }
}
