//! The double of a portal that is called back: verifies every callback as Standard Webhooks says, and keeps what came.
//!
//! It is strict: a callback without a good signature, with a stale timestamp or of another form is answered 401 or 400
//! and recorded as such. A scripted refusal or redirect is answered only to a good one.

mod record;
mod server;
mod service;
mod verify;

pub use record::{CallbackLog, CallbackRecord};
pub use server::{CallbackOptions, CallbackServer};
pub use service::CallbackRefusal;
