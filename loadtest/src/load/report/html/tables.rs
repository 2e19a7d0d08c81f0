//! Tables and lists of the page.

use std::collections::BTreeMap;

use super::escaped;
use crate::load::meter::Latencies;
use crate::load::report::compare::flattened;
use crate::load::report::types::{Report, StageReport};
use crate::load::report::units;

/// What happened when.
pub(super) fn marks(report: &Report) -> String {
    let items = report.marks.iter().map(|mark| {
        let class = if mark.is_trouble { " class=\"missed\"" } else { "" };
        let (from, to) = (units::number(mark.from_s), units::number(mark.to_s));
        format!("<li><span{class}>{}</span> {from}–{to} s</li>\n", escaped(&mark.label))
    });
    format!("<ul class=\"marks\">\n{}</ul>\n", items.collect::<String>())
}

/// Percentiles of each stage.
pub(super) fn stages(report: &Report) -> String {
    let rows = report.stages.iter().filter(|stage| stage.from_intended.count > 0).map(|stage| {
        let both = stage_row(stage.stage.title(), "", &stage.from_intended);
        both + &stage_row("… from sending", " class=\"muted\"", &stage.from_sent)
    });
    let head =
        "<tr><th>stage</th><th>timed</th><th>p50</th><th>p99</th><th>p99.9</th><th>slowest</th></tr>\n";
    boxed(&format!("<thead>{head}</thead>\n<tbody>\n{}</tbody>", rows.collect::<String>()))
}

fn stage_row(name: &str, class: &str, latencies: &Latencies) -> String {
    let times = [latencies.p50_us, latencies.p99_us, latencies.p999_us, latencies.max_us]
        .map(|latency_us| format!("<td>{}</td>", units::latency(latency_us as f64)));
    let (count, times) = (units::count(latencies.count), times.concat());
    format!("<tr{class}><th scope=\"row\">{name}</th><td>{count}</td>{times}</tr>\n")
}

/// How transactions and calls ended.
pub(super) fn outcomes(report: &Report) -> String {
    let mut section = "<section>\n<h2>How it ended</h2>\n".to_owned();
    let states = report.final_states.iter().map(|(state, count)| (escaped(state), units::count(*count)));
    section.push_str(&pairs("Final states", states.collect()));
    let of = |what: &str, counts: fn(&StageReport) -> &BTreeMap<String, u64>| {
        let rows = report.stages.iter().flat_map(|stage| {
            counts(stage).iter().map(|(code, count)| {
                (format!("{}: {}", stage.stage.title(), escaped(code)), units::count(*count))
            })
        });
        pairs(what, rows.collect())
    };
    section.push_str(&of("Refused with Retry-After", |stage| &stage.refusals));
    section.push_str(&of("Failed", |stage| &stage.errors));
    section.push_str("</section>\n");
    section
}

/// The machine and what it does by itself.
pub(super) fn surroundings(report: &Report) -> String {
    let machine = &report.machine;
    let mut rows = vec![
        ("processor".to_owned(), escaped(&machine.cpu_model)),
        ("cores".to_owned(), machine.cores.to_string()),
        ("memory".to_owned(), units::bytes(machine.memory_bytes)),
        ("kernel".to_owned(), escaped(&machine.kernel)),
        ("server".to_owned(), target(report)),
        ("run took".to_owned(), format!("{} s", units::number(report.took_s))),
        (
            "CPU of generator, phones and doubles".to_owned(),
            format!("{} s", units::number(report.generator_cpu_s)),
        ),
    ];
    if let Some(server) = &report.server {
        rows.push(("CPU of the server".to_owned(), format!("{} s", units::number(server.cpu_s))));
    }
    if let Some(disk) = &report.disk {
        for (when, syncs) in [("before", &disk.before), ("after", &disk.after)] {
            let [p50, p99] = [syncs.p50_us, syncs.p99_us].map(|latency_us| units::latency(latency_us as f64));
            rows.push((format!("disk's own sync, {when}"), format!("p50 {p50}, p99 {p99}")));
        }
    }
    if let Some(bare) = &report.bare {
        for (what, per_s) in [
            ("bare ECDSA P-256, signed", bare.ecdsa_sign_per_s),
            ("bare ECDSA P-256, checked", bare.ecdsa_verify_per_s),
            ("bare actix-web echo", bare.actix_echo_per_s),
        ] {
            rows.push((what.to_owned(), format!("{}/s", units::number(per_s))));
        }
    }
    format!("<section>\n{}</section>\n", pairs("Machine", rows))
}

fn target(report: &Report) -> String {
    let whose = if report.target.is_own { "started by the run" } else { "already running" };
    format!("{}, {whose}", escaped(&report.target.url))
}

/// What was asked for.
pub(super) fn parameters(report: &Report) -> String {
    let rows = flattened(&report.parameters).into_iter().map(|(key, value)| (escaped(&key), escaped(&value)));
    let table = pairs("", rows.collect());
    format!("<section>\n<details><summary><h2>Parameters</h2></summary>\n{table}</details>\n</section>\n")
}

/// A table of names and values; nothing where there are none.
fn pairs(heading: &str, rows: Vec<(String, String)>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let heading = if heading.is_empty() { String::new() } else { format!("<h3>{heading}</h3>\n") };
    let rows =
        rows.iter().map(|(name, value)| format!("<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>\n"));
    heading + &format!("<table class=\"pairs\"><tbody>\n{}</tbody></table>\n", rows.collect::<String>())
}

/// A table that scrolls by itself where it is too wide.
fn boxed(table: &str) -> String {
    format!("<div class=\"box\"><table>\n{table}\n</table></div>\n")
}
