//! The short records: links between rows, promises, marks and the deployment's values.

use minicbor::{Decode, Encode};
use tocsin_model::{KeyId, PublicKey, Secret, ServerKeyPair, ServerSecret, UnixMs};

use crate::store::KeptProviderToken;

/// A row whose key says everything.
#[derive(Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct EmptyRecord {}

/// A row that leads to another: to a device or an enrolment.
#[derive(Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct LinkRecord {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub(crate) id: [u8; 16],
}

/// What a client's idempotency key stands for.
#[derive(Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct IdempotencyRecord {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub(crate) id: [u8; 16],
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(crate) fingerprint: [u8; 32],
}

/// When a device last answered.
#[derive(Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct UsedRecord {
    #[n(0)]
    pub(crate) at_ms: u64,
}

/// A value of the deployment, perhaps a key, so it has no debug print.
#[derive(PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct MetaRecord {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub(crate) value: Vec<u8>,
}

/// The last token of a provider, which whoever has it could push with, so it has no debug print.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct ProviderTokenRecord {
    #[cbor(n(0), with = "minicbor::bytes")]
    credential: [u8; 32],
    #[n(1)]
    authorization: String,
    #[n(2)]
    minted_at_ms: u64,
    #[n(3)]
    refresh_at_ms: u64,
    #[n(4)]
    expires_at_ms: u64,
}

impl ProviderTokenRecord {
    pub(crate) fn new(token: &KeptProviderToken) -> Self {
        Self {
            credential: token.credential,
            authorization: token.authorization.expose().clone(),
            minted_at_ms: token.minted_at.get(),
            refresh_at_ms: token.refresh_at.get(),
            expires_at_ms: token.expires_at.get(),
        }
    }

    pub(crate) fn into_model(self) -> KeptProviderToken {
        KeptProviderToken {
            credential: self.credential,
            authorization: Secret::new(self.authorization),
            minted_at: UnixMs::new(self.minted_at_ms),
            refresh_at: UnixMs::new(self.refresh_at_ms),
            expires_at: UnixMs::new(self.expires_at_ms),
        }
    }
}

/// A server key of one device. Holds its private half, so it has no debug print.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct ServerKeyRecord {
    #[cbor(n(0), with = "minicbor::bytes")]
    kid: [u8; 16],
    #[cbor(n(1), with = "minicbor::bytes")]
    x: [u8; 32],
    #[cbor(n(2), with = "minicbor::bytes")]
    y: [u8; 32],
    #[cbor(n(3), with = "minicbor::bytes")]
    secret: [u8; 32],
}

impl ServerKeyRecord {
    pub(crate) fn new(key: &ServerKeyPair) -> Self {
        let PublicKey { x, y } = key.public_key;
        Self { kid: *key.kid.as_bytes(), x, y, secret: *key.secret.expose() }
    }

    pub(crate) fn into_model(self) -> Box<ServerKeyPair> {
        Box::new(ServerKeyPair {
            kid: KeyId::from_bytes(self.kid),
            public_key: PublicKey { x: self.x, y: self.y },
            secret: ServerSecret::new(self.secret),
        })
    }
}

/// The format number of the whole database.
#[cfg(feature = "rocks")]
#[derive(Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct FormatRecord {
    #[n(0)]
    pub(crate) format: u32,
}
