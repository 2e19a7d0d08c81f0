//! The rows that must have a test, held against the tests that there are.

use std::collections::BTreeSet;
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

/// The numbers of all tests in this folder that are named after a row.
fn tested() -> BTreeSet<u16> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/features");
    let files = fs::read_dir(folder).expect("this folder").map(|entry| entry.expect("an entry").path());
    let sources = files.map(|path| fs::read_to_string(path).expect("a source"));
    sources.flat_map(|source| rows_of(&source)).collect()
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
