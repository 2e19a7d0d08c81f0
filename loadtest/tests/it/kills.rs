//! Nothing acknowledged is lost, and nothing ends twice, however often the server is killed.

use std::time::{SystemTime, UNIX_EPOCH};

use tocsin_loadtest::verify::{KillOptions, survive_kills};

use super::number;

/// Kills in `cargo test`; `make verify` asks for 200.
const KILLS_DEFAULT: u32 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_in_random_kills_under_load() {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let seed = number("TOCSIN_SEED", u64::from(since_1970.subsec_nanos()));
    let kills = number("TOCSIN_KILLS", KILLS_DEFAULT);
    println!("TOCSIN_SEED={seed}");
    let report = survive_kills(KillOptions { kills, seed }).await.unwrap_or_else(|error| panic!("{error}"));
    println!("{report}");
    assert_eq!(report.kills, kills);
}
