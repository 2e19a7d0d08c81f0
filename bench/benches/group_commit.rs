//! Durable creates through the group commit, beside synced write batches of bare RocksDB of the same size.
//!
//! `tocsin/N` is one caller's thread that keeps N creates waiting at a time; each is encoded, compared, synced
//! and answered. `rocksdb/N` writes batches of N ready rows. Time per create; a commit that serves more callers
//! makes it shorter on both sides.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tocsin_bench::{BareStore, GroupStore, folder_on_disk};

/// Creates that wait at a time.
const WAITING: [u64; 3] = [1, 64, 1_024];

/// Creates that show how many bytes one takes, before anything is measured.
const CREATES_TO_SIZE: u64 = 1_000;

fn group_commit(criterion: &mut Criterion) {
    let (ours_at, bare_at) =
        (folder_on_disk(env!("CARGO_TARGET_TMPDIR")), folder_on_disk(env!("CARGO_TARGET_TMPDIR")));
    let mut ours = GroupStore::open(ours_at.path());
    ours.create(CREATES_TO_SIZE, 64);
    let bytes_per_create = ours.commits().bytes_per_verb();
    let mut bare = BareStore::open(bare_at.path(), bytes_per_create);
    println!("a create changes {bytes_per_create} bytes of rows and keys");
    let mut group = criterion.benchmark_group("group_commit");
    group.throughput(Throughput::Elements(1));
    for waiting in WAITING {
        let before = ours.commits().verbs_and_commits();
        group.bench_function(BenchmarkId::new("tocsin", waiting), |bencher| {
            bencher.iter_custom(|creates| ours.create(creates, waiting));
        });
        let after = ours.commits().verbs_and_commits();
        println!("{:.1} creates a commit", per_commit(before, after));
        group.bench_function(BenchmarkId::new("rocksdb", waiting), |bencher| {
            bencher.iter_custom(|creates| bare.create(creates, waiting));
        });
    }
    group.finish();
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
