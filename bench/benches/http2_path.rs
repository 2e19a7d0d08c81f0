//! Pushes through the driver for APNs, beside bare h2 sending the same bytes to the same double.
//!
//! Both run on one thread over one TLS connection with N streams in flight; what is measured is the processor
//! time of that thread for one push, the kernel's share included. The double runs in its fast form: what is
//! measured is the client.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tocsin_bench::{BarePushes, DriverPushes, Outside, SeenPush, ThreadTime, folder_on_disk};
use tocsin_mock::Strictness;

/// Streams in flight.
const IN_FLIGHT: [u64; 2] = [16, 256];

fn http2_path(criterion: &mut Criterion<ThreadTime>) {
    let folder = folder_on_disk(env!("CARGO_TARGET_TMPDIR"));
    let seen = push_as_seen();
    println!("a push carries {} bytes of body", seen.body.len());
    let outside = Outside::start(folder.path(), Strictness::Fast);
    let mut ours = DriverPushes::to(&outside);
    let mut bare = BarePushes::to(&outside, &seen);
    let mut group = criterion.benchmark_group("http2_path");
    group.throughput(Throughput::Elements(1));
    for in_flight in IN_FLIGHT {
        // The first answer raises the double's stream limit from 1.
        ours.send(in_flight, in_flight);
        bare.send(in_flight, in_flight);
        group.bench_function(BenchmarkId::new("tocsin", in_flight), |bencher| {
            bencher.iter_custom(|pushes| ours.send(pushes, in_flight));
        });
        group.bench_function(BenchmarkId::new("h2", in_flight), |bencher| {
            bencher.iter_custom(|pushes| bare.send(pushes, in_flight));
        });
    }
    group.finish();
}

/// One push of ours, taken and checked by the strict double.
fn push_as_seen() -> SeenPush {
    let folder = folder_on_disk(env!("CARGO_TARGET_TMPDIR"));
    let outside = Outside::start(folder.path(), Strictness::Strict);
    DriverPushes::to(&outside).send(1, 1);
    outside.last_push()
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ThreadTime).sample_size(20).without_plots();
    targets = http2_path
}
criterion_main!(benches);
