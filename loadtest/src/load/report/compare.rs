//! Two runs side by side: the second over the first.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::types::{Report, StageReport};
use super::units;
use crate::load::meter::Latencies;

/// Two reports, the first of which is the measure.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// What makes the numbers hard to compare, a sentence each.
    pub warnings: Vec<String>,
    /// The numbers.
    pub rows: Vec<ComparedRow>,
}

/// One number of both runs.
#[derive(Clone, Debug, PartialEq)]
pub struct ComparedRow {
    /// What it is.
    pub what: String,
    /// Of the first run.
    pub first: f64,
    /// Of the second run.
    pub second: f64,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Number,
    Latency,
    Bytes,
}

/// Reads one number off a distribution.
type LatencyOf = fn(&Latencies) -> u64;

/// Most differing parameters that are named.
const PARAMETERS_MAX: usize = 20;

/// From this change of the disk's own speed on it is worth a warning.
const DISK_RATIO: f64 = 1.5;

impl ComparedRow {
    /// The second over the first; `None` where the first is zero.
    pub fn ratio(&self) -> Option<f64> {
        (self.first != 0.0).then(|| self.second / self.first)
    }

    fn text(&self, value: f64) -> String {
        match self.unit {
            Unit::Number => units::number(value),
            Unit::Latency => units::latency(value),
            Unit::Bytes => units::bytes(value as u64),
        }
    }
}

impl Comparison {
    /// Compares two runs.
    pub fn of(first: &Report, second: &Report) -> Self {
        let mut rows = counted(first, second);
        for stage in &first.stages {
            if let Some(other) = second.stage(stage.stage) {
                rows.extend(timed(stage, other));
            }
        }
        Self { warnings: warnings(first, second), rows }
    }
}

fn counted(first: &Report, second: &Report) -> Vec<ComparedRow> {
    let both = |what: &str, unit, of: fn(&Report) -> Option<f64>| {
        Some(ComparedRow { what: what.to_owned(), first: of(first)?, second: of(second)?, unit })
    };
    let number = Unit::Number;
    let rows = [
        both("flows arrived", number, |report| Some(report.counts.arrived as f64)),
        both("flows finished", number, |report| Some(report.counts.finished as f64)),
        both("finished per second", number, |report| Some(report.counts.finished_per_s)),
        both("failed", number, |report| Some(report.counts.failed as f64)),
        both("refused", number, |report| Some(report.counts.refused as f64)),
        both("dropped by the generator", number, |report| Some(report.counts.dropped as f64)),
        both("server CPU per flow", Unit::Latency, |report| Some(report.server?.cpu_us_per_flow)),
        both("server memory, highest", Unit::Bytes, |report| Some(report.server?.resident_max_bytes as f64)),
        both("disk's own sync p99", Unit::Latency, disk_p99),
    ];
    rows.into_iter().flatten().collect()
}

fn disk_p99(report: &Report) -> Option<f64> {
    report.disk.as_ref().map(|disk| disk.sync_p99_us() as f64)
}

fn timed(first: &StageReport, second: &StageReport) -> Vec<ComparedRow> {
    let (one, other) = (&first.from_intended, &second.from_intended);
    if one.count == 0 || other.count == 0 {
        return Vec::new();
    }
    let percentiles: [(&str, LatencyOf); 4] = [
        ("p50", |of| of.p50_us),
        ("p99", |of| of.p99_us),
        ("p99.9", |of| of.p999_us),
        ("slowest", |of| of.max_us),
    ];
    let row = |(percentile, of): (&str, LatencyOf)| ComparedRow {
        what: format!("{} {percentile}", first.stage.title()),
        first: of(one) as f64,
        second: of(other) as f64,
        unit: Unit::Latency,
    };
    percentiles.map(row).into()
}

fn warnings(first: &Report, second: &Report) -> Vec<String> {
    let mut warnings = Vec::new();
    if first.machine != second.machine {
        let [one, other] = [first, second].map(|report| {
            let machine = &report.machine;
            let memory = units::bytes(machine.memory_bytes);
            format!("{}, {} cores, {memory}, {}", machine.cpu_model, machine.cores, machine.kernel)
        });
        warnings.push(format!("the machines differ: {one}; {other}"));
    }
    if first.build.profile != second.build.profile {
        warnings.push(format!("the builds differ: {} and {}", first.build.profile, second.build.profile));
    }
    warnings.extend(differing_parameters(first, second));
    if let (Some(one), Some(other)) = (disk_p99(first), disk_p99(second))
        && one.max(other) > DISK_RATIO * one.min(other)
    {
        let [one, other] = [one, other].map(units::latency);
        warnings.push(format!("the disk itself was not equally quick: sync p99 {one} and {other}"));
    }
    for (which, report) in [("first", first), ("second", second)] {
        warnings.extend(report.machine_limits.iter().map(|limit| format!("in the {which} run: {limit}")));
    }
    warnings
}

fn differing_parameters(first: &Report, second: &Report) -> Vec<String> {
    let (one, other) = (flattened(&first.parameters), flattened(&second.parameters));
    let absent = || "absent".to_owned();
    let keys = one.keys().chain(other.keys().filter(|key| !one.contains_key(*key)));
    let differing = keys.filter(|key| one.get(*key) != other.get(*key)).map(|key| {
        let [one, other] = [&one, &other].map(|values| values.get(key).cloned().unwrap_or_else(absent));
        format!("the parameters differ: {key} is {one} and {other}")
    });
    let mut sentences: Vec<String> = differing.collect();
    if sentences.len() > PARAMETERS_MAX {
        let rest = sentences.len() - PARAMETERS_MAX;
        sentences.truncate(PARAMETERS_MAX);
        sentences.push(format!("and {rest} further parameters differ"));
    }
    sentences
}

/// Parameters as paths and texts: `phases[1].duration_s` and `5`.
pub(super) fn flattened(parameters: &Value) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    flatten(String::new(), parameters, &mut flat);
    flat
}

fn flatten(path: String, value: &Value, flat: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                flatten(format!("{path}{dot}{name}"), field, flat);
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                flatten(format!("{path}[{}]", index + 1), element, flat);
            }
        }
        Value::String(text) => {
            flat.insert(path, text.clone());
        }
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) => {
            flat.insert(path, value.to_string());
        }
    }
}

/// A table for a terminal, the warnings above it.
impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for warning in &self.warnings {
            writeln!(formatter, "warning: {warning}")?;
        }
        let width = self.rows.iter().map(|row| row.what.chars().count()).max().unwrap_or(0);
        writeln!(formatter, "{:width$}  {:>12}  {:>12}  {:>6}", "", "A", "B", "B/A")?;
        for row in &self.rows {
            let ratio = row.ratio().map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
            let (first, second) = (row.text(row.first), row.text(row.second));
            writeln!(formatter, "{:width$}  {first:>12}  {second:>12}  {ratio:>6}", row.what)?;
        }
        Ok(())
    }
}
