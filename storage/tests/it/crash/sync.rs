//! The proof of the sync: every acknowledgement comes behind an fdatasync of the write-ahead log that covers it.
//!
//! A small C shim in the child logs writes and syncs of the log and the acknowledgements in one order; RocksDB's
//! own counter must agree. With `durability = "os"` the same watch finds no sync, which shows that it would notice.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::line::Line;
use super::log::{Cover, Log};
use super::{Orders, PATIENCE, reopen, start};

const SHIM: &str = include_str!("sync_shim.c");

/// Transactions of each of the child's workers.
const ROUNDS: u64 = 12;

/// The sync that fails, where one shall: in the middle of the work.
const FAILING_SYNC: u64 = 10;

fn compile_shim(folder: &Path) -> PathBuf {
    let (source, shim) = (folder.join("sync_shim.c"), folder.join("sync_shim.so"));
    fs::write(&source, SHIM).expect("written");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-o"])
        .args([&shim, &source])
        .arg("-ldl")
        .status()
        .expect("a C compiler is installed as cc");
    assert!(compiled.success(), "the shim compiles");
    shim
}

/// Lets a child work under the shim, and reads what it did.
fn watch(folder: &Path, durability: &'static str, failing_sync: Option<u64>) -> Log {
    let shim = compile_shim(folder);
    let log = folder.join("shim.txt");
    let database = folder.join("state");
    let orders = Orders { folder: &database, durability, seed: 1, rounds: Some(ROUNDS) };
    let mut watched = start(&orders, |command| {
        command.env("LD_PRELOAD", &shim).env("TOCSIN_SHIM_LOG", &log);
        if let Some(sync) = failing_sync {
            command.env("TOCSIN_SHIM_FAIL_SYNC", sync.to_string());
        }
    });
    loop {
        let line = watched.lines.recv_timeout(PATIENCE).expect("the child comes to its end");
        if matches!(line.parse(), Ok(Line::Done(_))) {
            break;
        }
    }
    assert!(watched.child.wait().expect("it is gone").success());
    Log::parse(&fs::read_to_string(&log).expect("the shim wrote its log"))
}

fn count(covers: &[Cover], wanted: Cover) -> usize {
    covers.iter().filter(|cover| **cover == wanted).count()
}

#[test]
fn with_durability_sync_every_acknowledgement_is_covered_by_a_sync() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = watch(folder.path(), "sync", None);
    let covers = log.covers();
    assert!(
        covers.len() > 64 * usize::try_from(ROUNDS).expect("small"),
        "only {} were acknowledged",
        covers.len()
    );
    assert_eq!(count(&covers, Cover::Synced), covers.len(), "an acknowledgement came without its sync");
    let (seen, counted) = log.syncs_seen_and_counted();
    assert!(seen > 0);
    assert_eq!(seen, counted, "the shim and RocksDB count alike");
    assert!(seen < u64::try_from(covers.len()).expect("small"), "one sync a group, not one a verb");
}

#[test]
fn with_durability_os_acknowledgements_come_without_a_sync() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = watch(folder.path(), "os", None);
    let covers = log.covers();
    assert!(!covers.is_empty());
    assert_eq!(count(&covers, Cover::Written), covers.len(), "the kernel has it, and nobody asked for more");
    assert_eq!(log.syncs_seen_and_counted(), (0, 0));
}

#[tokio::test]
async fn a_failed_sync_acknowledges_nobody_and_stops_the_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = watch(folder.path(), "sync", Some(FAILING_SYNC));
    assert_eq!(log.failed_syncs, 1, "nothing is written behind a failure");
    let covers = log.covers();
    assert!(!covers.is_empty());
    assert_eq!(count(&covers, Cover::Synced), covers.len(), "a verb of the failed group was acknowledged");
    let failures = log.failures();
    assert_eq!(failures.len(), 64, "every worker hears of it");
    assert!(failures.iter().all(|kind| *kind == "Stopped"), "{failures:?}");
    // The process starts again over what is there.
    log.promises().check(&reopen(&folder.path().join("state")), "behind a failed sync").await;
}
