//! Calls about users themselves: what locks them.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use schemars::JsonSchema;
use serde::Serialize;
use tocsin_config::Right;
use tocsin_model::{AuditActor, User};

use super::caller::Caller;
use super::user::user_of_path;
use crate::door::{DoorState, Query, Reply, private_json, segment, to_the_end};
use crate::view::LockView;

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "LockList")]
pub(super) struct LockList {
    items: Vec<LockView>,
}

/// The caller, if it may keep users, and the user of the path.
fn called_about(state: &DoorState, request: &HttpRequest) -> Result<(Caller, User), tocsin_model::Problem> {
    let caller = Caller::with_right(state, request, Right::Users)?;
    let query = Query::parse(request.query_string(), &["realm"])?;
    let user = user_of_path(&caller, &segment(request, 2)?, query.text("realm"))?;
    Ok((caller, user))
}

/// `GET /v1/users/{user}/locks`
pub(super) async fn locks(state: Data<DoorState>, request: HttpRequest) -> Reply {
    let (_, user) = called_about(&state, &request)?;
    let locks = state.handle.locks(&user).await?;
    Ok(private_json(StatusCode::OK, &LockList { items: locks.iter().map(LockView::of).collect() }))
}

/// `DELETE /v1/users/{user}/locks`: a user without locks has none afterwards, too
pub(super) async fn unlock(state: Data<DoorState>, request: HttpRequest) -> Reply {
    let (caller, user) = called_about(&state, &request)?;
    let (handle, by) = (state.handle.clone(), AuditActor::Client(caller.id.clone()));
    to_the_end(async move { handle.unlock(by, &user).await }).await?;
    Ok(HttpResponse::NoContent().finish())
}
