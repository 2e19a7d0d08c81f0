//! Durable creates through the group commit, beside synced write batches of bare RocksDB of the same size.
//!
//! `tocsin/N` is one caller's thread that keeps N creates waiting at a time; each is encoded, compared, synced
//! and answered. `rocksdb/N` writes batches of the same rows of N creates, made of ready bytes. Time per create; a commit that serves more callers
//! makes it shorter on both sides.
//!
//! Each create tells the audit trail, in a row of the same batch. `tocsin-without-audit/N` leaves that row out; as
//! disks drift, the ratio is printed from rounds of both kinds that take turns.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tocsin_bench::{BareStore, GroupStore, folder_on_disk};

/// Creates that wait at a time.
const WAITING: [u64; 3] = [1, 64, 1_024];

/// Creates that show how many bytes one takes, before anything is measured.
const CREATES_TO_SIZE: u64 = 1_000;

/// Rounds with audit rows, and as many without, whose ratio is told; and the creates of one, in times that wait.
const ROUNDS: usize = 11;
const COMMITS_A_ROUND: u64 = 40;

fn group_commit(criterion: &mut Criterion) {
    let [ours_at, unaudited_at, bare_at] = [(); 3].map(|()| folder_on_disk(env!("CARGO_TARGET_TMPDIR")));
    let mut ours = GroupStore::open(ours_at.path());
    let mut unaudited = GroupStore::open(unaudited_at.path());
    unaudited.leave_out_audit_rows();
    unaudited.create(CREATES_TO_SIZE, 64);
    ours.create(CREATES_TO_SIZE, 64);
    let bytes_per_create = ours.commits().bytes_per_verb();
    let without_audit = unaudited.commits().bytes_per_verb();
    assert!(without_audit < bytes_per_create, "audit rows were left out");
    let mut bare = BareStore::open(bare_at.path(), bytes_per_create, without_audit);
    println!(
        "a create changes {bytes_per_create} bytes of rows and keys, {without_audit} of them without its audit row"
    );
    let mut group = criterion.benchmark_group("group_commit");
    group.throughput(Throughput::Elements(1));
    for waiting in WAITING {
        let before = ours.commits().verbs_and_commits();
        group.bench_function(BenchmarkId::new("tocsin", waiting), |bencher| {
            bencher.iter_custom(|creates| ours.create(creates, waiting));
        });
        let after = ours.commits().verbs_and_commits();
        println!("{:.1} creates a commit", per_commit(before, after));
        group.bench_function(BenchmarkId::new("tocsin-without-audit", waiting), |bencher| {
            bencher.iter_custom(|creates| unaudited.create(creates, waiting));
        });
        let ratio = ratio_in_turns(&mut ours, &mut unaudited, waiting);
        println!("with its audit row a create takes {ratio:.2} times as long as without, {waiting} waiting");
        group.bench_function(BenchmarkId::new("rocksdb", waiting), |bencher| {
            bencher.iter_custom(|creates| bare.create(creates, waiting));
        });
    }
    group.finish();
}

/// How many times as long the rounds of `one` take as those of `other`, by their medians.
fn ratio_in_turns(one: &mut GroupStore, other: &mut GroupStore, waiting: u64) -> f64 {
    let creates = COMMITS_A_ROUND * waiting;
    let (mut ones, mut others): (Vec<Duration>, Vec<Duration>) =
        (0..ROUNDS).map(|_| (one.create(creates, waiting), other.create(creates, waiting))).unzip();
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[ROUNDS / 2].as_secs_f64()
    };
    median(&mut ones) / median(&mut others)
}

fn per_commit(before: (u64, u64), after: (u64, u64)) -> f64 {
    (after.0 - before.0) as f64 / (after.1 - before.1).max(1) as f64
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).without_plots();
    targets = group_commit
}
criterion_main!(benches);
