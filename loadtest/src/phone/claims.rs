//! What the phone signs. Every member is public, so that tests can sign the wrong thing.

use serde::Serialize;

/// The claims of a proof (section 3).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProofClaims {
    /// The device id; absent at enrolment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// The issuer.
    pub aud: String,
    /// The method.
    pub htm: String,
    /// The URL.
    pub htu: String,
    /// Now, in seconds.
    pub iat: f64,
    /// Never used again.
    pub jti: String,
    /// The digest of the body; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_sha256: Option<String>,
}

/// The claims of an answer (section 8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AnswerClaims {
    /// The device id.
    pub iss: String,
    /// The transaction.
    pub sub: String,
    /// The issuer.
    pub aud: String,
    /// Now, in seconds.
    pub iat: u64,
    /// The challenge's.
    pub nonce: String,
    /// The digest of the screen.
    pub dh: String,
    /// `accept`, `decline` or `report`.
    pub decision: String,
    /// What the portal shows, where it is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
}
