//! The actors of Tocsin: transactions, the providers that supervise them, the registry between both, and the
//! callbacks that carry outcomes to portals.
//!
//! [`Handle`] is the only door. Logic is pure ([`transaction::Machine`], the provider's breaker, the device
//! protocol); actors, sockets and tasks are thin shells around it. `transaction`, `provider` and `callback`
//! do not import each other: they meet in [`protocol`], one page with every message that crosses an actor boundary.

mod arbiter;
mod by_id;
pub mod callback;
pub mod clock;
pub mod code;
pub mod device;
mod engine;
mod error;
mod handle;
mod health;
mod limits;
pub mod message;
pub mod metrics;
mod password;
mod private_file;
pub mod protocol;
pub mod provider;
mod registry;
mod sms_gate;
pub mod strict_json;
mod supervise;
mod surroundings;
#[cfg(test)]
mod testing;
pub mod transaction;
pub mod transport;

pub use engine::{Drained, Engine, EngineParts, EngineStartError};
pub use handle::{
    CallbackItems, Challenge, ChallengeForm, DeviceCall, EnrolledDevice, EnrollmentRequest, Handle, Health,
    Heard, Observation, OpenedEnrollment, ProviderState, Readiness, Started, UsableType, names_an_addressee,
};
pub use registry::{Until, WaitPlace};
