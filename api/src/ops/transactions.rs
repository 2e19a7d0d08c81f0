//! Transactions of all clients.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use tocsin_config::Role;
use tocsin_model::{Problem, TransactionId};

use super::operator::require;
use super::view::TransactionView;
use crate::door::{DoorState, Query, Reply, private_json, segment, to_the_end};

/// `POST /v1/admin/transactions/{id}/cancel`: as if its client had cancelled it, but the audit trail names the
/// operator.
pub(super) async fn cancel(state: Data<DoorState>, request: HttpRequest) -> Reply {
    let operator = require(&state, &request, Role::Operate)?;
    Query::parse(request.query_string(), &[])?;
    let id: TransactionId = segment(&request, 3)?.parse().map_err(|_| Problem::not_found())?;
    let handle = state.handle.clone();
    let cancelled = to_the_end(async move { handle.cancel_as(operator, id).await }).await?;
    Ok(private_json(StatusCode::OK, &TransactionView::of(&cancelled)))
}
