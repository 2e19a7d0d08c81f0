//! When to stop asking a network that does not work. Pure: it takes `now` and performs nothing.
//!
//! ```text
//!           faults in a row                  open long enough: one push may try
//! closed ──────────────────► open ─────────────────────────────► trying
//!    ▲                        ▲                                   │  │
//!    │                        └────────── fault, or no word ──────┘  │
//!    └───────────────────────────────── success ─────────────────────┘
//! ```

use tocsin_model::{DurationMs, UnixMs};

/// Lets pushes through to one network, or not.
#[derive(Debug)]
pub struct Breaker {
    faults_max: u32,
    open_for: DurationMs,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed {
        faults: u32,
    },
    /// Since then nothing goes out, or only the one push that tries.
    Open {
        since: UnixMs,
    },
}

impl Breaker {
    /// Opens after `faults_max` faults in a row (at least one) and stays so for `open_for`.
    pub fn new(faults_max: u32, open_for: DurationMs) -> Self {
        Self { faults_max: faults_max.max(1), open_for, state: State::Closed { faults: 0 } }
    }

    /// Whether a push may go out now. An open breaker lets one try when its time has passed, and another one
    /// each such time again until one succeeds, so that a try without a word blocks nothing for good.
    pub fn allows(&mut self, now: UnixMs) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { since } if self.has_passed(since, now) => {
                self.state = State::Open { since: now };
                true
            }
            State::Open { .. } => false,
        }
    }

    /// Learns how a push ended. A single success closes; late faults of pushes that went out before the
    /// breaker opened do not hold it open for longer.
    pub fn record(&mut self, healthy: bool, now: UnixMs) {
        self.state = match self.state {
            _ if healthy => State::Closed { faults: 0 },
            State::Closed { faults } if faults + 1 < self.faults_max => State::Closed { faults: faults + 1 },
            State::Closed { .. } => State::Open { since: now },
            State::Open { since } => State::Open { since },
        };
    }

    /// When the next push may try, while it is not closed. Only a success closes it: the time alone does not.
    pub fn open_until(&self) -> Option<UnixMs> {
        match self.state {
            State::Closed { .. } => None,
            State::Open { since } => Some(since.plus(self.open_for)),
        }
    }

    /// A clock that was set back counts as passed time: better one try too many than a day of silence.
    fn has_passed(&self, since: UnixMs, now: UnixMs) -> bool {
        now < since || now.since(since) >= self.open_for
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> UnixMs {
        UnixMs::new(1_000_000 + milliseconds)
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::new(3, DurationMs::new(1_000));
        for _ in 0..3 {
            breaker.record(false, at(0));
        }
        breaker
    }

    #[test]
    fn it_opens_after_faults_in_a_row_and_not_before() {
        let mut breaker = Breaker::new(3, DurationMs::new(1_000));
        breaker.record(false, at(0));
        breaker.record(false, at(0));
        assert!(breaker.allows(at(0)));
        breaker.record(true, at(0));
        breaker.record(false, at(0));
        breaker.record(false, at(0));
        assert!(breaker.allows(at(0)), "a success in between starts the count again");
        breaker.record(false, at(0));
        assert!(!breaker.allows(at(0)));
        assert_eq!(breaker.open_until(), Some(at(1_000)));
    }

    #[test]
    fn one_push_tries_after_the_time_and_its_success_closes() {
        let mut breaker = opened();
        assert!(!breaker.allows(at(999)));
        assert!(breaker.allows(at(1_000)));
        assert!(!breaker.allows(at(1_000)), "only one");
        assert_eq!(breaker.open_until(), Some(at(2_000)), "the others wait for its word");
        breaker.record(true, at(1_001));
        assert!(breaker.allows(at(1_001)));
        assert_eq!(breaker.open_until(), None);
    }

    #[test]
    fn a_try_that_fails_or_says_nothing_is_followed_by_another_one_later() {
        let mut breaker = opened();
        assert!(breaker.allows(at(1_000)));
        breaker.record(false, at(1_500));
        assert_eq!(breaker.open_until(), Some(at(2_000)));
        assert!(!breaker.allows(at(1_999)));
        assert!(breaker.allows(at(2_000)));
        breaker.record(false, at(3_500));
        assert_eq!(breaker.open_until(), Some(at(3_000)), "a fault after its time does not close it");
        assert!(breaker.allows(at(3_000)));
    }

    #[test]
    fn a_clock_set_back_does_not_keep_it_open() {
        assert!(opened().allows(UnixMs::new(5)));
    }
}
