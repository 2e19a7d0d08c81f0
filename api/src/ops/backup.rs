//! A backup of the running server.

use std::rc::Rc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use tocsin_config::Role;
use tocsin_model::{AuditActor, AuditEvent, AuditKind, ErrorCode, Problem};

use super::operator::require;
use super::process::control;
use crate::door::{DoorState, Payload, Query, Reply, Request, private_json, read_no_fields, to_the_end};

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Backup")]
pub(super) struct BackupView {
    /// On the machine of the server.
    folder: String,
    files: usize,
    bytes: u64,
}

/// `POST /v1/admin/backup`: answers when the backup is whole.
pub(super) async fn make(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    let operator = require(&state, &request, Role::Operate)?;
    Query::parse(request.query_string(), &[])?;
    read_no_fields(&state, &request, payload).await?;
    let control = control(&state)?.clone();
    let event = AuditEvent::new(AuditKind::BackupAsked, AuditActor::Operator(operator));
    state.handle.note(event).await?;
    let made = to_the_end(async move { control.backup().await }).await?.map_err(|error| {
        tracing::error!(%error, "an operator's backup failed");
        Problem::new(ErrorCode::StorageUnavailable, "no backup was made; the log says why")
    })?;
    let view = BackupView { folder: made.folder.display().to_string(), files: made.files, bytes: made.bytes };
    Ok(private_json(StatusCode::CREATED, &view))
}
