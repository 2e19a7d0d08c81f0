//! What happened in one second.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::hdr::{coarse, micros};
use super::stage::{Outcome, Stage};

/// Seconds that are over, from one worker.
#[derive(Debug, Default)]
pub struct Slices(pub(super) BTreeMap<u64, Slice>);

/// One second.
#[derive(Debug, Default)]
pub(super) struct Slice {
    /// Flows that were intended for this second and went on their way.
    pub(super) arrived: u64,
    /// Flows that were intended for this second and that the generator dropped.
    pub(super) dropped: u64,
    /// Flows that ended well.
    pub(super) finished: u64,
    /// Flows whose start was refused for good.
    pub(super) refused: u64,
    /// Flows that ended otherwise.
    pub(super) failed: u64,
    /// Further tries of portals.
    pub(super) retried: u64,
    /// Refusals and failures of all stages by their codes.
    pub(super) errors: BTreeMap<Box<str>, u64>,
    /// Latencies from the intended time.
    pub(super) stages: [Option<Box<Histogram<u32>>>; Stage::ALL.len()],
}

impl Slice {
    pub(super) fn time(&mut self, stage: Stage, from_intended: Duration) {
        let histogram = self.stages[stage.index()].get_or_insert_with(coarse);
        // Not `saturating_record`: it does not grow.
        histogram.record(micros(from_intended)).expect("it grows as it must");
    }

    pub(super) fn end(&mut self, outcome: Outcome<'_>) {
        match outcome {
            Outcome::Done | Outcome::Untimed => self.finished += 1,
            Outcome::Refused(_) => self.refused += 1,
            Outcome::Failed(_) => self.failed += 1,
        }
    }
}

/// The second in which this time falls.
pub(super) fn second_of(at: Duration) -> u64 {
    at.as_secs()
}
