//! Every transaction that nobody answers ends in time.

use tocsin_loadtest::verify::{TimeoutOptions, meet_deadlines};

use super::{ALONE, number};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_pending_transactions_time_out_in_time_and_in_little_memory() {
    let _alone = ALONE.lock().await;
    let transactions = number("TOCSIN_TIMEOUTS", 10_000);
    let options = TimeoutOptions { transactions, long_polls: 400 };
    let report = meet_deadlines(options).await.unwrap_or_else(|error| panic!("{error}"));
    println!("{report}");
    assert_eq!(report.transactions, transactions);
}
