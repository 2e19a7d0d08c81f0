//! Pages that are interfaces: one for each error code, and the list of metrics.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use tocsin_model::ErrorCode;

use crate::bank::{id_of, with_bank};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

#[test]
fn every_error_code_has_a_page_and_every_page_a_code() {
    let codes: BTreeSet<String> = ErrorCode::ALL.iter().map(|code| code.as_str().to_owned()).collect();
    let pages: BTreeSet<String> = fs::read_dir(docs().join("errors"))
        .expect("the pages")
        .map(|entry| entry.expect("a page").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .filter(|name| name != "README")
        .collect();
    assert_eq!(codes, pages);
}

#[test]
fn every_page_tells_status_title_cause_and_cure() {
    for code in ErrorCode::ALL {
        let page = fs::read_to_string(docs().join(format!("errors/{code}.md"))).expect("a page");
        let head = format!("# `{code}`\n\nHTTP {}: {}.\n", code.status(), code.title());
        assert!(page.starts_with(&head), "{code}: begin with\n{head}");
        for part in ["\n## When\n", "\n## What to do\n"] {
            assert!(page.contains(part), "{code}: no {part:?}");
        }
    }
}

/// The names in the first column of the tables of `docs/metrics.md`.
fn listed() -> BTreeSet<String> {
    let page = fs::read_to_string(docs().join("metrics.md")).expect("the page");
    let name = |line: &str| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name.to_owned());
    page.lines().filter_map(name).collect()
}

/// The names in the two files that name metrics.
fn named() -> BTreeSet<String> {
    let sources = [include_str!("../../../engine/src/metrics.rs"), include_str!("../../src/door/metrics.rs")];
    let constant = |line: &str| {
        let (_, value) = line.trim().strip_prefix("pub const ")?.split_once(": &str = \"")?;
        value.strip_suffix("\";").map(str::to_owned)
    };
    sources.iter().flat_map(|source| source.lines().filter_map(constant)).collect()
}

#[test]
fn the_list_of_metrics_is_that_of_the_sources() {
    assert_eq!(listed(), named());
}

#[test]
fn the_list_of_metrics_is_that_of_a_running_server() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let id = id_of(&bank.start_login("alice").await);
        phone.decide(&id, "accept").await.expect(200);
        bank.start(&json!({})).await.expect(422);
        let text = bank.ops("/metrics").send().await.text;
        let shown: BTreeSet<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned))
            .collect();
        assert!(shown.len() > 15, "{shown:?}");
        let listed = listed();
        let unlisted: Vec<&String> = shown.difference(&listed).collect();
        assert!(unlisted.is_empty(), "not in docs/metrics.md: {unlisted:?}");
    });
}
