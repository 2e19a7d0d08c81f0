//! The parts of a report. They are its JSON form, so a change of them that old readers cannot follow needs a new
//! version.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::load::meter::{Latencies, RunMeter, SeriesRow, Stage};
use crate::load::scenario::{ProviderNetwork, Scenario};
use crate::load::verdict::{self, Verdict};

/// The version of the JSON form.
pub(super) const VERSION: u32 = 1;

/// All that is known of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The version of this form.
    pub version: u32,
    /// The scenario's name.
    pub scenario: String,
    /// The scenario's heading.
    pub title: String,
    /// What the scenario shows.
    pub about: String,
    /// When the run began, in the form of RFC 3339.
    pub started_at: String,
    /// How long it took, to the end of its last flow.
    pub took_s: f64,
    /// How long flows arrived.
    pub arrivals_s: f64,
    /// Where it ran.
    pub machine: Machine,
    /// What ran.
    pub build: Build,
    /// What was loaded.
    pub target: Target,
    /// The scenario with all its defaults.
    pub parameters: Value,
    /// Whether it reached what the scenario asks.
    pub verdict: Verdict,
    /// Limits of the machine or of the generator that were met, a sentence each. Where there are any, the
    /// product's own limits were not seen.
    pub machine_limits: Vec<String>,
    /// Flows and transactions.
    pub counts: Counts,
    /// Final states and how many transactions reached each.
    pub final_states: BTreeMap<String, u64>,
    /// Each stage.
    pub stages: Vec<StageReport>,
    /// What the server used, where it could be seen.
    pub server: Option<ServerUse>,
    /// Processor time of the generator, its phones and its doubles.
    pub generator_cpu_s: f64,
    /// The disk's own syncs, in the folder of the server's data.
    pub disk: Option<DiskReport>,
    /// What the bare libraries reach on this machine, where it was measured.
    pub bare: Option<BareRates>,
    /// Spans of time to look at: phases, and trouble at providers.
    pub marks: Vec<Mark>,
    /// The run over time.
    pub series: Vec<SeriesRow>,
    /// Processor and memory over time.
    pub resources: Vec<ResourceRow>,
}

/// Where a run took place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the processor.
    pub cpu_model: String,
    /// Logical processors that the run may use.
    pub cores: u32,
    /// Memory.
    pub memory_bytes: u64,
    /// Operating system and the version of its kernel.
    pub kernel: String,
}

/// What ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// The version of the product.
    pub version: String,
    /// The commit, with `+` at its end where the tree had changes; empty where it is not known.
    pub commit: String,
    /// Cargo's profile.
    pub profile: String,
}

/// What was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its portal door.
    pub url: String,
    /// The run started it.
    pub is_own: bool,
}

/// Flows and transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Flows that arrived and went on their way.
    pub arrived: u64,
    /// Flows that the generator itself dropped.
    pub dropped: u64,
    /// Starts that got 201.
    pub created: u64,
    /// Flows that ended well.
    pub finished: u64,
    /// Flows whose start was refused for good, with `Retry-After`.
    pub refused: u64,
    /// Flows that ended otherwise.
    pub failed: u64,
    /// Further tries of portals.
    pub retried: u64,
    /// Tries of starts that got neither 201 nor a refusal with `Retry-After`.
    pub unanswered: u64,
    /// Transactions that were started and of which nobody learnt a final state.
    pub unfinished: u64,
    /// Flows that ended well in each second, over the time in which flows arrived.
    pub finished_per_s: f64,
}

/// One stage of a flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageReport {
    /// The stage.
    pub stage: Stage,
    /// How often it ended well, timed or not.
    pub done: u64,
    /// Refusals with `Retry-After`, by codes.
    pub refusals: BTreeMap<String, u64>,
    /// Failures by codes.
    pub errors: BTreeMap<String, u64>,
    /// Latencies from the intended time.
    pub from_intended: Latencies,
    /// Latencies from the sending.
    pub from_sent: Latencies,
}

/// What the server process used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerUse {
    /// Processor time of the whole run.
    pub cpu_s: f64,
    /// Processor time for each flow that ended well.
    pub cpu_us_per_flow: f64,
    /// Memory at the begin.
    pub resident_before_bytes: u64,
    /// Memory at its highest.
    pub resident_max_bytes: u64,
}

/// What the disk does by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DiskReport {
    /// Syncs before the run.
    pub before: Latencies,
    /// Syncs after it.
    pub after: Latencies,
}

impl DiskReport {
    /// The slower of the two p99: what the disk itself is held to.
    pub fn sync_p99_us(&self) -> u64 {
        self.before.p99_us.max(self.after.p99_us)
    }
}

/// What the bare libraries reach on this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BareRates {
    /// ECDSA P-256 signatures made in each second of one core.
    pub ecdsa_sign_per_s: f64,
    /// ECDSA P-256 signatures checked in each second of one core.
    pub ecdsa_verify_per_s: f64,
    /// Replies of a bare actix-web JSON echo in each second.
    pub actix_echo_per_s: f64,
}

/// A span of time to look at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// What it is.
    pub label: String,
    /// Trouble at a provider; else a phase of arrivals.
    pub is_trouble: bool,
    /// Since the start of the run.
    pub from_s: f64,
    /// Since the start of the run.
    pub to_s: f64,
}

/// One look at processor and memory. Processor times count from the start of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResourceRow {
    /// When, since the start of the run.
    pub at_s: f64,
    /// Processor time of the server so far.
    pub server_cpu_s: f64,
    /// Memory of the server.
    pub server_resident_bytes: u64,
    /// Processor time of the generator, its phones and its doubles so far.
    pub generator_cpu_s: f64,
}

