//! Sealing and opening a row's worth of bytes, beside bare AES-256-GCM of the same library with a key that is ready.
//!
//! Ours derives the key of the context, draws a nonce and copies; the difference is what a key for each row costs.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tocsin_bench::ThreadTime;
use tocsin_storage::{MasterKey, Sealer};

/// Bytes that are sealed: a small row, one with a usual transaction, a large one.
const SIZES: [usize; 3] = [256, 1_024, 4_096];

/// What it belongs to, about as long as a row's key.
const CONTEXT: &str = "transaction/01010123456789abcdef0123";

fn sealing(criterion: &mut Criterion<ThreadTime>) {
    let sealer = Sealer::new(MasterKey::new(&[7; 32]), vec![]).expect("one key");
    let bare = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).expect("32 bytes"));
    let mut group = criterion.benchmark_group("sealing");
    for bytes in SIZES {
        let plaintext = vec![0x5a; bytes];
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::new("tocsin", bytes), |bencher| {
            bencher.iter(|| sealer.seal(CONTEXT, &plaintext));
        });
        let sealed = sealer.seal(CONTEXT, &plaintext).expect("sealed");
        group.bench_function(BenchmarkId::new("tocsin-open", bytes), |bencher| {
            bencher.iter(|| sealer.open(CONTEXT, &sealed));
        });
        group.bench_function(BenchmarkId::new("aws-lc", bytes), |bencher| {
            bencher.iter(|| {
                let mut whole = plaintext.clone();
                let nonce = Nonce::assume_unique_for_key([1; 12]);
                bare.seal_in_place_append_tag(nonce, Aad::from(CONTEXT), &mut whole).map(|()| whole)
            });
        });
        let mut closed = plaintext.clone();
        let nonce = || Nonce::assume_unique_for_key([1; 12]);
        bare.seal_in_place_append_tag(nonce(), Aad::from(CONTEXT), &mut closed).expect("sealed");
        group.bench_function(BenchmarkId::new("aws-lc-open", bytes), |bencher| {
            bencher.iter(|| {
                let mut whole = closed.clone();
                bare.open_in_place(nonce(), Aad::from(CONTEXT), &mut whole).map(|plain| plain.len())
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ThreadTime).sample_size(20).without_plots();
    targets = sealing
}
criterion_main!(benches);
