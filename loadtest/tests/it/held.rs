//! What a held call costs.

use tocsin_loadtest::verify::hold_long_polls;

use super::{ALONE, number};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_held_long_polls_take_little_memory() {
    let _alone = ALONE.lock().await;
    let report =
        hold_long_polls(number("TOCSIN_HELD", 8_000)).await.unwrap_or_else(|error| panic!("{error}"));
    println!("{report}");
}
