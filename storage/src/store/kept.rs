//! What is kept of the server itself.

use std::fmt;

use tocsin_model::{Secret, UnixMs};

/// Names of the deployment's own small values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetaKey {
    /// The issuer of the device protocol, fixed at the first start.
    Issuer,
    /// The key that push ids and activation codes are derived with.
    DerivationKey,
    /// The key that pseudonyms of the audit trail are made with.
    PseudonymKey,
}

/// A token that a push network knows us by, as it outlives the process.
#[derive(Clone)]
pub struct KeptProviderToken {
    /// A hash over the credential that it was made with.
    pub credential: [u8; 32],
    /// The value of `authorization`.
    pub authorization: Secret<String>,
    /// When it was made.
    pub minted_at: UnixMs,
    /// From when on it is to be replaced.
    pub refresh_at: UnixMs,
    /// From when on it is worthless.
    pub expires_at: UnixMs,
}

impl fmt::Debug for KeptProviderToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KeptProviderToken")
            .field("minted_at", &self.minted_at)
            .finish_non_exhaustive()
    }
}
