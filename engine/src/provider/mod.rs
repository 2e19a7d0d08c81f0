//! Providers: each push network behind one trait, and the actor that supervises what it delivers.
//!
//! A provider is one folder with the same file names in each; all pass one conformance suite. What the trait
//! promises is all that the provider actor knows of a network. `courier` carries one push through its tries for
//! every network, `progress` decides them; a network's folder holds its request, its answers and its credential.

mod apns;
mod backoff;
mod breaker;
mod bucket;
mod courier;
mod driver;
mod error;
mod fcm;
#[cfg(test)]
mod fixtures;
mod local;
mod payload;
mod progress;
mod retry_after;
mod shelf;
mod supervisor;
mod table;
mod token;

pub use apns::ApnsDriver;
pub use breaker::Breaker;
pub use driver::{Driver, DriverReport, DriverSnapshot, PushVerdict};
pub use error::{ProviderFault, ProviderSetupError};
pub use fcm::FcmDriver;
pub(crate) use local::LocalDriver;
pub use shelf::TokenShelf;
pub(crate) use supervisor::{ProviderParts, start as start_provider};
pub use table::{DriverSources, Drivers, build_drivers, callback_route, rebuild_drivers};
