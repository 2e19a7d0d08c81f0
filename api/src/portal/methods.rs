//! `GET /v1/users/{user}/methods`: which of the client's types would reach this user now.

use std::rc::Rc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use tocsin_config::Right;
use tocsin_engine::UsableType;
use tocsin_model::DeviceId;

use super::caller::Caller;
use super::user::user_of_path;
use crate::door::{DoorState, Query, Reply, Request, private_json, segment};
use crate::openapi;

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "MethodList")]
pub(super) struct MethodList<'a> {
    items: Vec<MethodView<'a>>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Method")]
struct MethodView<'a> {
    #[schemars(schema_with = "openapi::name")]
    r#type: &'a str,
    #[schemars(schema_with = "openapi::method")]
    method: &'static str,
    /// The phones that could answer.
    #[schemars(schema_with = "openapi::ids")]
    device_ids: Vec<String>,
}

impl<'a> MethodView<'a> {
    fn of(usable: &'a UsableType) -> Self {
        Self {
            r#type: usable.type_name.as_str(),
            method: usable.method.as_str(),
            device_ids: usable.device_ids.iter().map(DeviceId::to_string).collect(),
        }
    }
}

/// `GET /v1/users/{user}/methods`
pub(super) async fn list(state: Rc<DoorState>, request: Request) -> Reply {
    let caller = Caller::with_right(&state, &request, Right::Transactions)?;
    let query = Query::parse(request.query_string(), &["realm"])?;
    let user = user_of_path(&caller, &segment(&request, 2)?, query.text("realm"))?;
    let usable = state.handle.usable_types(&caller.id, &user).await?;
    let items = usable.iter().map(MethodView::of).collect();
    Ok(private_json(StatusCode::OK, &MethodList { items }))
}
