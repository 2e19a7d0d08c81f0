//! Changes of a phone's keys.

use std::rc::Rc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use tocsin_engine::device::key_id_text;
use tocsin_model::{KeyUse, Problem};

use super::calls::RawCall;
use crate::door::{DoorState, Payload, Reply, Request, no_content, private_json, segment, to_the_end};
use crate::openapi;

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "NewKey")]
pub(super) struct NewKeyView {
    /// The server's name of the key, always a new one.
    #[schemars(schema_with = "openapi::kid")]
    kid: String,
}

/// `PUT /device/v1/keys/{use}`
pub(super) async fn put(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    let key_use = key_use(&request);
    let raw = RawCall::with_json(&state, request, payload).await?;
    let key_use = key_use?;
    state.refuse_while_draining()?;
    let handle = state.handle.clone();
    let kid = to_the_end(async move { handle.put_key(raw.call(), key_use).await }).await?;
    Ok(private_json(StatusCode::OK, &NewKeyView { kid: key_id_text(&kid) }))
}

/// `DELETE /device/v1/keys/{use}`
pub(super) async fn delete(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    let key_use = key_use(&request);
    let raw = RawCall::plain(&state, request, payload).await?;
    let key_use = key_use?;
    state.refuse_while_draining()?;
    let handle = state.handle.clone();
    to_the_end(async move { handle.delete_key(raw.call(), key_use).await }).await?;
    Ok(no_content())
}

/// What cannot be the use of a key is an unknown one.
fn key_use(request: &Request) -> Result<KeyUse, Problem> {
    KeyUse::parse(&segment(request, 3)?).ok_or_else(Problem::not_found)
}
