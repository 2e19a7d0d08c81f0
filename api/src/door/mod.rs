//! What all three doors share: their sockets, the way of every call, problems, bodies, metrics and the drain.
//!
//! A door is an HTTP/1.1 server of its own, with its own address, threads and routes, so that a flood at one
//! leaves the others alone. Nothing here knows what a door is asked for; that is in `portal`, `device` and `ops`.
//! Invariants: every reply that a handler or the router makes carries `x-request-id`; every error is a problem
//! document; no reply holds what its caller sent.

mod body;
mod json;
mod method;
mod metrics;
mod path;
mod problem;
mod query;
mod reply;
mod request_id;
mod server;
mod state;
mod surround;
mod time;

pub use metrics::{DoorMetrics, names};
pub use problem::ERROR_PAGE_BASE;
pub use server::{Addresses, BindError, BoundDoors, DoorName, OpenDoors};

pub(crate) use body::{MediaType, read_body, read_json_body};
pub(crate) use json::{Fields, parse_object};
pub(crate) use method::only;
pub(crate) use path::segment;
pub(crate) use problem::{DoorError, Reply};
pub(crate) use query::Query;
pub(crate) use reply::private_json;
pub(crate) use state::{DoorState, to_the_end};
pub(crate) use time::rfc3339;
