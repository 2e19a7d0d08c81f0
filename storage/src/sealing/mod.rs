//! Sealing under a master key: AES-256-GCM, a key for each context, a random nonce for each sealing.
//!
//! **Context.** What is sealed belongs to a place: a row to its family and key, any other value to a name that its
//! user chooses. The AES key is HMAC-SHA-256 of the context under the master key, and the context is
//! authenticated besides, so that what was moved to another place does not open.
//!
//! **Nonces** have 96 random bits. One AES key seals one row, once for each change of it: a few times, in the worst
//! case (a row that changes a thousand times a second for ten years, 2^39 sealings) two nonces are equal with a
//! chance of 2^-19, and in practice (2^20 sealings of a row) of 2^-57; NIST SP 800-38D allows 2^32 under one key
//! at 2^-33. Under one master key alone that bound would be reached within days of full load. A counter would
//! need no bound, but would repeat when a machine is resumed twice from one snapshot.
//!
//! **Key ids** are derived from the key, so that nobody has to number keys: the first two bytes of an HMAC, zero
//! avoided. They only say which key to try; the tag decides. Not here: where keys come from, and which rows are
//! sealed. Invariants: no key or plaintext in a debug print or error; derived keys and opened values are wiped.

mod row;

use std::fmt;
use std::num::NonZeroU16;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

/// Bytes of the id before a sealed value.
const ID_BYTES: usize = 2;
/// Bytes of the tag behind it.
const TAG_BYTES: usize = 16;
/// What keeps this use of the master key apart from any other.
const KEY_LABEL: &[u8] = b"tocsin/v1/seal\0";
/// What the id of a master key is derived with.
const ID_LABEL: &[u8] = b"tocsin/v1/master-key-id";

/// The name of a master key, derived from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MasterKeyId(NonZeroU16);

impl MasterKeyId {
    /// The id in an envelope; `None` for zero, which means no key.
    pub(crate) fn from_stored(bytes: [u8; 2]) -> Option<Self> {
        NonZeroU16::new(u16::from_be_bytes(bytes)).map(Self)
    }

    pub(crate) const fn to_stored(self) -> [u8; 2] {
        self.0.get().to_be_bytes()
    }
}

/// Four hexadecimal digits, as logs and errors show it.
impl fmt::Display for MasterKeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04x}", self.0)
    }
}

/// A master key: 256 random bits of the operator's.
pub struct MasterKey {
    id: MasterKeyId,
    root: hmac::Key,
}

impl MasterKey {
    /// The key whose bytes are `bytes`.
    pub fn new(bytes: &[u8; 32]) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let tag = hmac::sign(&root, ID_LABEL);
        let derived = tag.as_ref().first_chunk::<2>().copied().and_then(MasterKeyId::from_stored);
        Self { id: derived.unwrap_or(MasterKeyId(NonZeroU16::MIN)), root }
    }

    /// Its name.
    pub const fn id(&self) -> MasterKeyId {
        self.id
    }

    fn key_for(&self, context: &[&[u8]]) -> Result<LessSafeKey, SealError> {
        let mut message = hmac::Context::with_key(&self.root);
        message.update(KEY_LABEL);
        context.iter().for_each(|part| message.update(part));
        let mut derived = Zeroizing::new([0; 32]);
        derived.copy_from_slice(message.sign().as_ref());
        UnboundKey::new(&AES_256_GCM, &*derived).map(LessSafeKey::new).map_err(|_| SealError::Crypto)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MasterKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why something was not sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Two master keys have one id, or are one.
    #[error("two master keys have the id {0}: they are the same, or chance has it; take another new key")]
    SameId(MasterKeyId),
    /// It was sealed by a master key that is not here.
    #[error("it was sealed by the master key {0}, which is not among the configured ones")]
    UnknownKey(MasterKeyId),
    /// It was changed, moved, or sealed by another master key of the same id.
    #[error("it does not open: it was changed or moved, or another master key has sealed it")]
    Refused,
    /// It is too short to have been sealed.
    #[error("it is too short to have been sealed")]
    TooShort,
    /// The cryptographic library or its random numbers failed.
    #[error("the cryptographic library failed")]
    Crypto,
}

