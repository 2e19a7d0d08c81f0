//! All workers together.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::hdr::{Latencies, StageTotals, coarse};
use super::series::{RowLatency, SeriesRow};
use super::slice::{Slice, Slices};
use super::stage::Stage;
use super::worker::{FinishedMeter, add};

/// Rows of a series; with one more, two neighbours become one each.
const ROWS_MAX: usize = 600;

/// The counts of a whole run.
#[derive(Debug)]
pub struct RunMeter {
    stages: [StageTotals; Stage::ALL.len()],
    final_states: BTreeMap<Box<str>, u64>,
    /// By their number: the second divided by the length of a row.
    rows: BTreeMap<u64, Slice>,
    row_length_s: u64,
    newest: (u64, Slice),
}

/// How a run goes, for whoever watches it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Flows that arrived so far.
    pub arrived: u64,
    /// Flows that the generator dropped so far.
    pub dropped: u64,
    /// Flows that ended well so far.
    pub finished: u64,
    /// Flows whose start was refused for good so far.
    pub refused: u64,
    /// Flows that ended otherwise so far.
    pub failed: u64,
    /// Flows that ended well in the newest second.
    pub finished_per_s: u64,
    /// Half of the whole flows that ended in that second took no longer.
    pub flow_p50_us: u64,
    /// 99 of 100 took no longer.
    pub flow_p99_us: u64,
}

impl Live {
    /// Flows under way.
    pub const fn in_flight(&self) -> u64 {
        self.arrived.saturating_sub(self.finished + self.refused + self.failed)
    }
}

impl Default for RunMeter {
    fn default() -> Self {
        Self {
            stages: Default::default(),
            final_states: BTreeMap::new(),
            rows: BTreeMap::new(),
            row_length_s: 1,
            newest: Default::default(),
        }
    }
}

impl RunMeter {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in what happened at one worker.
    pub fn absorb(&mut self, slices: Slices) {
        for (second, slice) in slices.0 {
            if second > self.newest.0 {
                self.newest = (second, Slice::default());
            }
            if second == self.newest.0 {
                merge(&mut self.newest.1, &slice);
            }
            merge(self.rows.entry(second / self.row_length_s).or_default(), &slice);
        }
        while self.rows.len() > ROWS_MAX {
            self.row_length_s *= 2;
            for (number, slice) in std::mem::take(&mut self.rows) {
                merge(self.rows.entry(number / 2).or_default(), &slice);
            }
        }
    }

    /// Takes in all that a worker leaves.
    pub fn finish(&mut self, worker: FinishedMeter) {
        for (total, part) in self.stages.iter_mut().zip(worker.stages) {
            total.from_intended.add(&part.from_intended).expect("all have the same bounds");
            total.from_sent.add(&part.from_sent).expect("all have the same bounds");
            total.untimed += part.untimed;
            part.refusals.iter().for_each(|(code, more)| add(&mut total.refusals, code, *more));
            part.errors.iter().for_each(|(code, more)| add(&mut total.errors, code, *more));
        }
        worker.final_states.iter().for_each(|(state, more)| add(&mut self.final_states, state, *more));
        self.absorb(worker.rest);
    }

    /// How it goes.
    pub fn live(&self) -> Live {
        let mut live = Live::default();
        for slice in self.rows.values() {
            live.arrived += slice.arrived;
            live.dropped += slice.dropped;
            live.finished += slice.finished;
            live.refused += slice.refused;
            live.failed += slice.failed;
        }
        live.finished_per_s = self.newest.1.finished;
        if let Some(flow) = &self.newest.1.stages[Stage::Flow.index()] {
            live.flow_p50_us = flow.value_at_quantile(0.5);
            live.flow_p99_us = flow.value_at_quantile(0.99);
        }
        live
    }

    /// The rows, without gaps from the first second on.
    pub fn series(&self) -> Vec<SeriesRow> {
        let Some((last, _)) = self.rows.last_key_value() else {
            return Vec::new();
        };
        let (nothing, mut in_flight) = (Slice::default(), 0_u64);
        let rows = (0..=*last).map(|number| {
            let slice = self.rows.get(&number).unwrap_or(&nothing);
            in_flight =
                (in_flight + slice.arrived).saturating_sub(slice.finished + slice.refused + slice.failed);
            row(number * self.row_length_s, self.row_length_s, in_flight, slice)
        });
        rows.collect()
    }

    /// Latencies of one stage from the intended time.
    pub fn from_intended(&self, stage: Stage) -> Latencies {
        Latencies::of_histogram(&self.stages[stage.index()].from_intended)
    }

    /// Latencies of one stage from the sending.
    pub fn from_sent(&self, stage: Stage) -> Latencies {
        Latencies::of_histogram(&self.stages[stage.index()].from_sent)
    }

    /// How often a stage ended well: timed or not.
    pub fn done(&self, stage: Stage) -> u64 {
        let totals = &self.stages[stage.index()];
        totals.from_intended.len() + totals.untimed
    }

    /// How often a stage was refused with `Retry-After`, by codes.
    pub fn refusals(&self, stage: Stage) -> BTreeMap<String, u64> {
        owned(&self.stages[stage.index()].refusals)
    }

    /// How often a stage failed, by codes.
    pub fn errors(&self, stage: Stage) -> BTreeMap<String, u64> {
        owned(&self.stages[stage.index()].errors)
    }

    /// Final states and how many transactions reached each.
    pub fn final_states(&self) -> BTreeMap<String, u64> {
        owned(&self.final_states)
    }
}

fn owned(counts: &BTreeMap<Box<str>, u64>) -> BTreeMap<String, u64> {
    counts.iter().map(|(code, count)| (code.to_string(), *count)).collect()
}

fn merge(row: &mut Slice, slice: &Slice) {
    row.arrived += slice.arrived;
    row.dropped += slice.dropped;
    row.finished += slice.finished;
    row.refused += slice.refused;
    row.failed += slice.failed;
    row.retried += slice.retried;
    slice.errors.iter().for_each(|(code, more)| add(&mut row.errors, code, *more));
    for (total, part) in row.stages.iter_mut().zip(&slice.stages) {
        let Some(part) = part else { continue };
        total.get_or_insert_with(coarse).add(part.as_ref()).expect("it grows as it must");
    }
}

fn row(from_s: u64, length_s: u64, in_flight: u64, slice: &Slice) -> SeriesRow {
    let stages = Stage::ALL.iter().zip(&slice.stages);
    SeriesRow {
        from_s,
        length_s,
        arrived: slice.arrived,
        dropped: slice.dropped,
        finished: slice.finished,
        refused: slice.refused,
        failed: slice.failed,
        retried: slice.retried,
        in_flight,
        errors: owned(&slice.errors),
        stages: stages
            .filter_map(|(stage, times)| times.as_deref().map(|times| row_latency(*stage, times)))
            .collect(),
    }
}

fn row_latency(stage: Stage, times: &Histogram<u32>) -> RowLatency {
    let at = |quantile| times.value_at_quantile(quantile).min(times.max());
    RowLatency { stage, count: times.len(), p50_us: at(0.5), p99_us: at(0.99), max_us: times.max() }
}
