//! Creates through the registry, beside a bare actix actor for each: spawned with a timer, asked, stopped.
//!
//! Measured is the processor time of the whole process for one create with its withdrawal, 64 at a time: the caller's
//! thread and the thread of the actors. Ours also writes and reads records in a storage in memory, keeps the books and
//! the audit trail, and derives a code.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tocsin_bench::{BareActors, EngineCreates, ProcessTime};

/// Creates that wait at a time.
const WAITING: u64 = 64;

fn registry(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("registry");
    group.throughput(Throughput::Elements(1));
    let mut ours = EngineCreates::start(env!("CARGO_TARGET_TMPDIR"));
    group.bench_function(BenchmarkId::new("tocsin", WAITING), |bencher| {
        bencher.iter_custom(|creates| ProcessTime::own().during(|| ours.create_and_cancel(creates, WAITING)));
    });
    drop(ours);
    let mut bare = BareActors::start();
    group.bench_function(BenchmarkId::new("actix", WAITING), |bencher| {
        bencher.iter_custom(|actors| ProcessTime::own().during(|| bare.spawn_ask_stop(actors, WAITING)));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(15)
        .warm_up_time(std::time::Duration::from_secs(1))
        .measurement_time(std::time::Duration::from_secs(3))
        .without_plots();
    targets = registry
}
criterion_main!(benches);
