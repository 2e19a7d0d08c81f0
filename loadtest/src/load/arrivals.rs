//! When flows are meant to arrive: intended times, drawn once and for all from the
//! phases and the seed. Nobody waits for a reply here, which is what makes the load open-loop.
//!
//! Each phase has a law of how many arrivals have come by a time; an arrival's time is where that law reaches its
//! count. Evenly spread arrivals stand in the middle of their steps. Independent ones have steps of random width,
//! except in a burst, whose number is given: there they are that many even draws in order.

use std::time::Duration;

use super::scenario::{Pattern, Phase, Scenario, Shape};
use crate::random::Random;

/// One arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Counted from 0 over the whole run.
    pub number: u64,
    /// Intended time since the start of the run.
    pub at: Duration,
    /// Index of its phase.
    pub phase: usize,
}

/// The arrivals of a scenario in order.
#[derive(Clone, Debug)]
pub struct Arrivals {
    phases: Vec<Phase>,
    random: Random,
    number: u64,
    current: Option<Current>,
}

/// Where the iterator stands inside one phase.
#[derive(Clone, Debug)]
struct Current {
    index: usize,
    starts_at: Duration,
    random: Random,
    steps: Steps,
}

impl Scenario {
    /// Its arrivals.
    pub fn arrivals(&self) -> Arrivals {
        Arrivals { number: self.first_flow, ..Arrivals::new(&self.phases, self.seed) }
    }

    /// How long flows arrive.
    pub fn arrivals_last(&self) -> Duration {
        self.phases.iter().map(|phase| phase.duration).sum()
    }

    /// How many flows are expected to arrive.
    pub fn arrivals_expected(&self) -> f64 {
        self.phases.iter().map(Phase::expected).sum()
    }
}

impl Phase {
    /// How many flows are expected to arrive in it.
    pub fn expected(&self) -> f64 {
        let seconds = self.duration.as_secs_f64();
        match self.shape {
            Shape::Steady { rate_per_s } => rate_per_s * seconds,
            Shape::Ramp { from_per_s, to_per_s } => (from_per_s + to_per_s) / 2.0 * seconds,
            Shape::Burst { flows } => flows as f64,
        }
    }

    /// When this many have come, in seconds since its begin.
    fn time_of(&self, count: f64) -> f64 {
        let seconds = self.duration.as_secs_f64();
        match self.shape {
            Shape::Steady { rate_per_s } => count / rate_per_s,
            Shape::Ramp { from_per_s, to_per_s } => {
                // The root of from·t + slope·t²/2 = count in the form that loses no digits.
                let slope = (to_per_s - from_per_s) / seconds;
                let under_root = (from_per_s * from_per_s + 2.0 * slope * count).max(0.0);
                2.0 * count / (from_per_s + under_root.sqrt())
            }
            Shape::Burst { flows } => count / flows as f64 * seconds,
        }
    }

    fn steps(&self) -> Steps {
        let expected = self.expected();
        match (self.pattern, self.shape) {
            (Pattern::Even, _) => Steps::Even { next: 0.5, end: expected },
            (Pattern::Poisson, Shape::Burst { flows }) => {
                Steps::Counted { reached: 0.0, left: flows, expected }
            }
            (Pattern::Poisson, Shape::Steady { .. } | Shape::Ramp { .. }) => {
                Steps::Random { reached: 0.0, end: expected }
            }
        }
    }
}

/// Counts at which arrivals stand.
#[derive(Clone, Debug)]
enum Steps {
    Even { next: f64, end: f64 },
    Random { reached: f64, end: f64 },
    Counted { reached: f64, left: u64, expected: f64 },
}

impl Steps {
    fn next(&mut self, random: &mut Random) -> Option<f64> {
        match self {
            Self::Even { next, end } => {
                let count = *next;
                *next += 1.0;
                (count < *end).then_some(count)
            }
            Self::Random { reached, end } => {
                *reached -= random.unit().ln();
                (*reached < *end).then_some(*reached)
            }
            Self::Counted { reached, left, expected } => {
                if *left == 0 {
                    return None;
                }
                // The least of `left` even draws from what remains.
                *reached += (*expected - *reached) * (1.0 - random.unit().powf(1.0 / *left as f64));
                *left -= 1;
                Some(*reached)
            }
        }
    }
}

impl Arrivals {
    /// The arrivals of these phases, one after the other.
    pub fn new(phases: &[Phase], seed: u64) -> Self {
        let mut arrivals =
            Self { phases: phases.to_vec(), random: Random::new(seed), number: 0, current: None };
        arrivals.enter(0, Duration::ZERO);
        arrivals
    }

    fn enter(&mut self, index: usize, starts_at: Duration) {
        self.current = self.phases.get(index).map(|phase| Current {
            index,
            starts_at,
            // A change of one phase leaves the draws of the others as they are.
            random: self.random.fork(u64::MAX - index as u64),
            steps: phase.steps(),
        });
    }
}

impl Iterator for Arrivals {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        loop {
            let current = self.current.as_mut()?;
            let phase = &self.phases[current.index];
            if let Some(count) = current.steps.next(&mut current.random) {
                let within = Duration::try_from_secs_f64(phase.time_of(count)).unwrap_or(phase.duration);
                let at = current.starts_at + within.min(phase.duration);
                let number = self.number;
                self.number += 1;
                return Some(Arrival { number, at, phase: current.index });
            }
            let (next, starts_at) = (current.index + 1, current.starts_at + phase.duration);
            self.enter(next, starts_at);
        }
    }
}

#[cfg(test)]
#[path = "arrivals_tests.rs"]
mod tests;
