//! The JSON form of a report.

use serde_json::Value;
use tempfile::TempDir;
use tocsin_loadtest::load::meter::Stage;
use tocsin_loadtest::load::report::{Report, ReportError};

use super::sample;

#[test]
fn what_is_written_is_read_back_the_same() {
    let folder = TempDir::new().expect("a folder");
    let report = sample::report("[thresholds]\ndropped_max = 0\n");
    let [json, page] = report.write(&folder.path().join("run.of.today")).expect("it is written");
    assert_eq!(Report::read(&json).expect("it is read"), report);
    assert!(page.extension().is_some_and(|ending| ending == "html") && page.is_file());
}

#[test]
fn it_carries_machine_commit_parameters_and_all_stages() {
    let text = sample::report("").to_json().expect("it serialises");
    let json: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(json["version"], 1);
    assert_eq!(json["machine"]["cores"], 2);
    assert_eq!(json["build"]["commit"], "0123456789abcdef0123456789abcdef01234567");
    assert_eq!(json["parameters"]["phases"][1]["shape"]["burst"]["flows"], 2_000);
    let stages: Vec<&str> = json["stages"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|stage| stage["stage"].as_str())
        .collect();
    assert_eq!(stages, ["create", "push_relayed", "challenge", "answer", "waiter_told", "flow"]);
    for stage in json["stages"].as_array().expect("a list") {
        assert!(
            stage["from_intended"]["p999_us"].as_u64().is_some_and(|latency_us| latency_us > 0),
            "{stage}"
        );
    }
    assert!(json["disk"]["before"]["p99_us"].is_u64() && json["bare"]["actix_echo_per_s"].is_f64());
}

#[test]
fn its_counts_add_up() {
    let report = sample::report("");
    let counts = report.counts;
    assert_eq!(counts.arrived, counts.finished + counts.refused + counts.failed);
    assert_eq!(counts.created, counts.finished + counts.failed);
    assert_eq!(counts.unfinished, counts.failed, "nobody learnt the end of those that failed");
    assert_eq!(report.series.iter().map(|row| row.finished).sum::<u64>(), counts.finished);
    assert_eq!(report.series.last().map(|row| row.in_flight), Some(0));
    assert_eq!(report.final_states.values().sum::<u64>(), counts.finished);
    let server = report.server.expect("the server was seen");
    assert!((server.cpu_us_per_flow - 5.6e6 / counts.finished as f64).abs() < 1e-6, "{server:?}");
    assert_eq!(server.resident_max_bytes, 64 << 20);
}

#[test]
fn the_rate_of_ends_is_that_of_the_time_in_which_flows_arrive() {
    let report = sample::report("");
    let within: u64 = report.series.iter().filter(|row| row.from_s < 12).map(|row| row.finished).sum();
    assert!(
        (report.counts.finished_per_s - within as f64 / 12.0).abs() < 1e-9,
        "{}",
        report.counts.finished_per_s
    );
}

#[test]
fn the_stall_is_seen_from_the_intended_time_only() {
    let report = sample::report("");
    let create = report.stage(Stage::Create).expect("it is there");
    assert!(create.from_intended.p99_us > 500_000 && create.from_sent.p99_us < 2_000, "{create:?}");
}

#[test]
fn another_version_is_named_before_anything_else_is_looked_at() {
    let error = Report::from_json(r#"{"version": 2, "title": 5}"#).expect_err("another version");
    assert!(matches!(error, ReportError::OtherVersion { found: 2 }));
    assert!(error.to_string().contains("version 2"), "{error}");
}

#[test]
fn what_is_no_report_is_refused() {
    for text in ["", "[]", "{}", r#"{"version": 1}"#] {
        assert!(matches!(Report::from_json(text), Err(ReportError::NotAReport(_))), "{text}");
    }
    let missing = Report::read(std::path::Path::new("/nowhere/run.json")).expect_err("there is none");
    assert!(missing.to_string().starts_with("cannot read /nowhere/run.json"), "{missing}");
}
