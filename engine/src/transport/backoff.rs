//! How long to wait after faults in a row: doubling, jittered, bounded. Pure but for the random number.

use std::time::Duration;

/// Waits that double from `first` up to `longest`, each stretched by up to its own length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// Doubling from `first` to `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The wait after `faults` faults in a row (at least one), with `random` from 0 to 1 as the jitter.
    pub fn delay(&self, faults: u32, random: f64) -> Duration {
        let doublings = faults.saturating_sub(1).min(30);
        let shortest = self.first.saturating_mul(1 << doublings).min(self.longest);
        let stretched = shortest.mul_f64(1.0 + random.clamp(0.0, 1.0));
        stretched.min(self.longest)
    }
}

/// A random number from 0 (included) to 1 (excluded).
pub fn random_unit() -> f64 {
    let mut bytes = [0_u8; 4];
    // Without randomness there is no jitter, and that is all that is lost.
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        return 0.0;
    }
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

    #[test]
    fn waits_double_and_end_at_the_longest() {
        let shortest: Vec<u64> = (1..=8).map(|faults| BACKOFF.delay(faults, 0.0).as_secs()).collect();
        assert_eq!(shortest, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(BACKOFF.delay(u32::MAX, 1.0), Duration::from_secs(60));
    }

    #[test]
    fn jitter_only_lengthens() {
        assert_eq!(BACKOFF.delay(1, 0.5), Duration::from_millis(1_500));
        assert_eq!(BACKOFF.delay(0, 0.0), Duration::from_secs(1));
    }

    #[test]
    fn random_numbers_lie_between_zero_and_one_and_differ() {
        let numbers: Vec<f64> = (0..32).map(|_| random_unit()).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        assert!(numbers.iter().any(|number| number != &numbers[0]));
    }
}
