//! The double of a forward proxy (HTTP CONNECT): it lets through whoever asks rightly, and keeps what was asked.
//!
//! It is strict: a request that is not exactly a CONNECT for one host and port, with a `Host` that says the same, is
//! answered 400 and recorded as such. Names are looked up here, as proxies do, in [`ProxyOptions::names`] first, so that
//! a test can see that nobody else has looked them up. It can also play the middlebox that opens TLS.

mod head;
mod record;
mod server;
mod tunnel;

pub use record::{ProxyLog, ProxyRecord};
pub use server::{ProxyOptions, ProxyServer};
pub use tunnel::ProxyRefusal;
