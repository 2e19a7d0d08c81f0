//! The disk form of a challenge as it left for one phone.

use minicbor::bytes::{ByteArray, ByteSlice};
use minicbor::{Decode, Encode};
use tocsin_model::{KeptChallenge, SealedChallenge, Thumbprint};

use super::Malformed;

/// A kept challenge on disk: a seal has a key and an encapsulated one, a signed text has neither.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct KeptChallengeRecord<'a> {
    #[n(0)]
    sealed_to: Option<ByteArray<32>>,
    #[n(1)]
    encapsulated: Option<ByteArray<65>>,
    #[b(2)]
    bytes: &'a ByteSlice,
}

impl<'a> KeptChallengeRecord<'a> {
    pub(crate) fn new(kept: &'a KeptChallenge) -> Self {
        match kept {
            KeptChallenge::Sealed(sealed) => Self {
                sealed_to: Some((*sealed.to.as_bytes()).into()),
                encapsulated: Some(sealed.encapsulated.into()),
                bytes: (&*sealed.ciphertext).into(),
            },
            KeptChallenge::Signed(jws) => {
                Self { sealed_to: None, encapsulated: None, bytes: jws.as_bytes().into() }
            }
        }
    }

    pub(crate) fn into_model(self) -> Result<KeptChallenge, Malformed> {
        let bytes: &[u8] = self.bytes;
        match (self.sealed_to, self.encapsulated) {
            (Some(to), Some(encapsulated)) => Ok(KeptChallenge::Sealed(SealedChallenge {
                to: Thumbprint::from_bytes(to.into()),
                encapsulated: encapsulated.into(),
                ciphertext: bytes.into(),
            })),
            (None, None) => match std::str::from_utf8(bytes) {
                Ok(jws) => Ok(KeptChallenge::Signed(jws.into())),
                Err(_) => Err(Malformed("it holds a signed challenge that is no text")),
            },
            (Some(_), None) | (None, Some(_)) => Err(Malformed("it holds half a seal")),
        }
    }
}
