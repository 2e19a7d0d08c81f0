//! Providers: each push network behind one trait.
//!
//! A provider is one folder with the same file names in each; all pass one conformance suite. What the trait
//! promises is all that the provider actor knows of a network.

mod breaker;
mod driver;
mod local;
mod supervisor;

pub use breaker::Breaker;
pub use driver::{Driver, DriverReport, PushVerdict};
pub(crate) use local::LocalDriver;
pub(crate) use supervisor::{ProviderParts, start as start_provider};
