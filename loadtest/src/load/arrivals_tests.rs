//! Laws of arrivals, for any phases.

use std::time::Duration;

use proptest::prelude::*;

use super::{Arrival, Arrivals};
use crate::load::scenario::{Pattern, Phase, Shape};

fn phase(shape: Shape, pattern: Pattern, seconds: f64) -> Phase {
    Phase { name: "phase".to_owned(), shape, pattern, duration: Duration::from_secs_f64(seconds) }
}

fn all(phases: &[Phase], seed: u64) -> Vec<Arrival> {
    Arrivals::new(phases, seed).collect()
}

fn any_shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        (0.0..500.0).prop_map(|rate_per_s| Shape::Steady { rate_per_s }),
        (0.0..500.0, 0.0..500.0).prop_map(|(from_per_s, to_per_s)| Shape::Ramp { from_per_s, to_per_s }),
        (1_u64..2_000).prop_map(|flows| Shape::Burst { flows }),
    ]
}

fn any_phase() -> impl Strategy<Value = Phase> {
    let pattern = prop_oneof![Just(Pattern::Even), Just(Pattern::Poisson)];
    (any_shape(), pattern, 0.01..5.0).prop_map(|(shape, pattern, seconds)| phase(shape, pattern, seconds))
}

proptest! {
    #[test]
    fn they_are_in_order_and_each_within_its_phase(phases in prop::collection::vec(any_phase(), 1..4), seed: u64) {
        let ends: Vec<Duration> = phases
            .iter()
            .scan(Duration::ZERO, |end, phase| { *end += phase.duration; Some(*end) })
            .collect();
        let mut last = Duration::ZERO;
        for (index, arrival) in all(&phases, seed).into_iter().enumerate() {
            prop_assert_eq!(arrival.number, index as u64);
            prop_assert!(arrival.at >= last, "{:?} after {:?}", arrival, last);
            let starts_at = ends[arrival.phase] - phases[arrival.phase].duration;
            prop_assert!(arrival.at >= starts_at && arrival.at <= ends[arrival.phase], "{:?}", arrival);
            last = arrival.at;
        }
    }

    #[test]
    fn even_ones_are_as_many_as_expected_and_any_burst_exactly_so(phase in any_phase(), seed: u64) {
        let count = all(std::slice::from_ref(&phase), seed).len() as f64;
        match (phase.pattern, phase.shape) {
            (_, Shape::Burst { flows }) => prop_assert_eq!(count, flows as f64),
            (Pattern::Even, _) => prop_assert!((count - phase.expected()).abs() <= 0.5 + 1e-6),
            // Six standard deviations and a little for small numbers.
            (Pattern::Poisson, _) => {
                prop_assert!((count - phase.expected()).abs() <= 6.0 * phase.expected().sqrt() + 8.0);
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_times(phases in prop::collection::vec(any_phase(), 1..4), seed: u64) {
        prop_assert_eq!(all(&phases, seed), all(&phases, seed));
    }

    #[test]
    fn a_change_of_one_phase_leaves_the_draws_of_the_next(first in any_phase(), second in any_phase(), seed: u64) {
        let times_of_second = |first: Phase| -> Vec<Duration> {
            let starts_at = first.duration;
            let of_second = all(&[first, second.clone()], seed).into_iter().filter(|arrival| arrival.phase == 1);
            of_second.map(|arrival| arrival.at - starts_at).collect()
        };
        let other = phase(Shape::Burst { flows: 1 }, Pattern::Even, first.duration.as_secs_f64());
        prop_assert_eq!(times_of_second(first), times_of_second(other));
    }
}

#[test]
fn another_seed_gives_other_times() {
    let phases = [phase(Shape::Steady { rate_per_s: 50.0 }, Pattern::Poisson, 2.0)];
    assert_ne!(all(&phases, 1), all(&phases, 2));
}

#[test]
fn even_steps_of_a_steady_rate_are_equal() {
    let arrivals = all(&[phase(Shape::Steady { rate_per_s: 4.0 }, Pattern::Even, 1.0)], 1);
    let at_ms: Vec<u128> = arrivals.iter().map(|arrival| arrival.at.as_millis()).collect();
    assert_eq!(at_ms, [125, 375, 625, 875]);
}

#[test]
fn a_ramp_has_three_quarters_of_its_arrivals_in_its_higher_half() {
    let ramps = [(0.0, 1_000.0), (1_000.0, 0.0)];
    for ((from_per_s, to_per_s), later_half) in ramps.into_iter().zip([7_500, 2_500]) {
        let arrivals = all(&[phase(Shape::Ramp { from_per_s, to_per_s }, Pattern::Even, 20.0)], 1);
        assert_eq!(arrivals.len(), 10_000);
        assert_eq!(arrivals.iter().filter(|arrival| arrival.at.as_secs() >= 10).count(), later_half);
    }
}

#[test]
fn independent_arrivals_have_exponential_gaps() {
    let arrivals = all(&[phase(Shape::Steady { rate_per_s: 1_000.0 }, Pattern::Poisson, 20.0)], 7);
    let gaps: Vec<f64> =
        arrivals.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs_f64() * 1_000.0).collect();
    let share_above_mean = gaps.iter().filter(|gap| **gap > 1.0).count() as f64 / gaps.len() as f64;
    assert!((share_above_mean - (-1.0_f64).exp()).abs() < 0.015, "{share_above_mean}");
}

#[test]
fn a_burst_of_independent_arrivals_fills_its_time_evenly() {
    let arrivals = all(&[phase(Shape::Burst { flows: 20_000 }, Pattern::Poisson, 4.0)], 3);
    for second in 0..4 {
        let count = arrivals.iter().filter(|arrival| arrival.at.as_secs() == second).count();
        assert!((4_600..5_400).contains(&count), "second {second}: {count}");
    }
}

#[test]
fn a_phase_without_a_rate_is_a_pause() {
    let pause = phase(Shape::Steady { rate_per_s: 0.0 }, Pattern::Poisson, 3.0);
    let burst = phase(Shape::Burst { flows: 2 }, Pattern::Even, 1.0);
    let arrivals = all(&[pause, burst], 1);
    assert_eq!(arrivals.iter().map(|arrival| arrival.at.as_millis()).collect::<Vec<_>>(), [3_250, 3_750]);
}
