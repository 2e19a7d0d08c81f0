//! Memory of a pending transaction's actor, beside a bare actix actor with a timer.
//!
//! Each is counted in a process of its own: what of it is in RAM after so many were started, less what it was before. Of
//! ours the record in the storage in memory is taken off by a third process that only stores.

use std::process::Command;

use tocsin_bench::Figures;

/// Pending at a time.
const PENDING: u64 = 100_000;

fn main() {
    let bytes_of = |what: &str| {
        let binary = env!("CARGO_BIN_EXE_tocsin-bench");
        let told = Command::new(binary).args(["memory", what, &PENDING.to_string()]).output();
        let told = String::from_utf8(told.expect("it was built with this bench").stdout).expect("text");
        told.trim().parse::<f64>().expect("a number of bytes")
    };
    let figures = Figures::below(env!("CARGO_TARGET_TMPDIR"));
    let (whole, record) = (bytes_of("engine"), bytes_of("store"));
    figures.keep("actor-memory-bytes", (whole - record).max(0.0));
    figures.keep("actor-and-record-memory-bytes", whole);
    figures.keep("bare-actor-memory-bytes", bytes_of("actix"));
}
