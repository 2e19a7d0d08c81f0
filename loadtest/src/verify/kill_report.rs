//! What happened when the server was killed again and again.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tocsin_model::State;

use super::traffic::Traffic;

/// What happened.
#[derive(Clone, Debug)]
pub struct KillReport {
    /// The seed.
    pub seed: u64,
    /// Kills under load.
    pub kills: u32,
    /// Those that left calls unanswered.
    pub hits: u32,
    /// Kills of a restart before it was ready, which are not counted above.
    pub early_kills: u32,
    /// Calls that were never answered, all kills together.
    pub unanswered: usize,
    /// Fewest calls in flight at a kill.
    pub in_flight_min: usize,
    /// Most calls in flight at a kill.
    pub in_flight_max: usize,
    /// Calls all together.
    pub calls: u64,
    /// Starts, answers and cancels among them.
    pub starts: u64,
    /// Answers among them.
    pub answers: u64,
    /// Cancels among them.
    pub cancels: u64,
    /// Calls that the server was too busy for.
    pub busy: u64,
    /// Transactions that were looked at in the end.
    pub transactions: usize,
    /// Those of them that ended as accepted, declined or reported, cancelled, and by time-out.
    pub ends: [usize; 3],
    /// Slowest restart.
    pub restart_max: Duration,
    /// The whole.
    pub took: Duration,
}

impl fmt::Display for KillReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, kills, hits, early_kills, unanswered, in_flight_min, in_flight_max, .. } = self;
        let Self { calls, starts, answers, cancels, busy, transactions, ends, .. } = self;
        let [answered, cancelled, timed_out] = ends;
        let (restart, took) = (self.restart_max.as_millis(), self.took.as_secs_f32());
        writeln!(formatter, "kills under load: {kills} (TOCSIN_SEED={seed}), {took:.1} s in all")?;
        writeln!(formatter, "  hit unanswered calls: {hits} of {kills}; never answered: {unanswered} calls")?;
        writeln!(
            formatter,
            "  in flight at a kill: {in_flight_min} to {in_flight_max} calls, long polls beside"
        )?;
        writeln!(formatter, "  killed before they were ready, beside these: {early_kills} restarts")?;
        writeln!(
            formatter,
            "  calls: {calls} ({starts} starts, {answers} answers, {cancels} cancels, {busy} busy)"
        )?;
        write!(formatter, "  transactions: {transactions}, of them answered {answered}, ")?;
        writeln!(formatter, "cancelled {cancelled}, timed out {timed_out}; all found, each with one end")?;
        write!(formatter, "  slowest restart: {restart} ms")
    }
}

impl KillReport {
    /// Of nothing yet.
    pub(super) fn empty(seed: u64) -> Self {
        Self {
            seed,
            kills: 0,
            hits: 0,
            early_kills: 0,
            unanswered: 0,
            in_flight_min: usize::MAX,
            in_flight_max: 0,
            calls: 0,
            starts: 0,
            answers: 0,
            cancels: 0,
            busy: 0,
            transactions: 0,
            ends: [0; 3],
            restart_max: Duration::ZERO,
            took: Duration::ZERO,
        }
    }

    /// Adds what the traffic has counted.
    pub(super) fn enter(&mut self, traffic: &Traffic) {
        let counted = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &traffic.counts;
        self.calls = counted(&counts.calls);
        self.starts = counted(&counts.starts);
        self.answers = counted(&counts.answers);
        self.cancels = counted(&counts.cancels);
        self.busy = counted(&counts.busy);
        let ledger = traffic.ledger();
        self.transactions = ledger.len();
        let decided = [State::Accepted, State::Declined, State::Reported];
        let answered = decided.into_iter().map(|state| ledger.ended(state)).sum();
        self.ends = [answered, ledger.ended(State::Cancelled), ledger.ended(State::Timeout)];
    }
}
