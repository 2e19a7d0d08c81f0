//! The device door: what phones ask, over the internet, and what SMS gateways report.
//!
//! All of the protocol is the engine's. This door passes on what a proof covers (method, raw path and query, raw
//! body) and writes the answers down. Unknown members of bodies are ignored: apps are older or newer than servers.

mod calls;
mod document;
mod hooks;
mod keys;

use std::rc::Rc;

use crate::door::{DoorName, DoorState, Query, Reply, Request};
use crate::openapi::{self, Call, Verb};

pub(crate) use document::about;

/// The calls of this door, for its routes and its document.
pub(crate) const CALLS: &[Call] = &[
    Call::new(Verb::Post, "/device/v1/enrollments", |call| call.with_body(calls::enrol), document::enrol),
    Call::new(Verb::Get, "/device/v1/transactions", |call| call.with_body(calls::list), document::list),
    Call::new(
        Verb::Get,
        "/device/v1/transactions/{id}",
        |call| call.with_body(calls::fetch),
        document::fetch,
    ),
    Call::new(
        Verb::Post,
        "/device/v1/transactions/{id}/answer",
        |call| call.with_body(calls::answer),
        document::answer,
    ),
    Call::new(Verb::Post, "/device/v1/otp", |call| call.with_body(calls::claim), document::claim),
    Call::new(
        Verb::Get,
        "/device/v1/server-keys",
        |call| call.with_body(calls::server_keys),
        document::server_keys,
    ),
    Call::new(Verb::Put, "/device/v1/keys/{use}", |call| call.with_body(keys::put), document::put_key),
    Call::new(
        Verb::Delete,
        "/device/v1/keys/{use}",
        |call| call.with_body(keys::delete),
        document::delete_key,
    ),
    Call::new(Verb::Get, "/device/v1/device", |call| call.with_body(calls::device), document::device),
    Call::new(Verb::Patch, "/device/v1/device", |call| call.with_body(calls::change), document::change),
    Call::new(Verb::Delete, "/device/v1/device", |call| call.with_body(calls::leave), document::leave),
    Call::new(Verb::Put, "/device/v1/push", |call| call.with_body(calls::move_push), document::move_push),
    Call::new(Verb::Post, "/hooks/v1/{provider}", |call| call.with_body(hooks::report), document::report),
    Call::new(Verb::Get, "/device/v1/openapi.json", |call| call.by(describe), document::describe),
];

/// `GET /device/v1/openapi.json`, open to everybody: who writes an app has no phone that is enrolled yet.
async fn describe(_: Rc<DoorState>, request: Request) -> Reply {
    Query::parse(request.query_string(), &[])?;
    Ok(openapi::served(DoorName::Device))
}
