//! Two runs side by side, through the command line too.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;
use tocsin_loadtest::load::report::{Comparison, Report};

use super::sample;

fn compare(first: &Path, second: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tocsin-loadtest"))
        .arg("compare")
        .args([first, second])
        .output()
        .expect("the tool starts")
}

/// The sample, but with twice the processor time.
fn dearer() -> Report {
    let mut report = sample::report("");
    report.server.as_mut().expect("the server was seen").cpu_us_per_flow *= 2.0;
    report
}

#[test]
fn equal_runs_have_ratios_of_one_and_no_warning() {
    let comparison = Comparison::of(&sample::report(""), &sample::report(""));
    assert_eq!(comparison.warnings, Vec::<String>::new());
    assert!(comparison.rows.len() > 25, "{comparison}");
    for row in &comparison.rows {
        assert!(row.ratio().is_none_or(|ratio| ratio == 1.0), "{row:?}");
    }
}

#[test]
fn ratios_are_of_the_second_over_the_first() {
    let comparison = Comparison::of(&sample::report(""), &dearer());
    let row = comparison.rows.iter().find(|row| row.what == "server CPU per flow").expect("it is there");
    assert_eq!(row.ratio(), Some(2.0));
}

#[test]
fn a_number_that_was_zero_has_no_ratio() {
    let comparison = Comparison::of(&sample::report(""), &sample::report(""));
    let row = comparison.rows.iter().find(|row| row.what == "dropped by the generator").expect("it is there");
    assert_eq!((row.first, row.ratio()), (0.0, None));
}

#[test]
fn differing_machines_builds_parameters_disks_and_limits_are_warned_about() {
    let first = sample::report("");
    let mut second = sample::report("[thresholds]\ndropped_max = 7\n");
    second.machine.cores = 64;
    second.build.profile = "dev".to_owned();
    second.disk.as_mut().expect("it was measured").after.p99_us *= 3;
    second.machine_limits.push("no file descriptors were left".to_owned());
    let warnings = Comparison::of(&first, &second).warnings;
    for wanted in [
        "the machines differ: ",
        "the builds differ: release and dev",
        "the parameters differ: thresholds.dropped_max is absent and 7",
        "the disk itself was not equally quick: ",
        "in the second run: no file descriptors were left",
    ] {
        assert!(warnings.iter().any(|warning| warning.starts_with(wanted)), "{wanted}: {warnings:#?}");
    }
    assert_eq!(warnings.len(), 5, "{warnings:#?}");
}

#[test]
fn the_tool_prints_a_table_and_warns() {
    let folder = TempDir::new().expect("a folder");
    let mut other = dearer();
    other.machine.cores = 4;
    let [first, _] = sample::report("").write(&folder.path().join("a")).expect("it is written");
    let [second, _] = other.write(&folder.path().join("b")).expect("it is written");
    let output = compare(&first, &second);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("warning: the machines differ: "), "{told}");
    let line = told.lines().find(|line| line.starts_with("server CPU per flow")).expect("it is there");
    assert!(line.ends_with("2.00"), "{line}");
}

#[test]
fn the_tool_refuses_what_is_no_report() {
    let folder = TempDir::new().expect("a folder");
    let page = folder.path().join("page.html");
    std::fs::write(&page, "<!doctype html>").expect("it is written");
    let output = compare(&page, &page);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("page.html") && told.contains("no report of a load run"), "{told}");
}
