//! The double of Apple's push service, provider API.
//!
//! `server` is the door for tests and demos, `service` walks one request through the rules: `request`
//! (method, path, headers), `token` (the provider's JWT and what one connection may do with it),
//! `payload`, `register` (device tokens). `reason` is Apple's table of refusals.
//!
//! Not here: certificate authentication, broadcasts, and any limit that Apple does not document.

mod payload;
mod reason;
mod register;
mod request;
mod server;
mod service;
mod token;

pub use reason::{ApnsReason, ApnsRefusal};
pub use register::{DeviceRegister, UnknownTokens};
pub use server::{ApnsOptions, ApnsServer};
pub use token::{ApnsEnvironment, ApnsKey, KeyEnvironment, Topics};

/// A fault of the APNs double.
pub type ApnsFault = crate::Fault<ApnsRefusal>;
