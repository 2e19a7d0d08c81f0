//! Whole flows at the highest rate that is sustained: nothing is dropped, refused or failed, and the p99 of a flow
//! stays bounded, so that no backlog grows.

use std::time::Duration;

use super::Prover;
use super::results::Measured;
use super::search::RateSearch;
use crate::LoadtestError;
use crate::load::meter::Stage;
use crate::load::report::Report;
use crate::load::scenario::{Doors, Scenario};
use crate::load::session::Session;

/// A rate is sustained only while this many of 100 flows are quicker than [`FLOW_TIME_MAX`].
const PERCENTILE: f64 = 99.0;

/// A backlog that grows reaches it within a trial; a hiccup of the disk does not.
const FLOW_TIME_MAX: Duration = Duration::from_millis(250);

/// Connections are opened and caches filled before anything counts.
const WARM_UP: Duration = Duration::from_secs(3);

/// How long a rate is tried, as a share of how long it must hold.
const TRIAL_SHARE: f64 = 0.3;

/// How much is taken off a rate that did not hold so long.
const STEP_DOWN: f64 = 0.96;

/// How often.
const STEPS_MAX: u32 = 5;

/// Where a search begins that knows nothing.
const FIRST_RATE: f64 = 2_000.0;

/// Measures it as often as asked.
pub(super) async fn prove(prover: &Prover, session: &mut Session) -> Result<Measured, LoadtestError> {
    let scenario = prover.scenario("full-flow");
    let mut measured = Measured::default();
    session.load(&scenario.at_rate(FIRST_RATE / 2.0, prover.warm_up(WARM_UP))).await?;
    let mut first = FIRST_RATE;
    for run in 0..prover.runs() {
        let report = match prover.rate() {
            Some(rate) => session.load(&scenario.at_rate(rate, prover.length())).await?,
            None => highest(prover, session, &scenario, first).await?,
        };
        if prover.is_interrupted() {
            break;
        }
        measured.seen(&report);
        let rate = report.counts.finished_per_s;
        first = rate;
        measured.figure("flows_per_s", if is_sustained(&report) { rate } else { 0.0 });
        let finished = report.counts.finished.max(1) as f64;
        if let Some(server) = &report.server {
            measured.figure("server_cpu_us_per_flow", server.cpu_us_per_flow);
        }
        measured.figure("generator_cpu_us_per_flow", report.generator_cpu_s * 1e6 / finished);
        let flow_p99_us = report.stage(Stage::Flow).map_or(0, |flow| flow.from_intended.p99_us);
        measured.figure("flow_p99_ms", flow_p99_us as f64 / 1e3);
        prover.tell(&format!("run {}: {}", run + 1, sentence(&report)));
        let half = session.load(&scenario.at_rate(rate / 2.0, prover.length())).await?;
        measured.seen(&half);
        for (key, stage) in [("create_p99_syncs", Stage::Create), ("told_p99_syncs", Stage::WaiterTold)] {
            if let Some(syncs) = p99_syncs(&half, stage) {
                measured.figure(key, syncs);
                prover.tell(&format!("  at half of it: {} p99 {syncs:.2} × a sync's", stage.title()));
            }
        }
    }
    Ok(measured)
}

/// Measures it once in another form, to be told beside: over TLS, or with phones that answer from the push.
pub(super) async fn tell_beside(
    prover: &Prover,
    session: &mut Session,
    form: Form,
    measured: &mut Measured,
) -> Result<(), LoadtestError> {
    let scenario = form.of(prover.scenario("full-flow"));
    session.load(&scenario.at_rate(FIRST_RATE / 2.0, prover.warm_up(WARM_UP))).await?;
    let report = match prover.rate() {
        Some(rate) => session.load(&scenario.at_rate(rate, prover.length())).await?,
        None => highest(prover, session, &scenario, FIRST_RATE).await?,
    };
    let [rate_key, cpu_key] = form.keys();
    measured.figure(rate_key, if is_sustained(&report) { report.counts.finished_per_s } else { 0.0 });
    measured.figure(cpu_key, report.server.map_or(0.0, |server| server.cpu_us_per_flow));
    prover.tell(&format!("{}: {}", form.name(), sentence(&report)));
    Ok(())
}

