//! What concerns the process as a whole: reload, drain, what is logged.

use std::rc::Rc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use tocsin_config::Role;
use tocsin_model::{AuditActor, AuditEvent, AuditKind, ErrorCode, Problem};

use super::operator::require;
use crate::control::Control;
use crate::door::{
    DoorState, Fields, MediaType, Payload, Query, Reply, Request, parse_object, private_json, read_json_body,
    read_no_fields, to_the_end,
};

/// Longest log filter in characters, as in the configuration.
pub(super) const FILTER_CHARACTERS_MAX: usize = 500;

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Reload")]
pub(super) struct ReloadView {
    reloaded: bool,
    warnings: Vec<String>,
}

/// `POST /v1/admin/reload`: takes the configuration over anew, whole or not at all.
pub(super) async fn reload(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    let operator = require(&state, &request, Role::Operate)?;
    Query::parse(request.query_string(), &[])?;
    read_no_fields(&state, &request, payload).await?;
    let control = control(&state)?.clone();
    let by = AuditActor::Operator(operator);
    let reloaded = to_the_end(async move { control.reload(by).await }).await?;
    match reloaded {
        Ok(reloaded) => {
            let view = ReloadView { reloaded: true, warnings: reloaded.warnings };
            Ok(private_json(StatusCode::OK, &view))
        }
        Err(faults) => {
            let detail = format!("nothing has changed, because of these faults:\n{}", faults.join("\n"));
            Err(Problem::new(ErrorCode::InvalidField, detail).with_field("configuration").into())
        }
    }
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Drain")]
pub(super) struct DrainView {
    draining: bool,
}

/// `POST /v1/admin/drain`: takes no new work, lets held calls return, and ends the process.
pub(super) async fn drain(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    let operator = require(&state, &request, Role::Operate)?;
    Query::parse(request.query_string(), &[])?;
    read_no_fields(&state, &request, payload).await?;
    let control = control(&state)?;
    let event = AuditEvent::new(AuditKind::DrainAsked, AuditActor::Operator(operator));
    state.handle.note(event).await?;
    control.drain()?;
    Ok(private_json(StatusCode::ACCEPTED, &DrainView { draining: true }))
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "LogLevel")]
pub(super) struct LogLevelView<'a> {
    filter: &'a str,
}

/// `PUT /v1/admin/log-level` with `{"filter"}`: what is logged, until the next reload or start.
pub(super) async fn log_level(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    let operator = require(&state, &request, Role::Operate)?;
    Query::parse(request.query_string(), &[])?;
    let body = read_json_body(&state, &request, payload, MediaType::Required).await?;
    let members = parse_object(&body)?;
    let fields = Fields::of(&members);
    fields.only(&["filter"])?;
    let filter = fields.required_text("filter")?;
    let fits = (1..=FILTER_CHARACTERS_MAX).contains(&filter.chars().count());
    if !fits || filter.chars().any(char::is_control) {
        return Err(fields
            .not_allowed("filter", "this must have 1 to 500 characters, none of control")
            .into());
    }
    let event = AuditEvent::new(AuditKind::LogLevelSet, AuditActor::Operator(operator)).detail(filter);
    let (log, handle, text) = (control(&state)?.log().clone(), state.handle.clone(), filter.to_owned());
    to_the_end(async move { log.set_noted(&text, async || handle.note(event).await).await })
        .await?
        .map_err(|_| fields.not_allowed("filter", "this is no filter, such as info,tocsin_engine=debug"))?;
    Ok(private_json(StatusCode::OK, &LogLevelView { filter }))
}

pub(super) fn control(state: &DoorState) -> Result<&Control, Problem> {
    state.control.as_ref().ok_or_else(|| {
        tracing::error!("an operator asked for what this process cannot do");
        Problem::internal()
    })
}
