//! What all three doors share: their sockets, the way of every call, problems, bodies, metrics and the drain.
//!
//! A door is a server of its own, with its own address, threads, certificate, limits and routes, so that a flood at
//! one leaves the others alone. The way of a call: `connections` counts, `connection` speaks TLS and HTTP and keeps
//! the `pace`, `surround` looks at address, head and rate, `router` finds the handler, and `outgoing` tells the pace how
//! the reply is taken. Between hyper and the handlers there is no library (docs/decisions/0019).
//! Nothing here knows what a door is asked for; that is in `portal`, `device` and `ops`.
//! Invariants: every reply that a handler or the router makes carries `x-request-id`; every error is a problem
//! document; no reply holds what its caller sent.

mod address;
mod body;
mod certificates;
mod connection;
mod connections;
mod form;
mod json;
mod metrics;
mod outgoing;
mod pace;
mod paced;
mod path;
mod present;
mod problem;
mod query;
mod rate;
mod renewal;
mod reply;
mod request;
mod request_id;
mod router;
mod server;
mod state;
mod surround;
mod time;
mod to_the_end;

pub use crate::portal::render_view;
pub use certificates::CertificateError;
pub use metrics::{DoorMetrics, names};
pub use problem::ERROR_PAGE_BASE;
pub use renewal::Certificates;
pub use server::{Addresses, BindError, BoundDoors, DoorName, OpenDoors};

pub(crate) use body::{MediaType, coding_of, is_form, read_body, read_json_body, read_no_fields};
pub(crate) use json::{Body, Coding, Fields, parse_object};
pub(crate) use metrics::RefusedFor;
pub(crate) use path::segment;
#[cfg(test)]
pub(crate) use present::in_a_call;
pub(crate) use present::present_call;
pub(crate) use problem::{DoorError, ProblemDocument, Reply};
pub(crate) use query::{PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX, Query};
pub(crate) use reply::{Content, Response, no_content, private, private_json, typed};
pub(crate) use request::{Payload, Request};
pub(crate) use router::{Answering, Asked};
pub(crate) use state::{DoorState, InFlight, certificate_of};
pub(crate) use time::rfc3339;
pub(crate) use to_the_end::to_the_end;
