//! The doubles of Firebase Cloud Messaging (HTTP v1) and of Google's token endpoint.
//!
//! `server` is the door for tests and demos. `service` walks one send through the rules: `access`
//! (who holds which access token), `message` (the JSON of a send, by the field lists in `schema`),
//! `register` (registration tokens and installation ids). `refusal` is Google's table of errors, `oauth`
//! the token endpoint.
//!
//! Not here: topics' members, conditions' meaning, and quotas, which are only scripted.

mod access;
mod message;
mod oauth;
mod refusal;
mod register;
mod schema;
mod server;
mod service;

pub use message::FcmTarget;
pub use oauth::OAuthRefusal;
pub use refusal::FcmRefusal;
pub use register::RegistrationRegister;
pub use server::{FcmOptions, FcmServer, TokenEndpoint};

/// A fault of the FCM double.
pub type FcmFault = crate::Fault<FcmRefusal>;
/// A fault of the token endpoint.
pub type OAuthFault = crate::Fault<OAuthRefusal>;
