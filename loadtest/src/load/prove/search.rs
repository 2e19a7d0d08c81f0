//! Looks for the highest rate that is sustained: up until one is not, then between the two. Pure.

/// How much a rate is raised or lowered while only one side is known.
const STRIDE: f64 = 1.3;

/// Near enough: the highest good and the lowest bad rate differ by no more than this share.
const NEAR: f64 = 0.04;

/// Longest search.
const TRIALS_MAX: u32 = 14;

/// A search under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct RateSearch {
    first: f64,
    good: Option<f64>,
    bad: Option<f64>,
    trials: u32,
}

impl RateSearch {
    /// Begins at this rate.
    pub(super) const fn from(first: f64) -> Self {
        Self { first, good: None, bad: None, trials: 0 }
    }

    /// The rate to try next; `None` when it is over.
    pub(super) fn next(&self) -> Option<f64> {
        if self.trials >= TRIALS_MAX {
            return None;
        }
        match (self.good, self.bad) {
            (None, None) => Some(self.first),
            (Some(good), None) => Some(good * STRIDE),
            (None, Some(bad)) => Some(bad / STRIDE),
            (Some(good), Some(bad)) if bad > good * (1.0 + NEAR) => Some((good + bad) / 2.0),
            (Some(_), Some(_)) => None,
        }
    }

    /// What came of the try.
    pub(super) fn told(&mut self, rate: f64, was_sustained: bool) {
        self.trials += 1;
        if was_sustained {
            self.good = Some(self.good.map_or(rate, |good| good.max(rate)));
        } else {
            self.bad = Some(self.bad.map_or(rate, |bad| bad.min(rate)));
        }
    }

    /// The highest rate that was sustained.
    pub(super) const fn found(&self) -> Option<f64> {
        self.good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(first: f64, capacity: f64) -> (Option<f64>, u32) {
        let mut search = RateSearch::from(first);
        while let Some(rate) = search.next() {
            search.told(rate, rate <= capacity);
        }
        (search.found(), search.trials)
    }

    #[test]
    fn it_ends_just_below_what_is_sustained_wherever_it_begins() {
        for (first, capacity) in [(2_000.0, 4_100.0), (9_000.0, 1_000.0), (2_000.0, 2_000.0)] {
            let (found, trials) = search(first, capacity);
            let found = found.unwrap();
            assert!(found <= capacity && found > capacity * 0.95, "{found} of {capacity}");
            assert!(trials <= TRIALS_MAX, "{trials}");
        }
    }

    #[test]
    fn it_gives_up_where_nothing_is_sustained() {
        assert_eq!(search(2_000.0, 0.0), (None, TRIALS_MAX));
    }
}
