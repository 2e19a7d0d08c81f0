//! Load, measured: open-loop arrivals against a running server, and what came of them.
//!
//! Here are the pure parts, which see neither a clock nor the network: [`scenario`] says what shall happen,
//! [`arrivals`] when, [`plan`] who does what in a flow; [`meter`] counts, [`verdict`] judges and [`report`] tells.
//!
//! Times are [`Duration`](std::time::Duration)s since the start of a run. A latency counts from the time at which
//! it was *intended* to begin, so that a generator which is held up does not hide what its users would have felt;
//! beside it stands the latency from the sending.

pub mod arrivals;
pub mod meter;
pub mod plan;
pub mod report;
pub mod scenario;
pub mod verdict;
