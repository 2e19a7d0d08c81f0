//! The disk form of a transaction, written and read, beside bare minicbor with the same fields, all of them plain.
//!
//! Ours also begins the row with its format, key and expiry, and on reading judges every name, word and id again.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tocsin_bench::{BareRecord, Samples, ThreadTime};
use tocsin_storage::bench_hook::{transaction_of_row, transaction_row};

fn record_codec(criterion: &mut Criterion<ThreadTime>) {
    let mut group = criterion.benchmark_group("record_codec");
    group.throughput(Throughput::Elements(1));
    let transaction = Samples::new().next_transaction();
    let row = transaction_row(&transaction);
    let bare = BareRecord::of(&transaction).to_bytes();
    println!("a row takes {} bytes, bare fields take {}", row.len(), bare.len());
    group.bench_function("write/tocsin", |bencher| bencher.iter(|| transaction_row(&transaction)));
    group.bench_function("write/minicbor", |bencher| {
        bencher.iter(|| BareRecord::of(&transaction).to_bytes());
    });
    group.bench_function("read/tocsin", |bencher| {
        bencher.iter(|| transaction_of_row(transaction.id, &row).expect("it was written above"));
    });
    group.bench_function("read/minicbor", |bencher| {
        bencher.iter(|| BareRecord::owned_from(&bare));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .with_measurement(ThreadTime)
        .sample_size(20)
        .warm_up_time(std::time::Duration::from_secs(1))
        .measurement_time(std::time::Duration::from_secs(2))
        .without_plots();
    targets = record_codec
}
criterion_main!(benches);
