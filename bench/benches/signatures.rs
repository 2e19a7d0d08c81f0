//! What is signed and checked, beside bare aws-lc-rs over the same bytes: the JWT for Apple, the JWS of a challenge, and
//! the JWS of a phone's request.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tocsin_bench::{Outside, PhoneRequest, ThreadTime, folder_on_disk};
use tocsin_engine::device::{ServerKeys, UnverifiedProof};
use tocsin_engine::provider::ApnsTokens;
use tocsin_mock::Strictness;
use tocsin_model::UnixMs;

/// The bytes of a challenge of a usual length.
const CHALLENGE_BYTES: usize = 600;

const NOW: UnixMs = UnixMs::new(1_800_000_000_000);

fn signatures(criterion: &mut Criterion<ThreadTime>) {
    let folder = folder_on_disk(env!("CARGO_TARGET_TMPDIR"));
    let mut group = criterion.benchmark_group("signatures");
    group.throughput(Throughput::Elements(1));
    let (pair, random) = (fresh_pair(), SystemRandom::new());

    let outside = Outside::start(folder.path(), Strictness::Fast);
    let tokens = ApnsTokens::open(&outside.provider()).expect("the double's credentials are in order");
    let token = tokens.token(NOW).expect("signed");
    let signed = &token.as_bytes()[b"bearer ".len()..token.len() - SIGNATURE_CHARACTERS];
    group.bench_function("jwt-sign/tocsin", |bencher| bencher.iter(|| tokens.token(NOW)));
    group.bench_function("jwt-sign/aws-lc", |bencher| bencher.iter(|| pair.sign(&random, signed)));

    let keys = ServerKeys::load_or_create(folder.path()).expect("a fresh folder takes keys");
    let payload = vec![b'x'; CHALLENGE_BYTES];
    let challenge = keys.sign_challenge(None, NOW, &payload).expect("signed");
    let signed = &challenge.as_bytes()[..challenge.len() - SIGNATURE_CHARACTERS];
    group.bench_function("jws-sign/tocsin", |bencher| {
        bencher.iter(|| keys.sign_challenge(None, NOW, &payload));
    });
    group.bench_function("jws-sign/aws-lc", |bencher| bencher.iter(|| pair.sign(&random, signed)));

    let request = PhoneRequest::signed_by(&pair);
    group.bench_function("jws-verify/tocsin", |bencher| {
        bencher.iter(|| {
            let proof = UnverifiedProof::parse_enrolling(Some(request.authorization())).expect("a proof");
            let checked = proof.check_enrolling(request.key(), request.request()).expect("of this request");
            checked.verify().expect("by this key")
        });
    });
    let signature = pair.sign(&random, request.signed()).expect("signed");
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref().to_vec());
    group.bench_function("jws-verify/aws-lc", |bencher| {
        bencher.iter(|| public.verify(request.signed(), signature.as_ref()).expect("by this key"));
    });
    group.finish();
}

/// A dot and 64 bytes in base64url.
const SIGNATURE_CHARACTERS: usize = 87;

fn fresh_pair() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("the system has random numbers")
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .with_measurement(ThreadTime)
        .sample_size(20)
        .warm_up_time(std::time::Duration::from_secs(1))
        .measurement_time(std::time::Duration::from_secs(2))
        .without_plots();
    targets = signatures
}
criterion_main!(benches);
