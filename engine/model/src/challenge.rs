//! Challenges in the form in which they left for a phone.

use std::fmt;

use crate::Thumbprint;

/// A challenge as it left for one phone, kept so that push, fetch and request message say the same.
#[derive(Clone, PartialEq, Eq)]
pub enum KeptChallenge {
    /// Readable by the phone alone.
    Sealed(SealedChallenge),
    /// The compact JWS, in the request message of a phone without an encryption key.
    Signed(Box<str>),
}

/// A challenge that was sealed to a phone's encryption key (HPKE, RFC 9180).
#[derive(Clone, PartialEq, Eq)]
pub struct SealedChallenge {
    /// The RFC 7638 thumbprint of the key that opens it.
    pub to: Thumbprint,
    /// The encapsulated key, an uncompressed point.
    pub encapsulated: [u8; 65],
    /// The ciphertext with its tag.
    pub ciphertext: Box<[u8]>,
}

impl KeptChallenge {
    /// The seal, if it is one to this key.
    pub fn sealed_to(self, key: &Thumbprint) -> Option<SealedChallenge> {
        match self {
            Self::Sealed(sealed) if sealed.to == *key => Some(sealed),
            Self::Sealed(_) | Self::Signed(_) => None,
        }
    }

    /// Whether this and `other` are for the same key, or both for none.
    pub fn is_for_the_key_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sealed(one), Self::Sealed(other)) => one.to == other.to,
            (Self::Signed(_), Self::Signed(_)) => true,
            (Self::Sealed(_), Self::Signed(_)) | (Self::Signed(_), Self::Sealed(_)) => false,
        }
    }
}

/// Prints no text: a signed challenge holds what only its user is shown.
impl fmt::Debug for KeptChallenge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sealed(sealed) => formatter.debug_tuple("Sealed").field(sealed).finish(),
            Self::Signed(_) => formatter.write_str("Signed([redacted])"),
        }
    }
}

impl fmt::Debug for SealedChallenge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.ciphertext.len();
        formatter.debug_struct("SealedChallenge").field("ciphertext_bytes", &bytes).finish_non_exhaustive()
    }
}
