//! Challenges as they left for a phone.

use tocsin_model::{DurationMs, KeptChallenge, SealedChallenge, State, Thumbprint};

use super::Bench;
use crate::fixture::*;

fn sealed_to(key: u64, text: u8) -> KeptChallenge {
    KeptChallenge::Sealed(SealedChallenge {
        to: Thumbprint::from_bytes(bytes32(key)),
        encapsulated: [4; 65],
        ciphertext: vec![text; 900].into(),
    })
}

fn signed() -> KeptChallenge {
    KeptChallenge::Signed("e30.e30.AA".into())
}

pub async fn challenges_are_created_with_their_transaction(bench: Bench) {
    let mut new = new_transaction(1);
    new.challenges = vec![(device_id(1), sealed_to(1, 7)), (device_id(2), signed())];
    let _ = bench.store.create(new).await.expect("stored");
    for (device, kept) in [(1, Some(sealed_to(1, 7))), (2, Some(signed())), (3, None)] {
        let read = bench.store.kept_challenge(transaction_id(1), device_id(device)).await.expect("read");
        assert_eq!(read, kept, "{device}");
    }
}

pub async fn the_first_challenge_for_a_key_stands(bench: Bench) {
    let _ = bench.store.create(new_transaction(1)).await.expect("stored");
    let keep = |kept| bench.store.keep_challenge(transaction_id(1), device_id(1), kept);
    // Both are submitted before either is answered.
    let (first, second) = (keep(sealed_to(1, 7)), keep(sealed_to(1, 8)));
    assert_eq!(first.await.expect("answered"), sealed_to(1, 7));
    assert_eq!(second.await.expect("answered"), sealed_to(1, 7));
    // The phone has given its key up.
    assert_eq!(keep(sealed_to(2, 9)).await.expect("answered"), sealed_to(2, 9));
    let read = bench.store.kept_challenge(transaction_id(1), device_id(1)).await.expect("read");
    assert_eq!(read, Some(sealed_to(2, 9)));
}

pub async fn no_challenge_is_kept_for_what_is_not_open(bench: Bench) {
    let _ = bench.store.create(new_transaction(1)).await.expect("stored");
    let _ = bench.store.end(ended(transaction(1), State::Cancelled)).await.expect("stored");
    for name in [1, 2] {
        let kept = bench.store.keep_challenge(transaction_id(name), device_id(1), signed()).await;
        assert_eq!(kept.expect("answered"), signed());
        let read = bench.store.kept_challenge(transaction_id(name), device_id(1)).await.expect("read");
        assert_eq!(read, None, "{name}");
    }
}

pub async fn a_challenge_is_readable_until_the_deadline(bench: Bench) {
    let mut new = new_transaction(1);
    new.challenges = vec![(device_id(1), signed())];
    let _ = bench.store.create(new).await.expect("stored");
    bench.clock.advance(DurationMs::new(MINUTE.get() - 1));
    let read = || bench.store.kept_challenge(transaction_id(1), device_id(1));
    assert_eq!(read().await.expect("read"), Some(signed()));
    bench.clock.advance(DurationMs::new(1));
    assert_eq!(read().await.expect("read"), None);
}
