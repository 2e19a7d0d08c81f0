//! Where a value stands on an axis, and which values are written beside it.

use crate::load::report::units;

/// How values spread over an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::load::report) enum Spread {
    /// Evenly from zero on.
    Linear(Measure),
    /// Evenly from zero to the last, in seconds.
    Time,
    /// Each power of ten takes the same room; what is not above zero has no place.
    Log(Measure),
    /// Percentiles: each further nine takes the same room.
    Nines,
}

/// What values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::load::report) enum Measure {
    /// A number; the title says of what.
    Number,
    /// Microseconds.
    Latency,
}

/// One axis of one plot.
#[derive(Clone, Debug)]
pub(in crate::load::report) struct Axis {
    spread: Spread,
    from: f64,
    to: f64,
    /// Values and their texts.
    pub(in crate::load::report) ticks: Vec<(f64, String)>,
}

/// Steps of a linear axis, about.
const STEPS: f64 = 5.0;

/// Most powers of ten that are written.
const POWERS_MAX: i32 = 7;

/// Percentiles that are written.
const NINES: [f64; 7] = [0.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999];

impl Axis {
    /// An axis on which all of these values have a place.
    pub(in crate::load::report) fn of(spread: Spread, values: impl Iterator<Item = f64>) -> Self {
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| stretched(spread, *value).is_finite()) {
            (least, most) = (least.min(value), most.max(value));
        }
        if least > most {
            (least, most) = (1.0, 1.0);
        }
        match spread {
            Spread::Linear(measure) => Self::linear(measure, most),
            Spread::Time => Self::time(most),
            Spread::Log(measure) => Self::log(measure, least, most),
            Spread::Nines => Self::nines(most),
        }
    }

    fn linear(measure: Measure, most: f64) -> Self {
        let step = round_step(most.max(1e-9) / STEPS);
        let steps = (most / step).ceil().max(1.0);
        let ticks = (0..=steps as u32).map(|index| f64::from(index) * step);
        Self {
            spread: Spread::Linear(measure),
            from: 0.0,
            to: steps * step,
            ticks: ticks.map(|value| (value, text(measure, value))).collect(),
        }
    }

    fn time(most: f64) -> Self {
        let mut axis = Self::linear(Measure::Number, most);
        axis.ticks.retain(|(value, _)| *value <= most);
        Self { spread: Spread::Time, to: most.max(1e-3), ..axis }
    }

    fn log(measure: Measure, least: f64, most: f64) -> Self {
        let first = least.log10().floor() as i32;
        let last = (most.log10().ceil() as i32).max(first + 1);
        let every = ((last - first) / POWERS_MAX + 1).max(1);
        let powers =
            (first..=last).filter(|power| (power - first) % every == 0).map(|power| 10_f64.powi(power));
        Self {
            spread: Spread::Log(measure),
            from: f64::from(first),
            to: f64::from(last),
            ticks: powers.map(|value| (value, text(measure, value))).collect(),
        }
    }

    fn nines(most: f64) -> Self {
        let to = stretched(Spread::Nines, most).max(1.0);
        let shown = NINES.into_iter().filter(|value| stretched(Spread::Nines, *value) <= to + 0.01);
        Self {
            spread: Spread::Nines,
            from: 0.0,
            to,
            ticks: shown.map(|value| (value, value.to_string())).collect(),
        }
    }

    /// Where the value stands, from 0 to 1; `None` where it has no place.
    pub(in crate::load::report) fn place(&self, value: f64) -> Option<f64> {
        let stretched = stretched(self.spread, value);
        stretched.is_finite().then(|| ((stretched - self.from) / (self.to - self.from)).clamp(0.0, 1.0))
    }
}

fn stretched(spread: Spread, value: f64) -> f64 {
    match spread {
        Spread::Linear(_) | Spread::Time => value,
        Spread::Log(_) => value.log10(),
        Spread::Nines => -(1.0 - value / 100.0).log10(),
    }
}

/// The next of 1, 2, 5, 10, 20, … that is not smaller.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= step * 0.999_999);
    factor.unwrap_or(10.0) * power
}

fn text(measure: Measure, value: f64) -> String {
    match measure {
        Measure::Number => units::tick(value),
        Measure::Latency if value < 1e3 => format!("{} µs", units::tick(value)),
        Measure::Latency if value < 1e6 => format!("{} ms", units::tick(value / 1e3)),
        Measure::Latency => format!("{} s", units::tick(value / 1e6)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn a_linear_axis_begins_at_zero_and_ends_at_a_round_number() {
        let axis = Axis::of(Spread::Linear(Measure::Number), [3.0, 4_300.0].into_iter());
        assert_eq!(texts(&axis), ["0", "1000", "2000", "3000", "4000", "5000"]);
        assert_eq!(axis.place(2_500.0), Some(0.5));
        let small = Axis::of(Spread::Linear(Measure::Number), [0.3].into_iter());
        assert_eq!(texts(&small), ["0", "0.1", "0.2", "0.3"]);
    }

    #[test]
    fn an_axis_of_time_ends_with_the_last_value() {
        let axis = Axis::of(Spread::Time, [0.0, 14.0].into_iter());
        assert_eq!(texts(&axis), ["0", "5", "10"]);
        assert_eq!(axis.place(14.0), Some(1.0));
    }

    #[test]
    fn a_log_axis_gives_each_power_the_same_room_and_zero_none() {
        let axis = Axis::of(Spread::Log(Measure::Latency), [0.0, 150.0, 90_000.0].into_iter());
        assert_eq!(texts(&axis), ["100 µs", "1 ms", "10 ms", "100 ms"]);
        let place = axis.place(1_000.0).unwrap();
        assert!((place - 1.0 / 3.0).abs() < 1e-9, "{place}");
        assert_eq!(axis.place(0.0), None);
    }

    #[test]
    fn an_axis_of_nines_gives_each_nine_the_same_room() {
        let axis = Axis::of(Spread::Nines, [0.0, 50.0, 99.9, 100.0].into_iter());
        assert_eq!(texts(&axis), ["0", "90", "99", "99.9"]);
        let place = axis.place(99.0).unwrap();
        assert!((place - 2.0 / 3.0).abs() < 1e-9, "{place}");
        assert_eq!(axis.place(100.0), None);
    }

    #[test]
    fn an_axis_without_values_or_with_one_still_has_two_ends() {
        for spread in [Spread::Linear(Measure::Number), Spread::Log(Measure::Latency), Spread::Nines] {
            for values in [vec![], vec![0.0], vec![1.0]] {
                let axis = Axis::of(spread, values.into_iter());
                assert!(axis.to > axis.from && axis.ticks.len() >= 2, "{axis:?}");
            }
        }
    }
}
