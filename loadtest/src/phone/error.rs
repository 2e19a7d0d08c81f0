//! Why a phone stops.

use serde_json::Value;

/// Why the phone refuses a challenge. It then shows nothing to decide and signs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not sealed to this phone's key for this transaction.
    #[error("it is not sealed to this phone's key for this transaction")]
    NotOurSeal,
    /// It is not a compact JWS of at most 8 KiB in canonical base64url.
    #[error("it is not a compact JWS of at most 8 KiB in canonical base64url")]
    NotCompact,
    /// Header or payload is not a JSON object with each name once.
    #[error("header or payload is not a JSON object with each name once")]
    NotStrictJson,
    /// The header is outside the profile.
    #[error("its header is outside the profile")]
    BadHeader,
    /// The key that it names is not one that the phone holds.
    #[error("it names a key that the phone does not hold")]
    UnknownKey,
    /// The signature is not by that key over these bytes.
    #[error("its signature is wrong")]
    BadSignature,
    /// It is from another server, for another phone, or another transaction.
    #[error("it is not for this phone, this server or this transaction")]
    NotForUs,
    /// It is over.
    #[error("it has expired")]
    Expired,
    /// It is older than a set of keys that the phone has taken.
    #[error("it is older than the set of keys that the phone has")]
    Outdated,
    /// The key that it names has retired: it signs no challenge any more.
    #[error("it is by a key that has retired")]
    RetiredKey,
    /// Its version is not 1.
    #[error("its version is not 1")]
    UnknownVersion,
    /// A claim is missing or of another type.
    #[error("the claim {0} is missing or of another type")]
    BadClaim(&'static str),
    /// A text cannot be shown as it is.
    #[error("the text {0} cannot be shown as it is")]
    CannotShow(&'static str),
    /// It asks for a method that the phone does not have.
    #[error("it asks for a method that the phone does not have")]
    UnknownMethod,
}

/// Why a call of the phone did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum PhoneError {
    /// The phone refuses what the server sent.
    #[error("the phone refuses: {0}")]
    Refused(#[from] Refusal),
    /// The server answered with a problem (RFC 9457).
    #[error("the server answered {status} {code}")]
    Problem {
        /// The HTTP status.
        status: u16,
        /// The stable code.
        code: String,
        /// The whole problem.
        problem: Value,
    },
    /// The server's reply is not what the protocol says.
    #[error("the reply is not what the protocol says: {0}")]
    BadReply(&'static str),
    /// The phone is not enrolled.
    #[error("the phone is not enrolled")]
    NotEnrolled,
    /// Nothing came back in time.
    #[error("no reply within {0} s")]
    TimedOut(u64),
    /// The network failed.
    #[error("the network failed: {0}")]
    Network(String),
}

impl PhoneError {
    /// The code of the problem, when the server gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Problem { code, .. } => Some(code),
            Self::Refused(_)
            | Self::BadReply(_)
            | Self::NotEnrolled
            | Self::TimedOut(_)
            | Self::Network(_) => None,
        }
    }
}
