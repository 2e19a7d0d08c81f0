//! The envelope of every stored value: what can be known of a row without understanding it.
//!
//! ```text
//! byte  0        format of the envelope and the payload, 1
//! bytes 1..3     id of the key that sealed the payload, 0 for none
//! byte  3        1 when the payload is sealed, else 0
//! bytes 4..12    expires_at, milliseconds since 1970, 0 for never
//! bytes 12..     payload, CBOR (RFC 8949)
//! ```
//!
//! Numbers are big-endian. `expires_at` stands at a fixed place in clear, so that a compaction can drop a row that
//! it cannot read. A reader treats an expired row as absent. A sealed payload is nonce, ciphertext and tag, see
//! `sealing`, which authenticates the header as well.

use tocsin_model::UnixMs;

use crate::sealing::MasterKeyId;

/// The format that this version writes.
pub(crate) const FORMAT: u8 = 1;

/// Bytes before the payload.
pub(crate) const HEADER_BYTES: usize = 12;

const EXPIRES_AT: std::ops::Range<usize> = 4..12;

const PLAIN: u8 = 0;
const SEALED: u8 = 1;

/// A row until when it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// It stays until something removes it.
    Never,
    /// From this moment on it counts as absent.
    At(UnixMs),
}

impl Expiry {
    const fn to_stored(self) -> u64 {
        match self {
            Self::Never => 0,
            // The first millisecond of 1970 would read as "never"; the one after it is as long over.
            Self::At(moment) => {
                if moment.get() == 0 {
                    1
                } else {
                    moment.get()
                }
            }
        }
    }

    const fn from_stored(stored: u64) -> Self {
        if stored == 0 { Self::Never } else { Self::At(UnixMs::new(stored)) }
    }

    /// Whether the row counts as absent.
    pub(crate) fn is_over(self, now: UnixMs) -> bool {
        match self {
            Self::Never => false,
            Self::At(moment) => moment <= now,
        }
    }
}

/// Writes the envelope of a row; the payload is appended behind it.
pub(crate) fn begin(expiry: Expiry, payload_bytes_hint: usize) -> Vec<u8> {
    let mut row = Vec::with_capacity(HEADER_BYTES + payload_bytes_hint);
    row.extend_from_slice(&[FORMAT, 0, 0, 0]);
    row.extend_from_slice(&expiry.to_stored().to_be_bytes());
    row
}

/// The expiry of a row, whatever its payload; `None` when it is too short to have one.
pub(crate) fn expiry(row: &[u8]) -> Option<Expiry> {
    let stored = <[u8; 8]>::try_from(row.get(EXPIRES_AT)?).ok()?;
    Some(Expiry::from_stored(u64::from_be_bytes(stored)))
}

/// Notes in the header of a row whose payload is about to be sealed which key seals it.
#[cfg_attr(not(feature = "rocks"), allow(dead_code, reason = "only a disk is sealed"))]
pub(crate) fn mark_sealed(row: &mut [u8], key: MasterKeyId) {
    let [key_high, key_low] = key.to_stored();
    row[1..4].copy_from_slice(&[key_high, key_low, SEALED]);
}

/// The key that sealed a row, `None` for a plain one, or what is wrong with its envelope.
pub(crate) fn sealed_by(row: &[u8]) -> Result<Option<MasterKeyId>, &'static str> {
    let [format, key_high, key_low, sealed] =
        row.first_chunk::<4>().copied().ok_or("it is shorter than an envelope")?;
    if format != FORMAT {
        return Err("its envelope has a format that this version does not know");
    }
    if row.len() < HEADER_BYTES {
        return Err("it is shorter than an envelope");
    }
    match (MasterKeyId::from_stored([key_high, key_low]), sealed) {
        (None, PLAIN) => Ok(None),
        (Some(key), SEALED) => Ok(Some(key)),
        _ => Err("its envelope is neither that of a plain row nor that of a sealed one"),
    }
}

/// The plain row with the expiry of `sealed` and this payload; `None` when `sealed` is no row.
#[cfg(feature = "rocks")]
pub(crate) fn plain(sealed: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    let mut row = begin(expiry(sealed)?, payload.len());
    row.extend_from_slice(payload);
    Some(row)
}

/// The payload of a plain row, or what is wrong with its envelope.
pub(crate) fn payload(row: &[u8]) -> Result<&[u8], &'static str> {
    match sealed_by(row)? {
        None => row.get(HEADER_BYTES..).ok_or("it is shorter than an envelope"),
        Some(_) => Err("it is sealed, which rows of its kind never are"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_these_bytes() {
        let row = begin(Expiry::At(UnixMs::new(0x0102_0304_0506_0708)), 0);
        assert_eq!(row, [1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(begin(Expiry::Never, 0), [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_row_is_over_from_its_expiry_on() {
        let expiry = expiry(&begin(Expiry::At(UnixMs::new(7)), 0)).expect("a whole header");
        assert!(!expiry.is_over(UnixMs::new(6)));
        assert!(expiry.is_over(UnixMs::new(7)));
        assert!(!Expiry::Never.is_over(UnixMs::new(u64::MAX)));
        assert!(Expiry::from_stored(Expiry::At(UnixMs::new(0)).to_stored()).is_over(UnixMs::new(1)));
    }

    #[test]
    fn a_sealed_row_names_its_key_and_has_no_plain_payload() {
        let key = MasterKeyId::from_stored([0xab, 0xcd]).expect("not zero");
        let mut row = begin(Expiry::Never, 0);
        mark_sealed(&mut row, key);
        assert_eq!(row[..4], [1, 0xab, 0xcd, 1]);
        assert_eq!(sealed_by(&row), Ok(Some(key)));
        assert!(payload(&row).is_err());
    }

    #[test]
    fn foreign_envelopes_are_refused() {
        let good = begin(Expiry::Never, 0);
        assert_eq!(payload(&good), Ok(&[][..]));
        for (position, value) in [(0, 0), (0, 2), (1, 1), (2, 1), (3, 1), (3, 2)] {
            let mut bad = good.clone();
            bad[position] = value;
            assert!(payload(&bad).is_err(), "byte {position} = {value}");
            assert!(sealed_by(&bad).is_err(), "byte {position} = {value}");
        }
        for length in 0..HEADER_BYTES {
            assert!(payload(&good[..length]).is_err(), "{length} bytes");
            assert!(sealed_by(&good[..length]).is_err(), "{length} bytes");
        }
    }
}
