//! Points in time and lengths of time in whole milliseconds, as values; nothing here reads a clock.

use std::time::Duration;

/// Wall-clock time in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMs(u64);

/// A length of time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DurationMs(u64);

impl UnixMs {
    /// The time `milliseconds` after the epoch.
    pub const fn new(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// Milliseconds since the epoch.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> u64 {
        self.0 / 1_000
    }

    /// This time moved by `length`, at most to the end of representable time.
    pub const fn plus(self, length: DurationMs) -> Self {
        Self(self.0.saturating_add(length.0))
    }

    /// This time moved back by `length`, at most to the epoch.
    pub const fn minus(self, length: DurationMs) -> Self {
        Self(self.0.saturating_sub(length.0))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub const fn since(self, earlier: Self) -> DurationMs {
        DurationMs(self.0.saturating_sub(earlier.0))
    }
}

impl DurationMs {
    /// A length of `milliseconds`.
    pub const fn new(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// A length of `seconds`.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    /// The length in milliseconds.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The length as the standard library's type.
    pub const fn to_std(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl From<Duration> for DurationMs {
    /// Rounds up, so that a wait is never shorter than asked.
    fn from(length: Duration) -> Self {
        let milliseconds = length.as_nanos().div_ceil(1_000_000);
        Self(u64::try_from(milliseconds).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_and_rounds_up() {
        assert_eq!(UnixMs::new(u64::MAX).plus(DurationMs::new(1)), UnixMs::new(u64::MAX));
        assert_eq!(UnixMs::new(3).since(UnixMs::new(5)), DurationMs::new(0));
        assert_eq!(UnixMs::new(3).minus(DurationMs::new(5)), UnixMs::new(0));
        assert_eq!(UnixMs::new(1_999).seconds(), 1);
        assert_eq!(DurationMs::from(Duration::from_micros(1_001)), DurationMs::new(2));
    }
}
