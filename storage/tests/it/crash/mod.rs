//! What a process that dies leaves behind.
//!
//! Two questions need two answers. Is what was acknowledged still there after `kill -9` at any moment (`kill`)?
//! A killed process keeps its page cache, so that alone proves nothing about the disk: does every acknowledgement
//! come behind an fdatasync of the write-ahead log that covers it (`sync`)? Both watch a child process (`child`),
//! which is this test binary again under orders, and read its acknowledgements (`line`).

mod child;
mod kill;
mod line;
mod log;
mod promise;
mod random;
mod sync;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::fixture::{RETENTION, TestClock};

/// Longest silence of a child before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a child shall do, handed over in its environment.
pub struct Orders<'o> {
    pub folder: &'o Path,
    pub durability: &'static str,
    pub seed: u64,
    /// Transactions of each worker; `None` goes on until killed.
    pub rounds: Option<u64>,
}

/// A running child and its lines.
pub struct Watched {
    pub child: Child,
    pub lines: Receiver<String>,
}

/// Starts a child under orders; `prepare` may add to its environment.
pub fn start(orders: &Orders<'_>, prepare: impl FnOnce(&mut Command)) -> Watched {
    let mut command = Command::new(std::env::current_exe().expect("this binary has a path"));
    command
        .args([child::ENTRY, "--exact", "--nocapture", "--test-threads=1"])
        .env(child::FOLDER, orders.folder)
        .env(child::DURABILITY, orders.durability)
        .env(child::SEED, orders.seed.to_string())
        .env(child::ROUNDS, orders.rounds.map_or_else(String::new, |rounds| rounds.to_string()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    prepare(&mut command);
    let mut child = command.spawn().expect("the child starts");
    let output = BufReader::new(child.stdout.take().expect("it is piped"));
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        // A pipe takes lines this short whole or not at all, so a kill tears none.
        for line in output.split(b'\n').map_while(Result::ok) {
            let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
        }
    });
    Watched { child, lines }
}

/// Opens what a child left.
pub fn reopen(folder: &Path) -> tocsin_storage::rocks::RocksStore {
    let mut storage = crate::rocks::storage(folder);
    storage.transaction_retention = RETENTION.transaction;
    crate::rocks::open(&storage, &TestClock::new()).expect("what a killed process left opens")
}
