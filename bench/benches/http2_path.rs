//! Pushes through the driver for APNs, beside bare h2 sending the same bytes to the same double, and beside h2load.
//!
//! Both run on one thread over one TLS connection with N streams in flight; what is measured is the processor
//! time of that thread for one push, the kernel's share included. The double runs in its fast form: what is
//! measured is the client. `h2` is bare h2 over TLS as both come; `h2-gathered` is the same without vectored writes, so
//! that it writes as much at once as ours does. A sealed push carries the challenge, and so a body of several frames.

use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tocsin_bench::{
    BarePushes, DriverPushes, Figures, H2load, Outside, Seal, SeenPush, ThreadTime, Writes, folder_on_disk,
};
use tocsin_mock::Strictness;

/// Streams in flight.
const IN_FLIGHT: [u64; 2] = [16, 256];

/// Pushes of h2load that are measured.
const H2LOAD_PUSHES: u64 = 30_000;

fn http2_path(criterion: &mut Criterion<ThreadTime>) {
    let mut group = criterion.benchmark_group("http2_path");
    group.throughput(Throughput::Elements(1));
    beside_bare(&mut group, Seal::None, "");
    beside_bare(&mut group, Seal::Challenge, "-sealed");
    group.finish();
}

fn beside_bare(group: &mut BenchmarkGroup<'_, ThreadTime>, seal: Seal, suffix: &str) {
    let folder = folder_on_disk(env!("CARGO_TARGET_TMPDIR"));
    let seen = push_as_seen(seal);
    println!("a push{suffix} carries {} bytes of body", seen.body.len());
    let outside = Outside::start(folder.path(), Strictness::Fast);
    let mut ours = DriverPushes::to(&outside, seal);
    let mut plain = BarePushes::to(&outside, &seen, Writes::Plain);
    let mut gathered = BarePushes::to(&outside, &seen, Writes::Gathered);
    for in_flight in IN_FLIGHT {
        // The first answer raises the double's stream limit from 1.
        ours.send(in_flight, in_flight);
        group.bench_function(BenchmarkId::new(format!("tocsin{suffix}"), in_flight), |bencher| {
            bencher.iter_custom(|pushes| ours.send(pushes, in_flight));
        });
        for (name, bare) in [("h2", &mut plain), ("h2-gathered", &mut gathered)] {
            bare.send(in_flight, in_flight);
            group.bench_function(BenchmarkId::new(format!("{name}{suffix}"), in_flight), |bencher| {
                bencher.iter_custom(|pushes| bare.send(pushes, in_flight));
            });
        }
    }
    if seal == Seal::None {
        beside_h2load(&outside, &seen);
    }
}

fn beside_h2load(outside: &Outside, seen: &SeenPush) {
    let Some(h2load) = H2load::find(outside, seen) else {
        println!("h2load is not installed (Debian: nghttp2-client), so that its cost is not told");
        return;
    };
    for in_flight in IN_FLIGHT {
        let time = h2load.time_a_push(H2LOAD_PUSHES, in_flight);
        let figures = Figures::below(env!("CARGO_TARGET_TMPDIR"));
        figures.keep(&format!("h2load-{in_flight}-ns"), time.as_secs_f64() * 1e9);
    }
}

/// One push of ours, taken and checked by the strict double.
fn push_as_seen(seal: Seal) -> SeenPush {
    let folder = folder_on_disk(env!("CARGO_TARGET_TMPDIR"));
    let outside = Outside::start(folder.path(), Strictness::Strict);
    DriverPushes::to(&outside, seal).send(1, 1);
    outside.last_push()
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ThreadTime).sample_size(20).without_plots();
    targets = http2_path
}
criterion_main!(benches);
