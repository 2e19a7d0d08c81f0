//! One-time passwords: what a portal shows of an anonymous transaction, mostly as a QR code, and a phone sends back to
//! make the transaction its user's.

use std::fmt;

use crate::Secret;

/// The alphabet of RFC 4648, section 6: capital letters and digits, which a QR code holds in the least room.
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A one-time password: 160 unpredictable bits in base32. It is told to the portal, never stored and never printed.
#[derive(Clone)]
pub struct Otp(Secret<String>);

impl Otp {
    /// Characters of a one-time password.
    pub const CHARACTERS: usize = 32;

    /// The password of these 160 unpredictable bits.
    pub fn from_bits(bits: &[u8; 20]) -> Self {
        let mut text = String::with_capacity(Self::CHARACTERS);
        for group in bits.as_chunks::<5>().0 {
            let [first, second, third, fourth, fifth] = group.map(u64::from);
            let bits = first << 32 | second << 24 | third << 16 | fourth << 8 | fifth;
            let letters = (0..8).rev().map(|place| ALPHABET[(bits >> (5 * place) & 0x1f) as usize]);
            text.extend(letters.map(char::from));
        }
        Self(Secret::new(text))
    }

    /// The password itself; call it only where it is told to its portal.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// Only views are compared, never a password with what somebody sent.
impl PartialEq for Otp {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Otp {}

impl fmt::Debug for Otp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Otp([redacted])")
    }
}

/// SHA-256 of a one-time password's ASCII text, under which its transaction is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OtpHash([u8; 32]);

impl OtpHash {
    /// The hash whose bytes are `bytes`.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_that_of_the_standard() {
        // RFC 4648, section 10: "fooba" is MZXW6YTB.
        let bits: [u8; 20] = *b"foobafoobafoobafooba";
        assert_eq!(Otp::from_bits(&bits).expose(), "MZXW6YTB".repeat(4));
        assert_eq!(Otp::from_bits(&[0xff; 20]).expose(), "7".repeat(Otp::CHARACTERS));
    }

    #[test]
    fn every_bit_counts() {
        let bare = Otp::from_bits(&[0; 20]);
        for bit in 0..160 {
            let mut bits = [0; 20];
            bits[bit / 8] = 1 << (bit % 8);
            assert_ne!(Otp::from_bits(&bits), bare, "bit {bit}");
        }
    }

    #[test]
    fn it_is_not_printed() {
        assert_eq!(format!("{:?}", Otp::from_bits(&[7; 20])), "Otp([redacted])");
    }
}
