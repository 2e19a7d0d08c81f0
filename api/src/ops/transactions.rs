//! Transactions of all clients.

use std::rc::Rc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use tocsin_config::Role;
use tocsin_model::{ErrorCode, Problem, StateWord, TransactionId};
use tocsin_storage::TransactionQuery;

use super::operator::require;
use super::query::{parsed, time, user};
use super::view::TransactionView;
use crate::door::{
    DoorState, Payload, Query, Reply, Request, private_json, read_no_fields, segment, to_the_end,
};

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "TransactionList")]
pub(super) struct TransactionList<'a> {
    items: Vec<TransactionView<'a>>,
    /// Where the next page begins; left out at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// What a list may be narrowed by.
pub(super) const PARAMETERS: &[&str] = &["user", "realm", "state", "client", "from", "to", "limit", "cursor"];

/// `GET /v1/admin/transactions`: newest first. A page looks at a bounded number of rows, so that one with few items, or
/// none, may have a cursor all the same.
pub(super) async fn list(state: Rc<DoorState>, request: Request) -> Reply {
    require(&state, &request, Role::Read)?;
    let query = Query::parse(request.query_string(), PARAMETERS)?;
    let asked = TransactionQuery {
        client: parsed(&query, "client")?,
        user: user(&state.handle.config(), &query)?,
        state: query.text("state").map(state_word).transpose()?,
        from: time(&query, "from")?,
        to: time(&query, "to")?,
        before: parsed(&query, "cursor")?,
        limit: query.page_limit()?,
    };
    let page = state.handle.transactions(asked).await?;
    let items = page.transactions.iter().map(TransactionView::of).collect();
    let next_cursor = page.next.map(|id| id.to_string());
    Ok(private_json(StatusCode::OK, &TransactionList { items, next_cursor }))
}

fn state_word(text: &str) -> Result<StateWord, Problem> {
    StateWord::parse(text)
        .ok_or_else(|| Problem::new(ErrorCode::InvalidField, "this is no state").with_field("state"))
}

/// `POST /v1/admin/transactions/{id}/cancel`: as if its client had cancelled it, but the audit trail names the
/// operator.
pub(super) async fn cancel(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    let operator = require(&state, &request, Role::Operate)?;
    Query::parse(request.query_string(), &[])?;
    read_no_fields(&state, &request, payload).await?;
    let id: TransactionId = segment(&request, 3)?.parse().map_err(|_| Problem::not_found())?;
    let handle = state.handle.clone();
    let cancelled = to_the_end(async move { handle.cancel_as(operator, id).await }).await?;
    Ok(private_json(StatusCode::OK, &TransactionView::of(&cancelled)))
}
