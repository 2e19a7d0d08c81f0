//! Pushes for the unit tests of the networks.

use tocsin_model::{
    DeviceId, PushEnvironment, PushId, PushKind, PushTarget, PushToken, SealedChallenge, Thumbprint, UnixMs,
};

use crate::protocol::{Push, PushContent};

/// The transaction of every push here.
pub(super) const TRANSACTION: &str = "01913f00-1122-8b7f-bfff-ffffffffffff";

/// A push that expires half a second after Unix second 1,000,000.
pub(super) fn push_to(kind: PushKind, token: &str, content: PushContent) -> Push {
    let registered_at = UnixMs::new(1_000);
    let environment = PushEnvironment::Production;
    Push {
        transaction_id: TRANSACTION.parse().expect("an id"),
        device_id: DeviceId::from_bytes([7; 16]),
        push_id: PushId::from_digest(&[9; 32]),
        target: PushTarget { kind, token: PushToken::new(kind, token), environment, registered_at },
        app_id: "com.example.bank".into(),
        expires_at: UnixMs::new(1_000_000_500),
        content,
        sealed: None,
        suspected: false,
        open_requests: 1,
    }
}

/// A seal whose ciphertext has this many bytes.
pub(super) fn sealed(ciphertext_bytes: usize) -> Box<SealedChallenge> {
    Box::new(SealedChallenge {
        to: Thumbprint::from_bytes([1; 32]),
        encapsulated: [0xff; 65],
        ciphertext: vec![7; ciphertext_bytes].into(),
    })
}
