//! HDR histograms of latencies in microseconds, and what a report keeps of them.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest latency that is told apart; longer ones count as this. Twenty minutes.
const LATENCY_US_MAX: u64 = 1_200_000_000;

/// Digits that a run keeps: 0.1 %.
const RUN_DIGITS: u8 = 3;

/// Digits that a second keeps: 1 %.
const SECOND_DIGITS: u8 = 2;

/// Points of a curve for each halving of the distance to 100 %.
const CURVE_TICKS: u32 = 4;

/// All latencies of one stage.
#[derive(Debug)]
pub(super) struct StageTotals {
    pub(super) from_intended: Histogram<u64>,
    pub(super) from_sent: Histogram<u64>,
    pub(super) untimed: u64,
    pub(super) refusals: BTreeMap<Box<str>, u64>,
    pub(super) errors: BTreeMap<Box<str>, u64>,
}

impl Default for StageTotals {
    fn default() -> Self {
        Self {
            from_intended: fine(),
            from_sent: fine(),
            untimed: 0,
            refusals: BTreeMap::new(),
            errors: BTreeMap::new(),
        }
    }
}

impl StageTotals {
    pub(super) fn time(&mut self, from_intended: Duration, from_sent: Duration) {
        self.from_intended.saturating_record(micros(from_intended));
        self.from_sent.saturating_record(micros(from_sent));
    }
}

fn fine() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, RUN_DIGITS).expect("the bounds are valid")
}

/// A histogram that grows with its values, for one second.
pub(super) fn coarse() -> Box<Histogram<u32>> {
    let mut histogram = Histogram::new(SECOND_DIGITS).expect("the digits are valid");
    histogram.auto(true);
    Box::new(histogram)
}

/// A latency as histograms hold it; at least one, since they have no place for zero.
pub(super) fn micros(latency: Duration) -> u64 {
    u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).clamp(1, LATENCY_US_MAX)
}

/// Percentiles of one histogram, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    /// How many were timed.
    pub count: u64,
    /// The quickest.
    pub min_us: u64,
    /// The mean.
    pub mean_us: f64,
    /// Half are no slower.
    pub p50_us: u64,
    /// 90 of 100 are no slower.
    pub p90_us: u64,
    /// 99 of 100 are no slower.
    pub p99_us: u64,
    /// 999 of 1,000 are no slower.
    pub p999_us: u64,
    /// 9,999 of 10,000 are no slower.
    pub p9999_us: u64,
    /// The slowest.
    pub max_us: u64,
    /// The whole distribution, from the quickest to the slowest.
    pub curve: Vec<CurvePoint>,
}

/// A point of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// This many percent …
    pub percentile: f64,
    /// … are no slower than this.
    pub latency_us: u64,
}

impl Latencies {
    /// Those of samples that were taken elsewhere.
    pub fn of(samples: impl IntoIterator<Item = Duration>) -> Self {
        let mut histogram = fine();
        samples.into_iter().for_each(|sample| histogram.saturating_record(micros(sample)));
        Self::of_histogram(&histogram)
    }

    pub(super) fn of_histogram(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |quantile| histogram.value_at_quantile(quantile).min(histogram.max());
        Self {
            count: histogram.len(),
            min_us: histogram.min(),
            mean_us: histogram.mean(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            p9999_us: at(0.9999),
            max_us: histogram.max(),
            curve: curve(histogram),
        }
    }

    /// The latency of any percentile: read off the curve, and never below the truth.
    pub fn at(&self, percentile: f64) -> u64 {
        let named = [
            (50.0, self.p50_us),
            (90.0, self.p90_us),
            (99.0, self.p99_us),
            (99.9, self.p999_us),
            (99.99, self.p9999_us),
        ];
        if let Some((_, latency_us)) = named.iter().find(|(known, _)| *known == percentile) {
            return *latency_us;
        }
        let beyond = self.curve.iter().find(|point| point.percentile >= percentile);
        beyond.map_or(self.max_us, |point| point.latency_us)
    }
}

fn curve(histogram: &Histogram<u64>) -> Vec<CurvePoint> {
    let points = histogram.iter_quantiles(CURVE_TICKS).map(|step| CurvePoint {
        percentile: step.quantile_iterated_to() * 100.0,
        latency_us: step.value_iterated_to().min(histogram.max()),
    });
    points.collect()
}
