//! The rows that must have a test, held against the tests that there are.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

/// The numbers of the rows that are promised, in ranges.
const PROMISED: &[RangeInclusive<u16>] = &[
    2..=9,
    11..=15,
    17..=27,
    29..=30,
    32..=37,
    39..=41,
    44..=45,
    49..=49,
    51..=54,
    56..=56,
    63..=67,
    69..=73,
    75..=78,
    82..=82,
    86..=86,
    88..=89,
    91..=91,
    93..=106,
    108..=109,
    147..=147,
    149..=153,
    157..=157,
    159..=159,
];

/// The numbers of all tests in this folder that are named after a row.
fn tested() -> BTreeSet<u16> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/features");
    let files = fs::read_dir(folder).expect("this folder").map(|entry| entry.expect("an entry").path());
    let sources = files.map(|path| fs::read_to_string(path).expect("a source"));
    sources.flat_map(|source| rows_of(&source)).collect()
}

fn rows_of(source: &str) -> Vec<u16> {
    let mut lines = source.lines().map(str::trim).peekable();
    let mut rows = Vec::new();
    while let Some(line) = lines.next() {
        let name = lines.peek().and_then(|next| next.strip_prefix("async fn row_"));
        let number = name.and_then(|name| name.split('_').next()?.parse::<u16>().ok());
        // A function that is no test proves nothing.
        rows.extend(number.filter(|_| line.starts_with("#[tokio::test")));
    }
    rows
}

#[test]
fn every_promised_row_has_a_test_that_is_named_after_it() {
    let tested = tested();
    let missing: Vec<u16> = PROMISED.iter().cloned().flatten().filter(|row| !tested.contains(row)).collect();
    assert!(missing.is_empty(), "without a test: {missing:?}");
}

#[test]
fn only_a_test_counts() {
    let source = "#[tokio::test]\nasync fn row_007_name() {\nasync fn row_008_name() {\n#[tokio::test(x)]\n    async fn row_009_";
    assert_eq!(rows_of(source), [7, 9]);
}
