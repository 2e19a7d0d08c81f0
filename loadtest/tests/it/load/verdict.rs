//! What a scenario asks, held against a report.

use tocsin_loadtest::load::report::{Facts, Report};
use tocsin_loadtest::load::scenario::Scenario;
use tocsin_loadtest::load::verdict::{Verdict, judge};

use super::sample;

fn judged(thresholds: &str) -> Verdict {
    sample::report(&format!("[thresholds]\n{thresholds}")).verdict
}

#[test]
fn a_scenario_that_asks_for_nothing_is_met() {
    let verdict = sample::report("").verdict;
    assert!(verdict.judged.is_empty() && verdict.is_met());
    assert_eq!(verdict.exit_code(), 0);
}

#[test]
fn each_threshold_has_a_bound_that_is_met_and_one_that_is_missed() {
    let cases = [
        ("failed_share_max", "0.02", "0.001"),
        ("unfinished_max", "100", "2"),
        ("created_min", "3000", "4000"),
        ("finished_per_s_min", "200", "1000"),
        ("server_cpu_us_per_flow_max", "2000", "1000"),
        ("resident_mib_max", "64", "63"),
    ];
    for (key, met, missed) in cases {
        let verdict = judged(&format!("{key} = {met}\n"));
        assert!(verdict.is_met() && verdict.judged.len() == 1, "{key}: {verdict:?}");
        let verdict = judged(&format!("{key} = {missed}\n"));
        assert!(!verdict.is_met() && verdict.judged.len() == 1, "{key}: {verdict:?}");
        assert_eq!(verdict.exit_code(), 3, "{key}");
    }
}

#[test]
fn counts_that_nobody_can_exceed_here_are_bounds_too() {
    let mut report = sample::report("[thresholds]\ndropped_max = 5\nunanswered_max = 5\n");
    assert!(report.verdict.is_met());
    (report.counts.dropped, report.counts.unanswered) = (6, 6);
    let scenario = Scenario::parse(
        "sample",
        &format!("{}[thresholds]\ndropped_max = 5\nunanswered_max = 5\n", sample::SCENARIO),
    );
    let verdict = judge(&scenario.expect("it is valid").thresholds, &report);
    assert!(verdict.judged.iter().all(|judged| !judged.is_met) && verdict.judged.len() == 2, "{verdict:?}");
}

#[test]
fn latencies_are_judged_from_the_intended_time_unless_the_sending_is_asked_for() {
    let latency = |from: &str| {
        judged(&format!("[[thresholds.latency]]\nstage = \"create\"\npercentile = 99\nmax_ms = 10\n{from}"))
    };
    let intended = latency("");
    assert!(!intended.is_met());
    assert!(intended.judged[0].sentence.starts_with("create p99 from the intended time: "), "{intended:?}");
    assert!(latency("from = \"sent\"\n").is_met());
}

#[test]
fn latencies_can_be_judged_by_the_disk_s_own_syncs() {
    let syncs = |bound: &str| {
        judged(&format!(
            "[[thresholds.latency]]\nstage = \"answer\"\npercentile = 50\nmax_disk_syncs = {bound}\n"
        ))
    };
    // The slower of the two: p99 at 1.98 ms; half of the answers take some 0.9 ms.
    assert!(syncs("1").is_met(), "{:?}", syncs("1"));
    assert!(!syncs("0.25").is_met(), "{:?}", syncs("0.25"));
    assert!(syncs("1").judged[0].sentence.ends_with("at most 1 × the disk's own sync p99"));
}

#[test]
fn what_was_asked_and_not_measured_is_missed() {
    let thresholds = "[thresholds]\nfailed_share_max = 1\nserver_cpu_us_per_flow_max = 1000000\nresident_mib_max = 100000\n\
                      [[thresholds.latency]]\nstage = \"flow\"\npercentile = 99\nmax_ms = 3600000\n";
    let text = format!("{}{thresholds}", sample::SCENARIO);
    let scenario = Scenario::parse("sample", &text).expect("it is valid");
    let report = Report::new(&scenario, &Default::default(), Facts::default());
    assert_eq!(report.verdict.judged.len(), 4);
    for judged in &report.verdict.judged {
        assert!(!judged.is_met && judged.sentence.contains("cannot be judged"), "{judged:?}");
    }
}

#[test]
fn a_disk_that_was_not_measured_is_no_measure() {
    let thresholds = "[[thresholds.latency]]\nstage = \"flow\"\npercentile = 99\nmax_disk_syncs = 1000000\n";
    let text = format!("{}{thresholds}", sample::SCENARIO);
    let scenario = Scenario::parse("sample", &text).expect("it is valid");
    let mut report = sample::report("");
    report.disk = None;
    assert!(!judge(&scenario.thresholds, &report).is_met());
}
