//! Holds a report against what its scenario asks: a sentence for each threshold, and an exit code for scripts.

use serde::{Deserialize, Serialize};

use super::meter::Latencies;
use super::report::Report;
use super::scenario::{LatencyFrom, LatencyThreshold, Limit, Thresholds};

/// Exit code of a run that missed a threshold; 1 is a run that could not be made, 2 a wrong command line.
pub const MISSED: u8 = 3;

/// Whether a run reached what it had to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// One for each threshold, in the order of the scenario's documentation.
    pub judged: Vec<Judged>,
}

/// One threshold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// It was met.
    pub is_met: bool,
    /// What was asked and what was seen.
    pub sentence: String,
}

impl Verdict {
    /// No threshold was missed.
    pub fn is_met(&self) -> bool {
        self.judged.iter().all(|judged| judged.is_met)
    }

    /// For scripts: 0 if no threshold was missed, else 3.
    pub fn exit_code(&self) -> u8 {
        if self.is_met() { 0 } else { MISSED }
    }

    fn at_most(&mut self, what: &str, unit: &str, seen: f64, bound: Option<f64>) {
        if let Some(bound) = bound {
            let sentence = format!("{what}: {}{unit}, at most {}{unit}", short(seen), short(bound));
            self.judged.push(Judged { is_met: seen <= bound, sentence });
        }
    }

    fn at_least(&mut self, what: &str, unit: &str, seen: f64, bound: Option<f64>) {
        if let Some(bound) = bound {
            let sentence = format!("{what}: {}{unit}, at least {}{unit}", short(seen), short(bound));
            self.judged.push(Judged { is_met: seen >= bound, sentence });
        }
    }

    fn unseen(&mut self, what: &str, why: &str) {
        self.judged.push(Judged { is_met: false, sentence: format!("{what}: cannot be judged, {why}") });
    }
}

/// Judges a run. What was asked and could not be measured counts as missed, so that a broken measurement never
/// looks like a success.
pub fn judge(thresholds: &Thresholds, report: &Report) -> Verdict {
    let mut verdict = Verdict::default();
    judge_counts(&mut verdict, thresholds, report);
    judge_server(&mut verdict, thresholds, report);
    for threshold in &thresholds.latencies {
        judge_latency(&mut verdict, threshold, report);
    }
    verdict
}

fn judge_counts(verdict: &mut Verdict, thresholds: &Thresholds, report: &Report) {
    let counts = &report.counts;
    let number = |bound: Option<u64>| bound.map(|bound| bound as f64);
    if let Some(bound) = thresholds.failed_share_max {
        let what = "failed or refused flows of those that arrived";
        if counts.arrived == 0 {
            verdict.unseen(what, "none arrived");
        } else {
            let share = (counts.failed + counts.refused) as f64 / counts.arrived as f64;
            verdict.at_most(what, " %", share * 100.0, Some(bound.get() * 100.0));
        }
    }
    verdict.at_most(
        "arrivals that the generator dropped",
        "",
        counts.dropped as f64,
        number(thresholds.dropped_max),
    );
    verdict.at_most(
        "transactions without a known end",
        "",
        counts.unfinished as f64,
        number(thresholds.unfinished_max),
    );
    verdict.at_least("transactions started", "", counts.created as f64, number(thresholds.created_min));
    verdict.at_most(
        "starts with neither 201 nor Retry-After",
        "",
        counts.unanswered as f64,
        number(thresholds.unanswered_max),
    );
    verdict.at_least("flows finished", "/s", counts.finished_per_s, thresholds.finished_per_s_min);
}

fn judge_server(verdict: &mut Verdict, thresholds: &Thresholds, report: &Report) {
    let (cpu, memory) = ("server processor time of a flow", "server memory at its highest");
    let memory_max = thresholds.resident_mib_max.map(|mib| mib as f64);
    match &report.server {
        Some(server) if report.counts.finished > 0 => {
            verdict.at_most(cpu, " µs", server.cpu_us_per_flow, thresholds.server_cpu_us_per_flow_max);
        }
        _ if thresholds.server_cpu_us_per_flow_max.is_some() => {
            verdict.unseen(cpu, "the server's process was not seen or no flow finished");
        }
        _ => {}
    }
    match &report.server {
        Some(server) => {
            verdict.at_most(memory, " MiB", server.resident_max_bytes as f64 / 1_048_576.0, memory_max);
        }
        None if memory_max.is_some() => verdict.unseen(memory, "the server's process was not seen"),
        None => {}
    }
}

fn judge_latency(verdict: &mut Verdict, threshold: &LatencyThreshold, report: &Report) {
    let LatencyThreshold { stage, percentile, from, limit } = threshold;
    let (latencies, since): (Option<&Latencies>, _) = match from {
        LatencyFrom::Intended => (report.stage(*stage).map(|found| &found.from_intended), "intended time"),
        LatencyFrom::Sent => (report.stage(*stage).map(|found| &found.from_sent), "sending"),
    };
    let what = format!("{} p{} from the {since}", stage.title(), percentile.percent());
    let Some(latencies) = latencies.filter(|latencies| latencies.count > 0) else {
        verdict.unseen(&what, "nothing was timed");
        return;
    };
    let seen_us = latencies.at(percentile.percent()) as f64;
    match limit {
        Limit::Time(bound) => {
            verdict.at_most(&what, " ms", seen_us / 1e3, Some(bound.as_secs_f64() * 1e3));
        }
        Limit::DiskSyncs(bound) => match &report.disk {
            Some(disk) if disk.sync_p99_us() > 0 => {
                let syncs = seen_us / disk.sync_p99_us() as f64;
                verdict.at_most(&what, " × the disk's own sync p99", syncs, Some(*bound));
            }
            _ => verdict.unseen(&what, "the disk's own syncs were not measured"),
        },
    }
}

/// A number as people write it: two digits behind the point, more for a small one, none where they say nothing.
fn short(number: f64) -> String {
    match number.abs() {
        size if number.fract() == 0.0 || size >= 1_000.0 => format!("{number:.0}"),
        size if size < 0.01 => format!("{number:.6}"),
        _ => format!("{number:.2}"),
    }
}
