//! Rows, sealed and opened. The header stays in clear, so that a compaction can drop a row by its expiry, but it is
//! authenticated with the payload: an expiry that was changed does not open.

use aws_lc_rs::aead::NONCE_LEN;
use zeroize::Zeroizing;

use super::{MasterKeyId, SealError, Sealer, TAG_BYTES, random_nonce};
use crate::envelope::{self, HEADER_BYTES};
use crate::key::Key;

#[cfg_attr(not(feature = "rocks"), allow(dead_code, reason = "only a disk is sealed"))]
impl Sealer {
    /// The sealed form of a plain row under `key`.
    pub(crate) fn seal_row(&self, key: &Key, row: &[u8]) -> Result<Vec<u8>, SealError> {
        self.seal_row_with(random_nonce()?, key, row)
    }

    pub(super) fn seal_row_with(
        &self,
        nonce: [u8; NONCE_LEN],
        key: &Key,
        row: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let (header, payload) = row.split_at_checked(HEADER_BYTES).ok_or(SealError::TooShort)?;
        let mut sealed = Vec::with_capacity(row.len() + NONCE_LEN + TAG_BYTES);
        sealed.extend_from_slice(header);
        envelope::mark_sealed(&mut sealed, self.key_id());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(payload);
        self.seal_tail(&context(key), &mut sealed, HEADER_BYTES)?;
        Ok(sealed)
    }

    /// The payload of a row that `id` has sealed.
    pub(crate) fn open_row(
        &self,
        id: MasterKeyId,
        key: &Key,
        row: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        self.open_tail(id, &context(key), row, HEADER_BYTES)
    }
}

/// The place of a row: its family by name, and its key.
fn context(key: &Key) -> [&[u8]; 4] {
    [b"row\0", key.family_name().as_bytes(), &[0], key.bytes()]
}
