//! The doubles from outside: an HTTP/2 client that trusts only the run's own authority sends right and
//! wrong things and looks at what comes back.

#![allow(clippy::unwrap_used, reason = "in a test a step that fails is the test's failure")]

mod apns_faults;
mod apns_rules;
mod apns_tokens;
mod apns_wire;
mod client;
mod fcm_faults;
mod fcm_rules;
mod foreign;
mod location;
mod oauth;
mod proxy;
mod records;
mod rig;
mod sms;
mod smtp;
mod world;
