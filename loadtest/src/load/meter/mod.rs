//! Counts and latencies of a run.
//!
//! Each worker thread has a [`WorkerMeter`] of its own and writes into it without a lock. Once a second it hands
//! out what has happened since as [`Slices`], which a [`RunMeter`] takes in for the progress bar and the series;
//! at the end it hands over the whole as a [`FinishedMeter`].
//!
//! Latencies are kept in HDR histograms, twice for each stage: from the intended time and from the sending.

mod hdr;
mod run;
mod series;
mod slice;
mod stage;
mod worker;

#[cfg(test)]
mod tests;

pub use hdr::{CurvePoint, Latencies};
pub use run::{Live, RunMeter};
pub use series::{RowLatency, SeriesRow};
pub use slice::Slices;
pub use stage::{Outcome, Stage};
pub use worker::{FinishedMeter, WorkerMeter};
