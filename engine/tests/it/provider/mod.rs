//! The drivers of push networks and SMS gateways against strict doubles, and our HTTP/2 against a foreign server.

mod apns;
mod common;
mod conformance;
mod fcm;
mod gateway_rig;
mod gateways;
mod nghttpd;
mod rig;
