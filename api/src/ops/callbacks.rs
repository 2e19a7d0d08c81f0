//! Callbacks that are owed or dead, of all clients.

use std::rc::Rc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use tocsin_config::Role;
use tocsin_model::{Callback, CallbackPhase, ErrorCode, Problem, TransactionId};
use tocsin_storage::CallbackList;

use super::operator::require;
use crate::door::{
    DoorState, Payload, Query, Reply, Request, private_json, read_no_fields, rfc3339, segment, to_the_end,
};
use crate::openapi;

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "CallbackList")]
pub(super) struct CallbackItemsView<'a> {
    items: Vec<CallbackView<'a>>,
    /// Where the next page begins; left out at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A callback; members without a value are left out. `id` is the transaction's and the `webhook-id`. Of the URL only
/// the origin is shown: paths and queries may hold a secret of the portal.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Callback")]
pub(super) struct CallbackView<'a> {
    #[schemars(schema_with = "openapi::id")]
    id: String,
    #[schemars(schema_with = "openapi::name")]
    client: &'a str,
    #[schemars(extend("format" = "uri"))]
    origin: &'a str,
    #[schemars(schema_with = "openapi::state")]
    transaction_state: &'static str,
    #[schemars(schema_with = "openapi::callback_state")]
    state: &'static str,
    #[schemars(schema_with = "openapi::time")]
    owed_at: String,
    tries: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::callback_fault")]
    last_fault: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::time")]
    next_try_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::time")]
    dead_since: Option<String>,
}

impl<'a> CallbackView<'a> {
    fn of(callback: &'a Callback) -> Self {
        let (state, next_try_at, dead_since) = match callback.phase {
            CallbackPhase::Owed { next_try_at } => ("owed", Some(rfc3339(next_try_at)), None),
            CallbackPhase::Dead { since } => ("dead", None, Some(rfc3339(since))),
        };
        Self {
            id: callback.transaction_id.to_string(),
            client: callback.client.as_str(),
            origin: callback.url.origin(),
            transaction_state: callback.state.as_str(),
            state,
            owed_at: rfc3339(callback.owed_at),
            tries: callback.tries,
            last_fault: callback.last_fault.map(|fault| fault.as_str()),
            next_try_at,
            dead_since,
        }
    }
}

/// `GET /v1/admin/callbacks?state=owed|dead`: newest transaction first.
pub(super) async fn list(state: Rc<DoorState>, request: Request) -> Reply {
    require(&state, &request, Role::Read)?;
    let query = Query::parse(request.query_string(), &["state", "limit", "cursor"])?;
    let wanted = wanted(&query)?;
    let after = query.text("cursor").map(cursor).transpose()?;
    let page = state.handle.callbacks(wanted, after, query.page_limit()?).await?;
    let items = page.items.iter().map(CallbackView::of).collect();
    let next_cursor = page.next.map(|id| id.to_string());
    Ok(private_json(StatusCode::OK, &CallbackItemsView { items, next_cursor }))
}

/// `POST /v1/admin/callbacks/{id}/redeliver`: due at once, under the same `webhook-id`; a dead one has its whole
/// window again.
pub(super) async fn redeliver(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    let operator = require(&state, &request, Role::Operate)?;
    Query::parse(request.query_string(), &[])?;
    read_no_fields(&state, &request, payload).await?;
    let id: TransactionId = segment(&request, 3)?.parse().map_err(|_| Problem::not_found())?;
    let handle = state.handle.clone();
    let owed = to_the_end(async move { handle.redeliver_callback(operator, id).await }).await?;
    Ok(private_json(StatusCode::OK, &CallbackView::of(&owed)))
}

fn wanted(query: &Query) -> Result<CallbackList, Problem> {
    match query.text("state") {
        Some("owed") => Ok(CallbackList::Owed),
        Some("dead") => Ok(CallbackList::Dead),
        Some(_) => {
            Err(Problem::new(ErrorCode::InvalidField, "this must be owed or dead").with_field("state"))
        }
        None => Err(Problem::new(ErrorCode::FieldRequired, "say owed or dead").with_field("state")),
    }
}

fn cursor(text: &str) -> Result<TransactionId, Problem> {
    let refused = || Problem::new(ErrorCode::InvalidField, "this is no cursor of ours").with_field("cursor");
    text.parse().map_err(|_| refused())
}