/// A form of flow that is told beside the plain one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Doors speak TLS.
    Tls,
    /// Phones take the challenge out of the push and fetch nothing.
    Hpke,
}

impl Form {
    pub(super) const ALL: [Self; 2] = [Self::Tls, Self::Hpke];

    /// The same scenario in this form.
    pub(super) fn of(self, mut scenario: Scenario) -> Scenario {
        match self {
            Self::Tls => scenario.doors = Doors::Tls,
            Self::Hpke => scenario.phones.hpke = true,
        }
        scenario
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Tls => "over TLS",
            Self::Hpke => "from the push (HPKE)",
        }
    }

    /// The part of a kept folder in which it is measured.
    pub(super) const fn folder(self) -> &'static str {
        match self {
            Self::Tls => "full-flow-tls",
            Self::Hpke => "full-flow-hpke",
        }
    }

    const fn keys(self) -> [&'static str; 2] {
        match self {
            Self::Tls => ["flows_per_s_tls", "server_cpu_us_per_flow_tls"],
            Self::Hpke => ["flows_per_s_hpke", "server_cpu_us_per_flow_hpke"],
        }
    }
}

/// The report of the longest stretch at the highest rate.
async fn highest(
    prover: &Prover,
    session: &mut Session,
    scenario: &Scenario,
    first: f64,
) -> Result<Report, LoadtestError> {
    let mut search = RateSearch::from(first);
    while let Some(rate) = search.next() {
        let report = session.load(&scenario.at_rate(rate, prover.length().mul_f64(TRIAL_SHARE))).await?;
        if prover.is_interrupted() {
            return Ok(report);
        }
        search.told(rate, is_sustained(&report));
        prover.tell(&format!("  tried {rate:.0}/s: {}", sentence(&report)));
    }
    let mut rate = search.found().unwrap_or(FIRST_RATE / 4.0);
    let mut report = session.load(&scenario.at_rate(rate, prover.length())).await?;
    for _ in 0..STEPS_MAX {
        if is_sustained(&report) || prover.is_interrupted() {
            break;
        }
        prover.tell(&format!("  did not hold for {} s: {}", prover.length().as_secs(), sentence(&report)));
        rate *= STEP_DOWN;
        report = session.load(&scenario.at_rate(rate, prover.length())).await?;
    }
    Ok(report)
}

/// All that arrived ended well, and in time.
pub(super) fn is_sustained(report: &Report) -> bool {
    let counts = &report.counts;
    let is_whole = counts.arrived > 0
        && counts.finished == counts.arrived
        && counts.dropped + counts.refused + counts.failed + counts.unfinished == 0;
    let flow = report.stage(Stage::Flow).map(|flow| flow.from_intended.at(PERCENTILE));
    is_whole && flow.is_some_and(|p99_us| Duration::from_micros(p99_us) <= FLOW_TIME_MAX)
}

/// The p99 of a stage over the disk's own sync p99, of the same run.
fn p99_syncs(report: &Report, stage: Stage) -> Option<f64> {
    let p99_us = report.stage(stage)?.from_intended.p99_us as f64;
    let sync_us = report.disk.as_ref()?.sync_p99_us();
    (sync_us > 0).then(|| p99_us / sync_us as f64)
}

fn sentence(report: &Report) -> String {
    let counts = &report.counts;
    let server_us = report.server.map_or(0.0, |server| server.cpu_us_per_flow);
    let generator_us = report.generator_cpu_s * 1e6 / counts.finished.max(1) as f64;
    let p99_us = report.stage(Stage::Flow).map_or(0, |flow| flow.from_intended.p99_us);
    format!(
        "{} {:.0} flows/s, p99 {:.1} ms, server {server_us:.0} µs and generator {generator_us:.0} µs of processor time \
         each; {} of {} failed, {} dropped",
        if is_sustained(report) { "sustained" } else { "NOT sustained:" },
        counts.finished_per_s,
        p99_us as f64 / 1e3,
        counts.failed + counts.refused + counts.unfinished,
        counts.arrived,
        counts.dropped
    )
}
