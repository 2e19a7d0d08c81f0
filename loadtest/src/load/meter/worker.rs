//! What one worker thread counts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::hdr::StageTotals;
use super::slice::{Slice, Slices, second_of};
use super::stage::{Outcome, Stage};

/// The counts of one worker; no other thread sees it until it is handed over.
#[derive(Debug, Default)]
pub struct WorkerMeter {
    totals: FinishedMeter,
    open: BTreeMap<u64, Slice>,
}

/// All that one worker has counted, but for what [`WorkerMeter::take_slices`] has handed out.
#[derive(Debug, Default)]
pub struct FinishedMeter {
    pub(super) stages: [StageTotals; Stage::ALL.len()],
    pub(super) final_states: BTreeMap<Box<str>, u64>,
    pub(super) rest: Slices,
}

impl WorkerMeter {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A flow arrives: it was intended for this time and is under way from now on. Ends with
    /// [`record`](Self::record) of [`Stage::Flow`].
    pub fn arrived(&mut self, intended: Duration) {
        self.slice(intended).arrived += 1;
    }

    /// The generator itself drops an arrival, because too many are under way. It is no arrival in the sense of
    /// [`arrived`](Self::arrived).
    pub fn dropped(&mut self, intended: Duration) {
        self.slice(intended).dropped += 1;
    }

    /// A portal tries again what was refused or lost.
    pub fn retried(&mut self, now: Duration) {
        self.slice(now).retried += 1;
    }

    /// A transaction reached this final state, as somebody was told.
    pub fn reached(&mut self, final_state: &str) {
        count(&mut self.totals.final_states, final_state);
    }

    /// A stage ends now. `intended` is when it should have begun and `sent` when it did; for stages that nobody
    /// schedules (all after the create) they are the same.
    pub fn record(
        &mut self,
        stage: Stage,
        intended: Duration,
        sent: Duration,
        now: Duration,
        outcome: Outcome<'_>,
    ) {
        let totals = &mut self.totals.stages[stage.index()];
        let slice = self.open.entry(second_of(now)).or_default();
        match outcome {
            Outcome::Done => {
                totals.time(now.saturating_sub(intended), now.saturating_sub(sent));
                slice.time(stage, now.saturating_sub(intended));
            }
            Outcome::Untimed => totals.untimed += 1,
            Outcome::Refused(code) => count(&mut totals.refusals, code),
            Outcome::Failed(code) => count(&mut totals.errors, code),
        }
        if let Outcome::Refused(code) | Outcome::Failed(code) = outcome {
            count(&mut slice.errors, code);
        }
        if stage == Stage::Flow {
            slice.end(outcome);
        }
    }

    /// Hands out what happened in the seconds that are over at `now`. What comes in late for one of them is in a
    /// later call's.
    pub fn take_slices(&mut self, now: Duration) -> Slices {
        let still_open = self.open.split_off(&second_of(now));
        Slices(std::mem::replace(&mut self.open, still_open))
    }

    /// The end.
    pub fn finish(mut self) -> FinishedMeter {
        self.totals.rest = Slices(self.open);
        self.totals
    }

    fn slice(&mut self, at: Duration) -> &mut Slice {
        self.open.entry(second_of(at)).or_default()
    }
}

/// Different codes that are counted; what comes beyond is [`OTHER`]. Codes are few, but a broken server could send
/// any text.
const CODES_MAX: usize = 64;

/// The code of what is beyond.
const OTHER: &str = "other";

/// Adds one to the count of `code`.
pub(super) fn count(counts: &mut BTreeMap<Box<str>, u64>, code: &str) {
    add(counts, code, 1);
}

/// Adds to the count of `code`.
pub(super) fn add(counts: &mut BTreeMap<Box<str>, u64>, code: &str, more: u64) {
    if let Some(known) = counts.get_mut(code) {
        *known += more;
    } else if counts.len() < CODES_MAX {
        counts.insert(code.into(), more);
    } else {
        *counts.entry(OTHER.into()).or_default() += more;
    }
}
