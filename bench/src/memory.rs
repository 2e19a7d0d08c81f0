//! What stays in memory of many that are pending, in bytes each. To be asked of a fresh process.

use futures_util::FutureExt as _;
use std::fs;
use std::sync::Arc;

use tocsin_storage::memory::{MemoryOptions, MemoryStore};
use tocsin_storage::{Created, NewTransaction, Store};

use crate::{BareActors, EngineCreates, Samples};

/// Started before anything is counted, so that threads, tables and arenas are there.
const WARM_UP: u64 = 1_000;

/// What is to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryOf {
    /// Pending transactions of the engine over a storage in memory.
    Engine,
    /// Their records alone.
    Store,
    /// Bare actix actors with a timer.
    Actix,
}

impl MemoryOf {
    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "engine" => Some(Self::Engine),
            "store" => Some(Self::Store),
            "actix" => Some(Self::Actix),
            _ => None,
        }
    }

    /// Bytes for each of `count`.
    pub fn bytes_each(self, count: u64) -> f64 {
        match self {
            Self::Engine => {
                let target = std::env::temp_dir();
                let mut engine = EngineCreates::start(&target.to_string_lossy());
                grown_by(count, |creates| engine.create(creates, 64))
            }
            Self::Store => {
                let store = MemoryStore::new(MemoryOptions::new(Arc::new(Samples::now)));
                let mut samples = Samples::new();
                grown_by(count, |creates| {
                    for _ in 0..creates {
                        let transaction = samples.next_transaction();
                        let row = NewTransaction {
                            transaction,
                            idempotency: None,
                            challenges: Vec::new(),
                            otp: None,
                        };
                        let created = store.create(row).now_or_never().expect("memory answers at once");
                        assert_eq!(created.expect("it takes it"), Created::New);
                    }
                })
            }
            Self::Actix => {
                let mut actors = BareActors::start();
                grown_by(count, |count| actors.spawn(count))
            }
        }
    }
}

fn grown_by(count: u64, mut start: impl FnMut(u64)) -> f64 {
    start(WARM_UP);
    let before = resident_bytes();
    start(count);
    resident_bytes().saturating_sub(before) as f64 / count as f64
}

fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").trim().parse().expect("a number");
    kibibytes * 1_024
}
