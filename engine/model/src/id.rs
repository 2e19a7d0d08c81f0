//! Identifiers: 128-bit values in the canonical lower-case UUID form of RFC 9562.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::UnixMs;

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdError;

impl fmt::Display for IdError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("not a lower-case UUID of the form 8-4-4-4-12")
    }
}

impl std::error::Error for IdError {}

/// Parses only the canonical form: one id has one spelling, so that it can be compared and logged as text.
fn parse_canonical(text: &str) -> Result<[u8; 16], IdError> {
    let canonical = text.len() == 36 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    if !canonical {
        return Err(IdError);
    }
    Uuid::try_parse(text).map(Uuid::into_bytes).map_err(|_| IdError)
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// The id whose sixteen bytes are `bytes`.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The sixteen bytes, most significant first.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&Uuid::from_bytes(self.0), formatter)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_canonical(text).map(Self)
            }
        }
    };
}

uuid_id! {
    /// A transaction: UUID version 8 with 48 bits of Unix milliseconds, 6 partition bits and 68 random bits.
    TransactionId
}
uuid_id! {
    /// An enrolled phone.
    DeviceId
}
uuid_id! {
    /// An enrolment that a portal opened for one user and one app.
    EnrollmentId
}
uuid_id! {
    /// The identity of one push (`apns-id`), derived and never stored, so that a retransmission keeps it.
    PushId
}

/// Six bits of an id that name the node or shard group that made it; 0 on a single node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Partition(u8);

impl Partition {
    /// `None` when `value` needs more than six bits.
    pub const fn new(value: u8) -> Option<Self> {
        if value < 64 { Some(Self(value)) } else { None }
    }
}

impl TransactionId {
    /// Composes an id from its creation time, its partition and sixteen random bytes (68 bits of them are used).
    pub fn compose(created_at: UnixMs, partition: Partition, random: [u8; 16]) -> Self {
        let mut bytes = random;
        bytes[..6].copy_from_slice(&created_at.get().to_be_bytes()[2..]);
        bytes[6] = 0x80 | (partition.0 >> 2);
        bytes[7] = (partition.0 << 6) | (random[7] & 0x3f);
        bytes[8] = 0x80 | (random[8] & 0x3f);
        Self(bytes)
    }

    /// The first id that can carry this creation time; later times than an id can carry give the last of them.
    pub fn first_at(created_at: UnixMs) -> Self {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&created_at.get().min((1 << 48) - 1).to_be_bytes()[2..]);
        Self(bytes)
    }

    /// The creation time that the id carries.
    pub fn created_at(&self) -> UnixMs {
        let mut milliseconds = [0_u8; 8];
        milliseconds[2..].copy_from_slice(&self.0[..6]);
        UnixMs::new(u64::from_be_bytes(milliseconds))
    }

    /// The partition that the id carries.
    pub fn partition(&self) -> Partition {
        Partition(((self.0[6] & 0x0f) << 2) | (self.0[7] >> 6))
    }
}

impl PushId {
    /// A UUID version 8 from the first sixteen bytes of a keyed digest.
    pub fn from_digest(digest: &[u8; 32]) -> Self {
        let mut bytes = [0_u8; 16];
        bytes.copy_from_slice(&digest[..16]);
        bytes[6] = 0x80 | (bytes[6] & 0x0f);
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        Self(bytes)
    }
}

macro_rules! random_id {
    ($name:ident) => {
        impl $name {
            /// A UUID version 4 from sixteen random bytes.
            pub fn from_random(random: [u8; 16]) -> Self {
                Self(uuid::Builder::from_random_bytes(random).into_uuid().into_bytes())
            }
        }
    };
}

random_id!(DeviceId);
random_id!(EnrollmentId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transaction_id_carries_time_and_partition_and_is_version_8() {
        let partition = Partition::new(0b10_1101).expect("six bits");
        let id = TransactionId::compose(UnixMs::new(0x0191_3f00_1122), partition, [0xff; 16]);
        assert_eq!(id.to_string(), "01913f00-1122-8b7f-bfff-ffffffffffff");
        assert_eq!(id.created_at(), UnixMs::new(0x0191_3f00_1122));
        assert_eq!(id.partition(), partition);
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn a_partition_has_six_bits() {
        assert!(Partition::new(63).is_some());
        assert!(Partition::new(64).is_none());
    }

    #[test]
    fn only_the_canonical_spelling_is_an_id() {
        let canonical = "01913f00-1122-8b7f-bfff-ffffffffffff";
        assert!(canonical.parse::<DeviceId>().is_ok());
        for other in [
            "01913F00-1122-8b7f-bfff-ffffffffffff",
            "01913f0011228b7fbfffffffffffffff",
            "{01913f00-1122-8b7f-bfff-ffffffffffff}",
            "",
            "x",
        ] {
            assert_eq!(other.parse::<DeviceId>(), Err(IdError), "{other}");
        }
    }
}
