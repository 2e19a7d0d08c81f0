//! The strict simulated phone: a second reading of `docs/device-protocol.md`, sharing no code with the server.
//!
//! It signs with its own cryptographic library, computes the digest from the [`Screen`] that it would show, and
//! refuses whatever it cannot verify or show. For tests every claim can be changed before it is signed, and every
//! request be sent as it is: [`Phone::answer_claims`] and [`Phone::sign_answer`], [`Phone::proof_claims`] and
//! [`Phone::sign_proof`], [`Phone::impostor`], [`Phone::send`]. It speaks only the network, plain HTTP to a server
//! on the same machine, and receives no push by itself: whoever plays the push network calls [`Phone::fetch`].

mod challenge;
mod claims;
mod device;
mod error;
mod jose;
mod json;
mod key;
mod key_set;
mod keys;
mod network;
mod pin;
mod seal;
mod session;

#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod tests;

pub use challenge::{Challenge, Expectation, Matching, Screen};
pub use claims::{AnswerClaims, ProofClaims};
pub use error::{PhoneError, Refusal};
pub use key::{PhoneKey, ServerKeySet};
pub use keys::{Approval, Entitlement};
pub use network::{PhoneNetwork, PhoneReply, PhoneRequest};
pub use pin::PinKeystore;
pub(crate) use seal::open_agreed;
pub use seal::{Message, Sealed};
pub use session::{Phone, PhoneProfile};
