//! The whole, from outside: the demo, kills, deadlines and a phone in another language, each against a real server.
//!
//! The server's binary is looked for beside this executable (`cargo build -p tocsin-api` makes it).
//! `TOCSIN_KILLS`, `TOCSIN_SEED`, `TOCSIN_TIMEOUTS` and `TOCSIN_HELD` make the runs longer or repeat one.

mod by_hand;
mod deadlines;
mod demo;
mod features;
mod held;
mod kills;
mod load;
mod monitoring;
mod openapi;
mod python_phone;

use std::fmt::Debug;
use std::str::FromStr;

use tokio::sync::Mutex;

/// Held by each test that loads the machine or watches a clock, so that they do not disturb each other.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The number that this variable holds, or `default`.
fn number<T: FromStr<Err: Debug>>(variable: &str, default: T) -> T {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|error| panic!("{variable}={text}: {error:?}")),
        Err(_) => default,
    }
}
