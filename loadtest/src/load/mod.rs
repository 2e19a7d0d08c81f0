//! Load, measured: open-loop arrivals against a running server, and what came of them.
//!
//! Here are the pure parts, which see neither a clock nor the network: [`scenario`] says what shall happen,
//! [`arrivals`] when, [`plan`] who does what in a flow; [`meter`] counts, [`verdict`] judges and [`report`] tells.
//! [`run()`] does it: it starts a server with doubles around it, enrols a crowd of phones, lets flows arrive and watches.
//!
//! Times are [`Duration`](std::time::Duration)s since the start of a run. A latency counts from the time at which
//! it was *intended* to begin, so that a generator which is held up does not hide what its users would have felt;
//! beside it stands the latency from the sending.

pub mod arrivals;
pub mod meter;
pub mod plan;
pub mod prove;
pub mod report;
pub mod scenario;
pub mod verdict;

mod bare;
mod bindings;
mod clock;
mod conductor;
mod crew;
mod crowd;
mod disk;
mod doors;
mod machine;
mod outside;
mod pelt;
mod phones;
mod portals;
mod progress;
mod receiver;
mod run;
mod session;
mod signer;
mod summary;
mod target;
mod watch;
mod worker;

pub use run::{Ran, RunOptions, run, write_report};
pub use summary::Summary;
pub use target::{ForeignTarget, TargetChoice};
pub use verdict::MISSED;