/// What a report needs beside the scenario and the meter.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// When the run began, in the form of RFC 3339.
    pub started_at: String,
    /// How long it took.
    pub took: Duration,
    /// Where it ran.
    pub machine: Machine,
    /// What ran.
    pub build: Build,
    /// What was loaded.
    pub target: Target,
    /// Limits of the machine that were met, a sentence each.
    pub machine_limits: Vec<String>,
    /// Processor and memory over time, the first at the begin. Empty where the server cannot be seen.
    pub resources: Vec<ResourceRow>,
    /// The disk's own syncs.
    pub disk: Option<DiskReport>,
    /// The bare libraries' rates.
    pub bare: Option<BareRates>,
}

impl Report {
    /// The report of a run that is over.
    pub fn new(scenario: &Scenario, meter: &RunMeter, facts: Facts) -> Self {
        let series = meter.series();
        let counts = counts(scenario, meter, &series);
        let mut report = Self {
            version: VERSION,
            scenario: scenario.name.clone(),
            title: scenario.title.clone(),
            about: scenario.about.clone(),
            started_at: facts.started_at,
            took_s: facts.took.as_secs_f64(),
            arrivals_s: scenario.arrivals_last().as_secs_f64(),
            machine: facts.machine,
            build: facts.build,
            target: facts.target,
            parameters: serde_json::to_value(scenario).unwrap_or_default(),
            verdict: Verdict::default(),
            machine_limits: facts.machine_limits,
            counts,
            final_states: meter.final_states(),
            stages: Stage::ALL.map(|stage| StageReport::of(meter, stage)).into(),
            server: server_use(&facts.resources, counts.finished),
            generator_cpu_s: facts.resources.last().map_or(0.0, |row| row.generator_cpu_s),
            disk: facts.disk,
            bare: facts.bare,
            marks: marks(scenario),
            series,
            resources: facts.resources,
        };
        report.verdict = verdict::judge(&scenario.thresholds, &report);
        report
    }

    /// One stage.
    pub fn stage(&self, stage: Stage) -> Option<&StageReport> {
        self.stages.iter().find(|found| found.stage == stage)
    }
}

impl StageReport {
    fn of(meter: &RunMeter, stage: Stage) -> Self {
        Self {
            stage,
            done: meter.done(stage),
            refusals: meter.refusals(stage),
            errors: meter.errors(stage),
            from_intended: meter.from_intended(stage),
            from_sent: meter.from_sent(stage),
        }
    }
}

fn counts(scenario: &Scenario, meter: &RunMeter, series: &[SeriesRow]) -> Counts {
    let sum = |of: fn(&SeriesRow) -> u64| series.iter().map(of).sum::<u64>();
    let created = meter.done(Stage::Create);
    let ended: u64 = meter.final_states().values().sum();
    Counts {
        arrived: sum(|row| row.arrived),
        dropped: sum(|row| row.dropped),
        created,
        finished: sum(|row| row.finished),
        refused: sum(|row| row.refused),
        failed: sum(|row| row.failed),
        retried: sum(|row| row.retried),
        unanswered: meter.errors(Stage::Create).values().sum(),
        unfinished: created.saturating_sub(ended),
        finished_per_s: finished_per_s(series, scenario.arrivals_last()),
    }
}

/// Over the rows that lie within the time of arrivals; over the first row if none does.
fn finished_per_s(series: &[SeriesRow], arrivals_last: Duration) -> f64 {
    let lies_within = |row: &&SeriesRow| (row.from_s + row.length_s) as f64 <= arrivals_last.as_secs_f64();
    let (finished, seconds) = series
        .iter()
        .enumerate()
        .filter(|(index, row)| *index == 0 || lies_within(row))
        .fold((0, 0), |(finished, seconds), (_, row)| (finished + row.finished, seconds + row.length_s));
    if seconds == 0 { 0.0 } else { finished as f64 / seconds as f64 }
}

fn server_use(rows: &[ResourceRow], finished: u64) -> Option<ServerUse> {
    let (first, last) = (rows.first()?, rows.last()?);
    let cpu_s = last.server_cpu_s - first.server_cpu_s;
    Some(ServerUse {
        cpu_s,
        cpu_us_per_flow: if finished == 0 { 0.0 } else { cpu_s * 1e6 / finished as f64 },
        resident_before_bytes: first.server_resident_bytes,
        resident_max_bytes: rows.iter().map(|row| row.server_resident_bytes).max().unwrap_or(0),
    })
}

fn marks(scenario: &Scenario) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut from = Duration::ZERO;
    for phase in &scenario.phases {
        let to = from + phase.duration;
        marks.push(mark(phase.name.clone(), false, from, to));
        from = to;
    }
    marks.extend(scenario.provider_phases.iter().map(|phase| {
        let whose = match phase.network {
            ProviderNetwork::Push => "Apple and Google",
            ProviderNetwork::Apns => "Apple",
            ProviderNetwork::Fcm => "Google",
            ProviderNetwork::Sms => "SMS gateway",
        };
        let label = format!("{whose}: {}", phase.behaviour);
        mark(label, true, phase.from, phase.from + phase.duration)
    }));
    marks
}

fn mark(label: String, is_trouble: bool, from: Duration, to: Duration) -> Mark {
    Mark { label, is_trouble, from_s: from.as_secs_f64(), to_s: to.as_secs_f64() }
}
