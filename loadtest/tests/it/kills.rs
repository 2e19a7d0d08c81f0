//! Nothing acknowledged is lost, and nothing ends twice, however often the server is killed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use tocsin_loadtest::find_server;
use tocsin_loadtest::verify::{KillOptions, survive_kills};

use super::{ALONE, number};

/// Kills in `cargo test`; `make verify` asks for 200.
const KILLS_DEFAULT: u32 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_in_random_kills_under_load() {
    let _alone = ALONE.lock().await;
    let kills = number("TOCSIN_KILLS", KILLS_DEFAULT);
    let options = KillOptions { kills, seed: seed(), binary: None };
    let report = survive_kills(options).await.unwrap_or_else(|error| panic!("{error}"));
    println!("{report}");
    assert_eq!(report.kills, kills);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_loses_the_end_of_its_log_is_found_out() {
    let _alone = ALONE.lock().await;
    let folder = TempDir::new().expect("a folder");
    let binary = Some(forgetful_server(folder.path()));
    let found = survive_kills(KillOptions { kills: 1, seed: seed(), binary }).await;
    let found = found.expect_err("half of the log was cut off").to_string();
    // A transaction, an outcome, or, where little was written behind it, the enrolment of a phone.
    let lost = [" is gone: 404", " and is now pending", "422 no_device"];
    assert!(lost.iter().any(|sign| found.contains(sign)), "{found}");
    if let Some((_, kept)) = found.split_once("kept: ") {
        fs::remove_dir_all(kept).expect("the folder that was kept");
    }
}

/// A server that, before it starts, cuts off half of the newest write-ahead log that it finds.
fn forgetful_server(folder: &Path) -> PathBuf {
    let script = folder.join("tocsin");
    let server = find_server().expect("a server");
    let text = format!(
        "#!/bin/sh\n\
         log=$(find data -name '*.log' 2>/dev/null | xargs -r ls -t | head -n 1)\n\
         [ -z \"$log\" ] || truncate -s $(($(stat -c %s \"$log\") / 2)) \"$log\"\n\
         exec '{}' \"$@\"\n",
        server.display()
    );
    fs::write(&script, text).expect("a script");
    fs::set_permissions(&script, Permissions::from_mode(0o700)).expect("a script that may be run");
    script
}

fn seed() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let seed = number("TOCSIN_SEED", u64::from(since_1970.subsec_nanos()));
    println!("TOCSIN_SEED={seed}");
    seed
}
