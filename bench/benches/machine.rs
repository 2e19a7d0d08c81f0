//! What this machine can do by itself, to stand beside the absolutes: ECDSA P-256 and the disk's own sync.

use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use criterion::{Criterion, criterion_group, criterion_main};
use tocsin_bench::{Figures, ThreadTime, folder_on_disk};

/// Syncs that are timed, of so many fresh bytes each.
const SYNCS: usize = 2_000;
const SYNC_BYTES: usize = 4_096;

/// What is signed: as much as a challenge of a usual length.
const SIGNED_BYTES: usize = 900;

fn machine(criterion: &mut Criterion<ThreadTime>) {
    disk();
    let mut group = criterion.benchmark_group("machine");
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("random numbers");
    let (random, text) = (SystemRandom::new(), [b'x'; SIGNED_BYTES]);
    group.bench_function("p256-sign", |bencher| bencher.iter(|| pair.sign(&random, &text)));
    let signature = pair.sign(&random, &text).expect("signed");
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref().to_vec());
    group.bench_function("p256-verify", |bencher| {
        bencher.iter(|| public.verify(&text, signature.as_ref()).expect("by this key"));
    });
    group.finish();
}

/// Appends and syncs, as a log of commits does.
fn disk() {
    let folder = folder_on_disk(env!("CARGO_TARGET_TMPDIR"));
    let mut file = File::create(folder.path().join("log")).expect("the folder can be written");
    let mut took: Vec<Duration> = (0..SYNCS)
        .map(|_| {
            file.write_all(&[0x5a; SYNC_BYTES]).expect("the disk has room");
            let began = Instant::now();
            file.sync_data().expect("the disk syncs");
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    let figures = Figures::below(env!("CARGO_TARGET_TMPDIR"));
    for (name, share) in [("fsync-p50-us", 0.5), ("fsync-p99-us", 0.99)] {
        let place = ((SYNCS - 1) as f64 * share) as usize;
        figures.keep(name, took[place].as_secs_f64() * 1e6);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .with_measurement(ThreadTime)
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2))
        .without_plots();
    targets = machine
}
criterion_main!(benches);