/// Seals under one master key and opens what it or an older one has sealed.
#[derive(Debug)]
pub struct Sealer {
    /// The first one seals.
    keys: Vec<MasterKey>,
}

impl Sealer {
    /// A sealer with the key that seals, and the older ones that still open.
    pub fn new(sealing: MasterKey, older: Vec<MasterKey>) -> Result<Self, SealError> {
        let mut keys = vec![sealing];
        for key in older {
            if keys.iter().any(|known| known.id == key.id) {
                return Err(SealError::SameId(key.id));
            }
            keys.push(key);
        }
        Ok(Self { keys })
    }

    /// The key that seals.
    pub fn key_id(&self) -> MasterKeyId {
        self.keys[0].id
    }

    /// All keys that open, the sealing one first.
    pub fn key_ids(&self) -> impl Iterator<Item = MasterKeyId> {
        self.keys.iter().map(|key| key.id)
    }

    /// Seals a value that belongs to `context`: id of the key, nonce, ciphertext, tag.
    pub fn seal(&self, context: &str, plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut sealed = Vec::with_capacity(ID_BYTES + NONCE_LEN + plaintext.len() + TAG_BYTES);
        sealed.extend_from_slice(&self.key_id().to_stored());
        sealed.extend_from_slice(&random_nonce()?);
        sealed.extend_from_slice(plaintext);
        self.seal_tail(&[b"value\0", context.as_bytes()], &mut sealed, ID_BYTES)?;
        Ok(sealed)
    }

    /// Whether the key that seals has sealed this value; says nothing of whether it opens.
    pub fn has_sealed(&self, sealed: &[u8]) -> bool {
        sealed.starts_with(&self.key_id().to_stored())
    }

    /// Opens what [`Sealer::seal`] has sealed for the same context.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let id = sealed.first_chunk::<ID_BYTES>().copied().ok_or(SealError::TooShort)?;
        let id = MasterKeyId::from_stored(id).ok_or(SealError::Refused)?;
        self.open_tail(id, &[b"value\0", context.as_bytes()], sealed, ID_BYTES)
    }

    /// Seals what follows the nonce at `head_bytes`; everything before the nonce is authenticated.
    fn seal_tail(&self, context: &[&[u8]], whole: &mut Vec<u8>, head_bytes: usize) -> Result<(), SealError> {
        let key = self.keys[0].key_for(context)?;
        let (head, rest) = whole.split_at_mut_checked(head_bytes).ok_or(SealError::TooShort)?;
        let (nonce, plaintext) = rest.split_at_mut_checked(NONCE_LEN).ok_or(SealError::TooShort)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Crypto)?;
        let aad = Aad::from(additional_data(head, context));
        let tag = key.seal_in_place_separate_tag(nonce, aad, plaintext).map_err(|_| SealError::Crypto)?;
        whole.extend_from_slice(tag.as_ref());
        Ok(())
    }

    fn open_tail(
        &self,
        id: MasterKeyId,
        context: &[&[u8]],
        whole: &[u8],
        head_bytes: usize,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let master = self.keys.iter().find(|key| key.id == id).ok_or(SealError::UnknownKey(id))?;
        let (head, rest) = whole.split_at_checked(head_bytes).ok_or(SealError::TooShort)?;
        let (nonce, ciphertext) = rest.split_at_checked(NONCE_LEN).ok_or(SealError::TooShort)?;
        if ciphertext.len() < TAG_BYTES {
            return Err(SealError::TooShort);
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Crypto)?;
        let mut opened = Zeroizing::new(ciphertext.to_vec());
        let aad = Aad::from(additional_data(head, context));
        let length = master
            .key_for(context)?
            .open_in_place(nonce, aad, &mut opened)
            .map_err(|_| SealError::Refused)?
            .len();
        opened.truncate(length);
        Ok(opened)
    }
}

/// The head stands first and its length is that of its form, so head and context cannot run into each other.
fn additional_data(head: &[u8], context: &[&[u8]]) -> Vec<u8> {
    let mut data = head.to_vec();
    context.iter().for_each(|part| data.extend_from_slice(part));
    data
}

fn random_nonce() -> Result<[u8; NONCE_LEN], SealError> {
    let mut nonce = [0; NONCE_LEN];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| SealError::Crypto)?;
    Ok(nonce)
}

#[cfg(test)]
mod tests;
