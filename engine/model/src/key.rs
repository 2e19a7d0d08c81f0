//! The keys of a phone, as the server knows them: public halves only.

use std::fmt;

use crate::UnixMs;

/// What a key of a phone is for; the key that signs names the method of approving.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyUse {
    /// Possession of the phone; every device has exactly one.
    Device,
    /// Derived from the PIN.
    Pin,
    /// Released by a fingerprint or a face.
    Biometric,
    /// An app's own way of approving, `custom:<id>`.
    Custom(Box<str>),
}

impl KeyUse {
    /// Longest `<id>` of a `custom:<id>` use, in bytes.
    const CUSTOM_ID_BYTES_MAX: usize = 32;

    /// Parses the protocol's word; `None` when it is not one.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "device" => Some(Self::Device),
            "pin" => Some(Self::Pin),
            "biometric" => Some(Self::Biometric),
            _ => word.strip_prefix("custom:").and_then(Self::parse_custom),
        }
    }

    fn parse_custom(id: &str) -> Option<Self> {
        let printable = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        let fits = (1..=Self::CUSTOM_ID_BYTES_MAX).contains(&id.len());
        (printable && fits).then(|| Self::Custom(id.into()))
    }
}

impl fmt::Display for KeyUse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device => formatter.write_str("device"),
            Self::Pin => formatter.write_str("pin"),
            Self::Biometric => formatter.write_str("biometric"),
            Self::Custom(id) => write!(formatter, "custom:{id}"),
        }
    }
}

/// The server's random name of a key (`kid`), 128 bits. It is not a thumbprint, because the thumbprint of a
/// PIN key would let a thief of the phone try PINs offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 16]);

/// The random challenge value of one transaction and device, 128 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Nonce([u8; 16]);

/// The RFC 7638 SHA-256 thumbprint of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thumbprint([u8; 32]);

macro_rules! bytes_newtype {
    ($name:ident, $length:literal) => {
        impl $name {
            /// The value whose bytes are `bytes`.
            pub const fn from_bytes(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }
    };
}

bytes_newtype!(KeyId, 16);
bytes_newtype!(Nonce, 16);
bytes_newtype!(Thumbprint, 32);

impl fmt::Debug for Nonce {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Nonce([redacted])")
    }
}

/// A point of the curve P-256 (secp256r1), affine, big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PublicKey {
    /// The x coordinate.
    pub x: [u8; 32],
    /// The y coordinate.
    pub y: [u8; 32],
}

/// The private half of a server key that one device has for itself.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerSecret([u8; 32]);

impl ServerSecret {
    /// The scalar whose bytes are `bytes`, big-endian.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The scalar; only for signing and storing.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ServerSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ServerSecret([redacted])")
    }
}

/// A signing key of the server for one device alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerKeyPair {
    /// Its name.
    pub kid: KeyId,
    /// What the phone checks challenges with.
    pub public_key: PublicKey,
    /// What challenges are signed with.
    pub secret: ServerSecret,
}

/// One registered key of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceKey {
    /// What it is for.
    pub key_use: KeyUse,
    /// The server's name of it.
    pub kid: KeyId,
    /// Its public half.
    pub public_key: PublicKey,
    /// Its RFC 7638 thumbprint; a `device` key is registered once in the deployment.
    pub thumbprint: Thumbprint,
    /// When it was registered.
    pub registered_at: UnixMs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_uses_round_trip_and_unknown_words_are_refused() {
        for word in ["device", "pin", "biometric", "custom:face-2"] {
            assert_eq!(KeyUse::parse(word).map(|key_use| key_use.to_string()).as_deref(), Some(word));
        }
        let long = format!("custom:{}", "a".repeat(33));
        for word in ["", "Device", "custom:", "custom:a b", long.as_str()] {
            assert_eq!(KeyUse::parse(word), None, "{word}");
        }
    }
}
