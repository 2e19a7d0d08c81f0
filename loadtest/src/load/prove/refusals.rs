//! Answers that are refused before any signature is checked: how many a second, on one core of the server.

use std::time::Duration;

use super::Prover;
use super::results::Measured;
use crate::LoadtestError;
use crate::load::pelt::{Pelted, Wrong};
use crate::load::session::Session;

/// Before it, so that connections and caches are there.
const WARM_UP: Duration = Duration::from_secs(2);

/// Flows per second of it.
const WARM_UP_RATE: f64 = 500.0;

/// How long answers of one kind are thrown, as a share of the length of a proof.
const EACH_SHARE: f64 = 0.15;

/// Measures each kind, as often as asked.
pub(super) async fn prove(prover: &Prover, session: &mut Session) -> Result<Measured, LoadtestError> {
    let scenario = prover.scenario("refusals");
    let mut measured = Measured::default();
    let report = session.load(&scenario.at_rate(WARM_UP_RATE, prover.warm_up(WARM_UP))).await?;
    measured.seen(&report);
    measured.limits.clear();
    for run in 0..prover.runs() {
        if prover.is_interrupted() {
            break;
        }
        let all = session.pelt(run, prover.length().mul_f64(EACH_SHARE)).await?;
        let mut slowest = f64::INFINITY;
        for pelted in &all {
            let rate = per_core(pelted);
            measured.figure(pelted.wrong.name(), rate);
            if pelted.wrong != Wrong::Signature {
                slowest = slowest.min(rate);
            }
            let replies: Vec<&str> = pelted.replies.keys().map(String::as_str).collect();
            prover.tell(&format!(
                "run {}: {} ({}): {rate:.0}/s per core, {:.0}/s in all",
                run + 1,
                pelted.wrong.name(),
                replies.join(", "),
                pelted.refused as f64 / pelted.took.as_secs_f64()
            ));
        }
        measured.figure("slowest", slowest);
    }
    measured.notes = vec!["16 calls under way over each of 8 connections (HTTP/1.1 pipelining)".to_owned()];
    Ok(measured)
}

/// Over the processor time that the server spent on it.
fn per_core(pelted: &Pelted) -> f64 {
    let cpu_s = pelted.cpu.as_secs_f64();
    if cpu_s > 0.0 { pelted.refused as f64 / cpu_s } else { 0.0 }
}
