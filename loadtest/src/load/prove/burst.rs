//! Bursts: 100,000 arrivals within five seconds, answered at once; and how quickly a burst is accepted (stored, and its
//! pushes at the networks) when its answers come later.

use std::time::Duration;

use super::Prover;
use super::results::Measured;
use crate::LoadtestError;
use crate::load::meter::Stage;
use crate::load::report::Report;
use crate::load::scenario::{AnswerDelay, Fetch, Phase, PortalMix, Scenario, Shape};
use crate::load::session::Session;

/// Connections are opened and caches filled before anything counts.
const WARM_UP: Duration = Duration::from_secs(3);

/// Flows per second of it.
const WARM_UP_RATE: f64 = 1_000.0;

/// All arrivals of an acceptance come within this time: at once.
const AT_ONCE: Duration = Duration::from_millis(10);

/// People answer so much later than the length of a proof: the burst has been accepted before.
const ANSWERED_AFTER: Duration = Duration::from_secs(5);

/// The arrivals of the scenario, as often as asked.
pub(super) async fn prove_burst(prover: &Prover, session: &mut Session) -> Result<Measured, LoadtestError> {
    let scenario = prover.scenario("burst-100k");
    let mut measured = Measured::default();
    session.load(&scenario.at_rate(WARM_UP_RATE, prover.warm_up(WARM_UP))).await?;
    for run in 0..prover.runs() {
        let report = session.load(&scenario).await?;
        if prover.is_interrupted() {
            break;
        }
        measured.seen(&report);
        let counts = &report.counts;
        measured.figure("created", counts.created as f64);
        measured.figure("unanswered", (counts.unanswered + counts.dropped) as f64);
        measured.figure("unfinished", counts.unfinished as f64);
        if let Some(server) = &report.server {
            measured.figure("resident_mib", server.resident_max_bytes as f64 / 1_048_576.0);
        }
        let p99_us = |stage| report.stage(stage).map_or(0, |found| found.from_intended.p99_us);
        measured.figure("create_p99_s", p99_us(Stage::Create) as f64 / 1e6);
        measured.figure("flow_p99_s", p99_us(Stage::Flow) as f64 / 1e6);
        prover.tell(&format!(
            "run {}: {} arrived, {} got 201, {} were refused with Retry-After, {} got neither, {} without a known end, \
             create p99 {:.2} s",
            run + 1,
            counts.arrived,
            counts.created,
            counts.refused,
            counts.unanswered + counts.dropped,
            counts.unfinished,
            p99_us(Stage::Create) as f64 / 1e6
        ));
    }
    Ok(measured)
}

/// How quickly as many transactions as there are users are stored and pushed, as often as asked.
pub(super) async fn prove_acceptance(
    prover: &Prover,
    session: &mut Session,
) -> Result<Measured, LoadtestError> {
    let scenario = prover.scenario("burst-acceptance");
    let warm_up = Scenario {
        phones: scenario.phones.at_once(),
        ..scenario.at_rate(WARM_UP_RATE, prover.warm_up(WARM_UP))
    };
    session.load(&warm_up).await?;
    let answered_after = prover.length() + ANSWERED_AFTER;
    let scenario = all_at_once(scenario, answered_after);
    let mut measured = Measured::default();
    for run in 0..prover.runs() {
        let Some(report) = accepted(prover, session, &scenario, &mut measured).await? else { break };
        let rate = accepted_per_s(&report, answered_after)?;
        measured.figure("accepted_per_s", rate);
        let create_p99_us = report.stage(Stage::Create).map_or(0, |create| create.from_sent.p99_us);
        measured.figure("create_p99_ms", create_p99_us as f64 / 1e3);
        let cpu_us = report.server.map_or(0.0, |server| server.cpu_us_per_flow);
        prover.tell(&format!(
            "run {}: {rate:.0} transactions/s stored and pushed; with its answers each took {cpu_us:.0} µs of the server's \
             processor time",
            run + 1
        ));
    }
    // The other kind of app, which does a part of what comes later at once.
    let mut fetched_at_once = scenario;
    fetched_at_once.phones.fetch = Fetch::AtOnce;
    if let Some(report) = accepted(prover, session, &fetched_at_once, &mut measured).await? {
        match accepted_per_s(&report, answered_after) {
            Ok(rate) => {
                measured.figure("accepted_beside_fetches_per_s", rate);
                prover.tell(&format!(
                    "{rate:.0} transactions/s beside phones that fetch their challenges at once"
                ));
            }
            // No target hangs on it, and what was measured before is kept.
            Err(error) => prover.tell(&format!("beside phones that fetch their challenges at once: {error}")),
        }
    }
    Ok(measured)
}

/// One burst; `None` when somebody wants an end.
async fn accepted(
    prover: &Prover,
    session: &mut Session,
    scenario: &Scenario,
    measured: &mut Measured,
) -> Result<Option<Report>, LoadtestError> {
    if prover.is_interrupted() {
        return Ok(None);
    }
    let report = session.load(scenario).await?;
    if prover.is_interrupted() {
        return Ok(None);
    }
    measured.seen(&report);
    Ok(Some(report))
}

/// Each user once, all within a moment, and nobody answers before all are accepted.
fn all_at_once(mut scenario: Scenario, answered_after: Duration) -> Scenario {
    let flows = u64::from(scenario.phones.count);
    if let Some(phase) = scenario.phases.first_mut() {
        *phase = Phase { shape: Shape::Burst { flows }, duration: AT_ONCE, ..phase.clone() };
    }
    scenario.phases.truncate(1);
    scenario.portals.mix = PortalMix { sync: 0, long_poll: 0, sse: 0, callback: 0, absent: 1 };
    scenario.flows.drain += answered_after;
    scenario.phones.answer_delay = AnswerDelay::LogNormal { median: answered_after, sigma: 0.0 };
    scenario
}

/// Over the time until the last of them was stored and pushed, which all of them must be, and answered later.
fn accepted_per_s(report: &Report, answered_after: Duration) -> Result<f64, LoadtestError> {
    let counts = &report.counts;
    let answered = report.stage(Stage::Answer).map_or(0, |answer| answer.done);
    let is_whole = |done, max_us| {
        counts.arrived > 0
            && counts.dropped == 0
            && done == counts.arrived
            && answered == counts.arrived
            && Duration::from_micros(max_us) < answered_after
    };
    match report.stage(Stage::Flow) {
        Some(flow) if is_whole(flow.done, flow.from_intended.max_us) => {
            Ok(counts.arrived as f64 / (flow.from_intended.max_us as f64 / 1e6))
        }
        _ => Err(LoadtestError::Unexpected(format!(
            "not all of a burst was accepted in time, and answered later: {answered} answers, {counts:?}"
        ))),
    }
}
