//! The PIN key (section 10): derived when it is needed, and never kept.

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use p256::elliptic_curve::bigint::{Encoding as _, NonZero, U384};

use super::key::PhoneKey;

const INFO: &[u8] = b"tocsin/v1/pin-key";

/// The order of P-256 minus one.
const ORDER_MINUS_ONE: &str = concat!(
    "00000000000000000000000000000000",
    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550"
);

/// The keystore's own key for PINs. A real phone keeps it where it cannot be read.
#[derive(Clone)]
pub struct PinKeystore([u8; 32]);

struct Bytes48;

impl KeyType for Bytes48 {
    fn len(&self) -> usize {
        48
    }
}

impl std::fmt::Debug for PinKeystore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("PinKeystore([redacted])")
    }
}

impl PinKeystore {
    /// A keystore with a fresh key.
    pub fn generate() -> Self {
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key).expect("the operating system always has randomness");
        Self(key)
    }

    /// A keystore with this key, as the vectors have it.
    pub const fn from_bytes(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The key of `pin`, for the phone whose `device` key has this thumbprint.
    pub fn pin_key(&self, pin: &str, device_key_thumbprint: &[u8]) -> PhoneKey {
        let input = hmac::sign(&hmac::Key::new(HMAC_SHA256, &self.0), pin.as_bytes());
        let secret = Salt::new(HKDF_SHA256, device_key_thumbprint).extract(input.as_ref());
        let mut wide = [0; 48];
        let expanded = secret.expand(&[INFO], Bytes48).expect("48 bytes are few");
        expanded.fill(&mut wide).expect("as long as asked for");
        let order_minus_one = NonZero::new(U384::from_be_hex(ORDER_MINUS_ONE)).expect("not zero");
        let scalar = (U384::from_be_slice(&wide) % order_minus_one).wrapping_add(&U384::ONE);
        PhoneKey::from_scalar(&scalar.to_be_bytes()[16..]).expect("between one and the order")
    }
}
