//! What all three doors share: their sockets, the way of every call, problems, bodies, metrics and the drain.
//!
//! A door is a server of its own, with its own address, threads, certificate, limits and routes, so that a flood at
//! one leaves the others alone. The way of a call: `connections` counts, `connection` speaks TLS and HTTP and keeps
//! the `pace`, `bridge` hands over to the routes, `surround` looks at address, head and rate, then comes the handler.
//! Nothing here knows what a door is asked for; that is in `portal`, `device` and `ops`.
//! Invariants: every reply that a handler or the router makes carries `x-request-id`; every error is a problem
//! document; no reply holds what its caller sent.

mod address;
mod body;
mod bridge;
mod certificates;
mod connection;
mod connections;
mod form;
mod json;
mod method;
mod metrics;
mod pace;
mod paced;
mod path;
mod problem;
mod query;
mod rate;
mod renewal;
mod reply;
mod request_id;
mod server;
mod state;
mod surround;
mod time;

pub use crate::portal::render_view;
pub use certificates::CertificateError;
pub use metrics::{DoorMetrics, names};
pub use problem::ERROR_PAGE_BASE;
pub use renewal::Certificates;
pub use server::{Addresses, BindError, BoundDoors, DoorName, OpenDoors};

pub(crate) use body::{MediaType, coding_of, is_form, read_body, read_json_body, read_no_fields};
pub(crate) use json::{Body, Coding, Fields, parse_object};
pub(crate) use method::only;
pub(crate) use metrics::RefusedFor;
pub(crate) use path::segment;
pub(crate) use problem::{DoorError, ProblemDocument, Reply};
pub(crate) use query::{PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX, Query};
pub(crate) use reply::private_json;
pub(crate) use state::{DoorState, InFlight, certificate_of, to_the_end};
pub(crate) use time::rfc3339;
