//! The device door: what phones ask, over the internet, and what SMS gateways report.
//!
//! All of the protocol is the engine's. This door passes on what a proof covers (method, raw path and query, raw
//! body) and writes the answers down. Unknown members of bodies are ignored: apps are older or newer than servers.

mod calls;
mod document;
mod hooks;
mod keys;

use actix_web::HttpRequest;
use actix_web::web;

use crate::door::{DoorName, Query, Reply};
use crate::openapi::{self, Call, Verb};

pub(crate) use document::about;

/// The calls of this door, for its routes and its document.
pub(crate) const CALLS: &[Call] = &[
    Call::new(Verb::Post, "/device/v1/enrollments", || web::to(calls::enrol), document::enrol),
    Call::new(Verb::Get, "/device/v1/transactions", || web::to(calls::list), document::list),
    Call::new(Verb::Get, "/device/v1/transactions/{id}", || web::to(calls::fetch), document::fetch),
    Call::new(Verb::Post, "/device/v1/transactions/{id}/answer", || web::to(calls::answer), document::answer),
    Call::new(Verb::Post, "/device/v1/otp", || web::to(calls::claim), document::claim),
    Call::new(Verb::Get, "/device/v1/server-keys", || web::to(calls::server_keys), document::server_keys),
    Call::new(Verb::Put, "/device/v1/keys/{use}", || web::to(keys::put), document::put_key),
    Call::new(Verb::Delete, "/device/v1/keys/{use}", || web::to(keys::delete), document::delete_key),
    Call::new(Verb::Get, "/device/v1/device", || web::to(calls::device), document::device),
    Call::new(Verb::Patch, "/device/v1/device", || web::to(calls::change), document::change),
    Call::new(Verb::Delete, "/device/v1/device", || web::to(calls::leave), document::leave),
    Call::new(Verb::Put, "/device/v1/push", || web::to(calls::move_push), document::move_push),
    Call::new(Verb::Post, "/hooks/v1/{provider}", || web::to(hooks::report), document::report),
    Call::new(Verb::Get, "/device/v1/openapi.json", || web::to(describe), document::describe),
];

/// `GET /device/v1/openapi.json`, open to everybody: who writes an app has no phone that is enrolled yet.
async fn describe(request: HttpRequest) -> Reply {
    Query::parse(request.query_string(), &[])?;
    Ok(openapi::served(DoorName::Device))
}
