//! What a great many open transactions cost: memory for each, processor time of flows beside them, and a restart.
//!
//! Each is of a user of its own. They are started by portals that do not wait, and nobody answers them.

use std::time::{Duration, Instant};

use super::Prover;
use super::full_flow::is_sustained;
use super::results::Measured;
use crate::LoadtestError;
use crate::load::report::Report;
use crate::load::scenario::{Phase, PortalMix, Scenario, Shape, Share};
use crate::load::session::Session;

/// Open transactions that the processor time is held against.
const FEW: u64 = 1_000;

/// Transactions that are started in one go while the server is filled.
const FILL_AT_ONCE: u64 = 50_000;

/// The arrivals of such a go come within this time.
const FILL_TIME: Duration = Duration::from_millis(10);

/// Flows per second whose processor time is measured, unless `--rate` says otherwise.
const RATE_PER_S: f64 = 1_000.0;

/// Before it, so that neither side pays for what only the first flows pay.
const WARM_UP: Duration = Duration::from_secs(4);

/// Memory is read when it has not changed by more than [`SETTLED_SHARE`] for so long.
const SETTLE_STEP: Duration = Duration::from_secs(3);

/// A share of the whole.
const SETTLED_SHARE: f64 = 0.002;

/// Longest wait for that.
const SETTLE_MAX: Duration = Duration::from_secs(60);

/// Fills the server and measures it on the way, once: a server is full but once.
pub(super) async fn prove(
    prover: &Prover,
    session: &mut Session,
    measured: &mut Measured,
) -> Result<(), LoadtestError> {
    let pending = prover.pending();
    let flows = prover.scenario("full-flow");
    let rate = prover.rate().unwrap_or(RATE_PER_S);
    let few = FEW.min(pending);
    session.load(&fill(prover, 0, few)).await?;
    let beside_few = cpu_beside(prover, session, &flows, rate, measured).await?;
    let before = settled(prover, session).await?;
    let mut filled = few;
    let begun = Instant::now();
    while filled < pending && !prover.is_interrupted() {
        let more = FILL_AT_ONCE.min(pending - filled);
        let report = session.load(&fill(prover, filled, more)).await?;
        if report.counts.finished != more {
            let what = format!("{more} transactions were to be started: {:?}", report.counts);
            return Err(LoadtestError::Unexpected(what));
        }
        filled += more;
        let rate = filled as f64 / begun.elapsed().as_secs_f64();
        prover.tell(&format!("  {filled} open, {rate:.0}/s"));
    }
    let after = settled(prover, session).await?;
    let each = after.saturating_sub(before) as f64 / (filled - few).max(1) as f64;
    measured.figure("bytes_per_pending", each);
    prover.tell(&format!("  {each:.0} bytes of memory for each of {filled} open transactions"));
    let beside_many = cpu_beside(prover, session, &flows, rate, measured).await?;
    measured.figure("cpu_many_over_few", beside_many / beside_few);
    measured.figure("cpu_us_beside_few", beside_few);
    measured.figure("cpu_us_beside_many", beside_many);
    prover
        .tell(&format!("  a flow took {beside_few:.0} µs beside {few}, {beside_many:.0} µs beside {filled}"));
    let restarted = session.restart().await?;
    let [answered, recovered] = [restarted.answered, restarted.recovered].map(|time| time.as_secs_f64());
    measured.figure("restart_s", answered);
    measured.figure("recovered_s", recovered);
    prover.tell(&format!(
        "  a restart took {answered:.2} s until a start was answered, {recovered:.2} s until all had their actors"
    ));
    measured.notes = vec![format!("{filled} open transactions; processor time at {rate:.0} flows/s")];
    Ok(())
}

/// Starts of portals that do not wait, for users that nobody has asked yet; phones look away.
fn fill(prover: &Prover, first: u64, count: u64) -> Scenario {
    let mut scenario = prover.scenario("pending");
    scenario.first_flow = first;
    if let Some(phase) = scenario.phases.first_mut() {
        *phase = Phase { shape: Shape::Burst { flows: count }, duration: FILL_TIME, ..phase.clone() };
    }
    scenario.phases.truncate(1);
    scenario.portals.mix = PortalMix { sync: 0, long_poll: 0, sse: 0, callback: 0, absent: 1 };
    scenario.phones.ignore_share = Share::ALL;
    scenario
}

async fn cpu_beside(
    prover: &Prover,
    session: &mut Session,
    flows: &Scenario,
    rate: f64,
    measured: &mut Measured,
) -> Result<f64, LoadtestError> {
    session.load(&flows.at_rate(rate, prover.warm_up(WARM_UP))).await?;
    let report: Report = session.load(&flows.at_rate(rate, prover.length())).await?;
    measured.seen(&report);
    if !is_sustained(&report) && !prover.is_interrupted() {
        prover.tell(&format!("  {rate:.0} flows/s were NOT sustained: {:?}", report.counts));
    }
    let server = report.server.filter(|_| report.counts.finished > 0);
    let unseen = || LoadtestError::Unexpected("the server's processor time was not seen".to_owned());
    Ok(server.ok_or_else(unseen)?.cpu_us_per_flow)
}

/// The server's memory when it has come to rest.
async fn settled(prover: &Prover, session: &Session) -> Result<u64, LoadtestError> {
    let begun = Instant::now();
    let mut last = session.resident_bytes()?;
    loop {
        tokio::time::sleep(prover.warm_up(SETTLE_STEP)).await;
        let now = session.resident_bytes()?;
        let change = now.abs_diff(last) as f64;
        if change <= now as f64 * SETTLED_SHARE || begun.elapsed() > SETTLE_MAX {
            return Ok(now);
        }
        last = now;
    }
}
