//! Providers: each push network behind one trait, and the actor that supervises what it delivers.
//!
//! A provider is one folder with the same file names in each; all pass one conformance suite. What the trait
//! promises is all that the provider actor knows of a network. `courier` carries one push through its tries for
//! every network and `messenger` one message with a code for every SMS gateway, `progress` decides them; a network's
//! folder holds its request, its answers and its credential.

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
mod http_sms;
mod local;
mod messenger;
mod payload;
mod progress;
mod report;
mod retry_after;
mod secret_file;
mod shelf;
mod smtp;
mod supervisor;
mod table;
mod token;
mod twilio;

pub use apns::{ApnsTokens, apns_driver};
pub use breaker::Breaker;
pub use driver::{Driver, DriverReport, DriverSnapshot, PushVerdict};
pub use error::{ProviderFault, ProviderSetupError};
pub use fcm::fcm_driver;
pub use http_sms::http_sms_driver;
pub(crate) use local::LocalDriver;
pub use report::{GatewayReport, MessageFate, ReportCall, ReportFault};
pub use shelf::TokenShelf;
pub use smtp::SmtpDriver;
pub(crate) use supervisor::{ProviderParts, start as start_provider};
pub use table::{DriverSources, Drivers, build_drivers, callback_route, rebuild_drivers};
pub use twilio::twilio_driver;
