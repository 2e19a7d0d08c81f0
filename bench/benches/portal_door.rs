//! A create at the portal door, beside an actix-web that answers with the JSON that it was sent.
//!
//! Both are processes of their own with one worker for HTTP, called by the same client over the same number of keep-alive
//! connections; what is measured is the server's processor time for one call, all its threads. A create of ours
//! authenticates, parses strictly, keeps every bound, is synced to the disk with its audit row, becomes an actor, and
//! pushes; `tocsin-unpushed` hands the code out instead of pushing. The server needs its release binary beside this one.

use std::net::SocketAddr;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tocsin_bench::{Calls, Echo, PortalCreates, ProcessTime};

/// Calls at a time: the more, the more creates share a sync.
const CALLS: usize = 256;

fn portal_door(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("portal_door");
    group.throughput(Throughput::Elements(1));
    let ours = PortalCreates::start(env!("CARGO_TARGET_TMPDIR"));
    for (name, pushes) in [("tocsin", true), ("tocsin-unpushed", false)] {
        let request = |number| ours.request(number, pushes);
        measure(&mut group, name, ours.address(), ours.process_id(), &request);
    }
    let echo = Echo::start(env!("CARGO_BIN_EXE_tocsin-bench"));
    let request = |number| ours.request(number, true);
    measure(&mut group, "actix-web", echo.address(), echo.process_id(), &request);
    group.finish();
}

fn measure(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    name: &str,
    address: SocketAddr,
    process_id: i32,
    request: &dyn Fn(u64) -> Vec<u8>,
) {
    let (mut calls, server) = (Calls::to(address, CALLS), ProcessTime::of(process_id));
    group.bench_function(BenchmarkId::new(name, CALLS), |bencher| {
        bencher.iter_custom(|count| server.during(|| calls.make(count, request)));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(std::time::Duration::from_secs(2))
        .measurement_time(std::time::Duration::from_secs(6))
        .without_plots();
    targets = portal_door
}
criterion_main!(benches);
