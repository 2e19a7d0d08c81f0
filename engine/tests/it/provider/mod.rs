//! The drivers of push networks, SMS gateways and mail servers against strict doubles, and our HTTP/2 against a foreign server.

mod apns;
mod common;
mod conformance;
mod fcm;
mod gateway_rig;
mod gateways;
pub mod ground;
mod nghttpd;
mod rig;
mod subject;
