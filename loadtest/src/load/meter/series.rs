//! A run over time, in rows of one second or, in a long run, of more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::stage::Stage;

/// What happened from one row to the next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SeriesRow {
    /// When it begins, in seconds since the start of the run.
    pub from_s: u64,
    /// How long it is.
    pub length_s: u64,
    /// Flows that were intended for it and went on their way.
    pub arrived: u64,
    /// Flows that were intended for it and that the generator dropped.
    pub dropped: u64,
    /// Flows that ended well.
    pub finished: u64,
    /// Flows whose start was refused for good.
    pub refused: u64,
    /// Flows that ended otherwise.
    pub failed: u64,
    /// Further tries of portals.
    pub retried: u64,
    /// Flows under way at its end.
    pub in_flight: u64,
    /// Refusals and failures of all stages by their codes.
    pub errors: BTreeMap<String, u64>,
    /// Latencies from the intended time, of the stages that ended in it.
    pub stages: Vec<RowLatency>,
}

/// Latencies of one stage in one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowLatency {
    /// The stage.
    pub stage: Stage,
    /// How many were timed.
    pub count: u64,
    /// Half are no slower.
    pub p50_us: u64,
    /// 99 of 100 are no slower.
    pub p99_us: u64,
    /// The slowest.
    pub max_us: u64,
}
