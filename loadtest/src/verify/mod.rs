//! Checks of a running server that need a process to kill or a real clock.
//!
//! [`survive_kills`] kills the server at random moments under mixed load and holds every reply that it ever gave
//! against what it says after each restart. [`meet_deadlines`] lets thousands of pending transactions run out and
//! looks at when each ended and at the memory that they took. [`hold_long_polls`] looks at the memory of held calls.
//!
//! All drive the server through its doors only, and all fail with everything that they found wrong.

mod calls;
mod crowd;
mod disk_probe;
mod held;
mod kill_report;
mod kills;
mod ledger;
mod parallel;
mod recheck;
mod seen_end;
mod timeout_report;
mod timeouts;
mod traffic;

pub use held::{HeldReport, hold_long_polls};
pub use kill_report::KillReport;
pub use kills::{KillOptions, survive_kills};
pub use timeout_report::{Percentiles, TimeoutReport};
pub use timeouts::{TimeoutOptions, meet_deadlines};
