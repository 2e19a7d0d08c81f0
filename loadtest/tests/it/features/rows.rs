//! The rows that must have a test, held against the tests that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

/// The numbers of the rows that are promised, in ranges.
const PROMISED: &[RangeInclusive<u16>] = &[
    1..=9,
    10..=15,
    17..=30,
    32..=37,
    39..=45,
    49..=49,
    51..=78,
    82..=82,
    86..=86,
    88..=89,
    91..=91,
    93..=109,
    110..=120,
    123..=140,
    147..=147,
    149..=153,
    157..=157,
    159..=159,
];

/// The numbers of all tests in this folder that are named after a row, with the count of tests that bear each.
fn tested() -> BTreeMap<u16, usize> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/features");
    let files = fs::read_dir(folder).expect("this folder").map(|entry| entry.expect("an entry").path());
    let sources = files.map(|path| fs::read_to_string(path).expect("a source"));
    let mut counts = BTreeMap::new();
    for row in sources.flat_map(|source| rows_of(&source)) {
        *counts.entry(row).or_default() += 1;
    }
    counts
}

/// What is promised and not tested once, or tested and not promised.
fn faults(promised: &[RangeInclusive<u16>], tested: &BTreeMap<u16, usize>) -> Vec<String> {
    let rows: BTreeSet<u16> = promised.iter().cloned().flatten().chain(tested.keys().copied()).collect();
    let is_promised = |row: u16| promised.iter().any(|range| range.contains(&row));
    let fault = |row: u16| match (is_promised(row), tested.get(&row).copied().unwrap_or_default()) {
        (true, 1) => None,
        (true, count) => Some(format!("row {row} has {count} tests")),
        (false, _) => Some(format!("row {row} is not promised")),
    };
    rows.into_iter().filter_map(fault).collect()
}

/// A function that is no test proves nothing, nor does one that is not always run.
fn rows_of(source: &str) -> Vec<u16> {
    let mut attributes = Vec::new();
    let mut rows = Vec::new();
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[") {
            attributes.push(line);
        } else if !line.starts_with("//") {
            let name = line.strip_prefix("async fn row_");
            let number = name.and_then(|name| name.split('_').next()?.parse::<u16>().ok());
            let is_test = attributes.iter().any(|attribute| attribute.starts_with("#[tokio::test"));
            let is_left_out =
                |attribute: &&str| ["ignore", "cfg"].iter().any(|word| attribute.contains(word));
            rows.extend(number.filter(|_| is_test && !attributes.iter().any(is_left_out)));
            attributes.clear();
        }
    }
    rows
}

#[test]
fn every_promised_row_has_one_test_that_is_named_after_it() {
    let faults = faults(PROMISED, &tested());
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_row_without_a_test_or_with_two_or_without_a_promise_is_found() {
    let tested = BTreeMap::from([(1, 1), (3, 2), (7, 1)]);
    assert_eq!(
        faults(&[1..=3], &tested),
        ["row 2 has 0 tests", "row 3 has 2 tests", "row 7 is not promised"]
    );
}

#[test]
fn only_a_test_counts() {
    let source = "#[tokio::test]\nasync fn row_007_name() {\nasync fn row_008_name() {\n#[tokio::test(x)]\n    async fn row_009_";
    assert_eq!(rows_of(source), [7, 9]);
}

#[test]
fn a_test_that_is_left_out_does_not_count() {
    for left_out in ["#[ignore]", "#[ignore = \"slow\"]", "#[cfg(windows)]", "#[cfg_attr(unix, ignore)]"] {
        let above = format!("{left_out}\n#[tokio::test]\nasync fn row_007_name() {{");
        let below = format!("#[tokio::test]\n/// Why.\n{left_out}\nasync fn row_007_name() {{");
        assert_eq!((rows_of(&above), rows_of(&below)), (vec![], vec![]), "{left_out}");
    }
    let other =
        "#[ignore]\nfn else_where() {\n}\n#[tokio::test]\n#[allow(dead_code)]\nasync fn row_007_name() {";
    assert_eq!(rows_of(other), [7]);
}
