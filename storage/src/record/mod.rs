//! Disk forms: one type a record, apart from the model's, converted at the edge.
//!
//! A record is a CBOR map from small integers to values. Unknown numbers are skipped and missing optional ones are
//! `None`, so an optional field may be added at any time; a number that was given away is never given to another
//! field. Words with a closed list are stored as numbers, too; an unknown one makes the row unreadable, since
//! guessing could approve something. No record holds its own id: that is its key.

mod audit;
mod callback;
mod code;
mod device;
mod enrollment;
mod kept;
mod marks;
mod one_time_code;
mod small;
mod standing;
mod transaction;
mod user;

use std::str::FromStr;

use minicbor::{Decode, Encode};

use crate::envelope::{self, Expiry};

pub(crate) use audit::{AuditPlaceRecord, AuditRecord};
pub(crate) use callback::{CallbackRecord, owed_by};
pub(crate) use device::DeviceRecord;
pub(crate) use enrollment::EnrollmentRecord;
pub(crate) use kept::KeptChallengeRecord;
pub(crate) use marks::MarksRecord;
#[cfg(feature = "rocks")]
pub(crate) use small::FormatRecord;
pub(crate) use small::{
    EmptyRecord, IdempotencyRecord, LinkRecord, MetaRecord, ProviderTokenRecord, ServerKeyRecord, UsedRecord,
};
pub(crate) use transaction::{TransactionHead, TransactionRecord};
pub(crate) use user::{NameRecord, ProfileRecord, UserRecord, UserRow};

/// What is wrong with a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Room that most payloads of a record fit into without growing: texts are longer than the record that borrows them, and
/// a mere link takes next to none.
const fn payload_bytes_hint<R>() -> usize {
    const LARGEST: usize = 512;
    let (least, guessed) = (8, 4 * size_of::<R>());
    if guessed < least {
        least
    } else if guessed > LARGEST {
        LARGEST
    } else {
        guessed
    }
}

/// A whole row with this payload.
pub(crate) fn to_row<R: Encode<()>>(expiry: Expiry, record: &R) -> Vec<u8> {
    encoded(envelope::begin(expiry, payload_bytes_hint::<R>()), record)
}

/// The bytes with this record behind them.
fn encoded<R: Encode<()>>(bytes: Vec<u8>, record: &R) -> Vec<u8> {
    let mut growing = Growing(bytes);
    minicbor::encode(record, &mut growing).expect("writing CBOR into a vector cannot fail");
    growing.0
}

/// Bytes that CBOR is appended to. Most of its pieces are single bytes, for which a copy of any length is too much ado.
struct Growing(Vec<u8>);

impl minicbor::encode::Write for Growing {
    type Error = std::convert::Infallible;

    #[inline]
    fn write_all(&mut self, piece: &[u8]) -> Result<(), Self::Error> {
        match piece {
            [byte] => self.0.push(*byte),
            bytes => self.0.extend_from_slice(bytes),
        }
        Ok(())
    }
}

/// Reads a payload.
pub(crate) fn from_payload<'b, R: Decode<'b, ()>>(payload: &'b [u8]) -> Result<R, Malformed> {
    minicbor::decode(payload).map_err(|_| Malformed("its payload is not the CBOR of its kind"))
}

/// Whether a flag is as it mostly is, so that it takes no byte. Counters and states are always written: one that is
/// missing must make the row unreadable, not give a try back.
const fn is_unset(flag: &bool) -> bool {
    !*flag
}

fn name<N: FromStr>(text: &str) -> Result<N, Malformed> {
    text.parse().map_err(|_| Malformed("it holds a name that is none"))
}

fn key_use(word: &str) -> Result<tocsin_model::KeyUse, Malformed> {
    tocsin_model::KeyUse::parse(word).ok_or(Malformed("it holds an unknown use of a key"))
}

#[cfg(test)]
pub(crate) mod tests;
