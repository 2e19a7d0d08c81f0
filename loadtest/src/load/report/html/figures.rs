//! Which plots a report has.

use crate::load::meter::{CurvePoint, Latencies, RowLatency, SeriesRow, Stage};
use crate::load::report::plot::{Join, Line, Measure, Plot, Spread};
use crate::load::report::types::{Report, ResourceRow};

/// The axis to the right of all that runs over time.
const TIME: &str = "seconds since the start";

/// Codes of errors that have a line of their own.
const CODES_MAX: usize = 5;

/// Reads one count off a row.
type CountOf = fn(&SeriesRow) -> u64;

/// The run over time.
pub(super) fn over_time(report: &Report) -> Vec<String> {
    let number = Spread::Linear(Measure::Number);
    let latency = Spread::Log(Measure::Latency);
    let mut plots = vec![
        plot(report, "Arrivals and ends, flows per second", number, arrivals(&report.series)),
        plot(report, "In flight, flows", number, in_flight(&report.series)),
    ];
    for stage in [Stage::Flow, Stage::Create, Stage::PushRelayed, Stage::WaiterTold] {
        let title = format!("Latency of {}, over time", stage.title());
        plots.push(plot(report, &title, latency, percentiles(&report.series, stage)));
    }
    plots.push(plot(report, "Refusals and failures per second, by code", number, errors(&report.series)));
    plots.push(plot(report, "Memory of the server, MiB", number, memory(&report.resources)));
    plots.push(plot(report, "CPU, cores busy", number, processors(&report.resources)));
    plots.iter().filter_map(Plot::to_figure).collect()
}

/// The whole distributions.
pub(super) fn distributions(report: &Report) -> Vec<String> {
    let curve_of = |latencies: &Latencies| latencies.curve.iter().map(curve_point).collect::<Vec<_>>();
    let stages = report.stages.iter().enumerate().map(|(index, stage)| {
        Line::new(stage.stage.title(), index, Join::Straight, curve_of(&stage.from_intended))
    });
    let mut plots = vec![distribution("Latency by percentile, from the intended time", stages.collect())];
    let both = [Stage::Create, Stage::Flow].into_iter().enumerate().filter_map(|(index, stage)| {
        let found = report.stage(stage)?;
        let [intended, sent] =
            ["intended time", "sending"].map(|since| format!("{}, from the {since}", stage.title()));
        Some([
            Line::new(intended, index, Join::Straight, curve_of(&found.from_intended)),
            Line::new(sent, index, Join::Dashed, curve_of(&found.from_sent)),
        ])
    });
    plots.push(distribution("What waiting to be sent adds", both.flatten().collect()));
    plots.iter().filter_map(Plot::to_figure).collect()
}

fn distribution(title: &str, lines: Vec<Line>) -> Plot {
    let (x, y) = (Spread::Nines, Spread::Log(Measure::Latency));
    Plot { title: title.to_owned(), x_label: "percentile", x, y, lines, marks: Vec::new() }
}

fn curve_point(point: &CurvePoint) -> (f64, f64) {
    (point.percentile, point.latency_us as f64)
}

fn plot(report: &Report, title: &str, y: Spread, lines: Vec<Line>) -> Plot {
    let x = Spread::Time;
    Plot { title: title.to_owned(), x_label: TIME, x, y, lines, marks: report.marks.clone() }
}

/// Steps of what was counted in each row, by the second.
fn steps(series: &[SeriesRow], of: impl Fn(&SeriesRow) -> u64) -> Vec<(f64, f64)> {
    let per_s = |row: &SeriesRow| of(row) as f64 / row.length_s.max(1) as f64;
    let mut points: Vec<_> = series.iter().map(|row| (row.from_s as f64, per_s(row))).collect();
    points.extend(series.last().map(|row| ((row.from_s + row.length_s) as f64, per_s(row))));
    points
}

fn arrivals(series: &[SeriesRow]) -> Vec<Line> {
    let counted: [(&str, CountOf); 6] = [
        ("arrived", |row| row.arrived),
        ("finished", |row| row.finished),
        ("failed", |row| row.failed),
        ("refused", |row| row.refused),
        ("dropped by the generator", |row| row.dropped),
        ("tried again", |row| row.retried),
    ];
    let lines = counted.into_iter().enumerate().filter(|(index, (_, of))| {
        // The first two always; the others where there is something to see.
        *index < 2 || series.iter().any(|row| of(row) > 0)
    });
    lines.map(|(index, (name, of))| Line::new(name, index, Join::Step, steps(series, of))).collect()
}

fn in_flight(series: &[SeriesRow]) -> Vec<Line> {
    let points = series.iter().map(|row| ((row.from_s + row.length_s) as f64, row.in_flight as f64));
    vec![Line::new("in flight", 0, Join::Straight, points.collect())]
}

fn percentiles(series: &[SeriesRow], stage: Stage) -> Vec<Line> {
    let points = |of: fn(&RowLatency) -> u64| {
        let seen = |row: &SeriesRow| {
            let found = row.stages.iter().find(|found| found.stage == stage);
            // Where nothing was timed the line has a gap.
            let latency_us = found.map_or(f64::NAN, |found| of(found) as f64);
            (row.from_s as f64 + row.length_s as f64 / 2.0, latency_us)
        };
        series.iter().map(seen).collect()
    };
    vec![
        Line::new("p50", 0, Join::Straight, points(|row| row.p50_us)),
        Line::new("p99", 1, Join::Straight, points(|row| row.p99_us)),
        Line::new("slowest", 2, Join::Straight, points(|row| row.max_us)),
    ]
}

/// The most frequent codes.
fn errors(series: &[SeriesRow]) -> Vec<Line> {
    let mut totals = std::collections::BTreeMap::<&str, u64>::new();
    for (code, count) in series.iter().flat_map(|row| &row.errors) {
        *totals.entry(code).or_default() += count;
    }
    let mut codes: Vec<_> = totals.into_iter().collect();
    codes.sort_by_key(|(code, count)| (std::cmp::Reverse(*count), *code));
    let lines = codes.iter().take(CODES_MAX).enumerate().map(|(index, (code, _))| {
        Line::new(*code, index, Join::Step, steps(series, |row| row.errors.get(*code).copied().unwrap_or(0)))
    });
    lines.collect()
}

fn memory(resources: &[ResourceRow]) -> Vec<Line> {
    let points = resources.iter().map(|row| (row.at_s, row.server_resident_bytes as f64 / 1_048_576.0));
    vec![Line::new("resident", 0, Join::Straight, points.collect())]
}

fn processors(resources: &[ResourceRow]) -> Vec<Line> {
    let busy = |of: fn(&ResourceRow) -> f64| {
        let between = resources.windows(2).filter(|pair| pair[1].at_s > pair[0].at_s);
        between
            .map(|pair| (pair[1].at_s, (of(&pair[1]) - of(&pair[0])) / (pair[1].at_s - pair[0].at_s)))
            .collect()
    };
    vec![
        Line::new("server", 0, Join::Straight, busy(|row| row.server_cpu_s)),
        Line::new("generator, phones and doubles", 1, Join::Straight, busy(|row| row.generator_cpu_s)),
    ]
}
