//! The audit trail.

use std::rc::Rc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use tocsin_config::Role;
use tocsin_model::{AuditActor, AuditEvent, AuditKind, AuditRow, ErrorCode, Problem};
use tocsin_storage::AuditQuery;

use super::operator::require;
use super::query::{parsed, time, user};
use crate::door::{DoorState, Query, Reply, Request, private_json, rfc3339};
use crate::openapi;
use crate::view::UserView;

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "AuditList")]
pub(super) struct AuditList<'a> {
    items: Vec<RowView<'a>>,
    /// Where the next page begins; left out at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A row; members without a value are left out.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "AuditRow")]
struct RowView<'a> {
    /// Counts all rows, from 1.
    number: u64,
    #[schemars(schema_with = "openapi::time")]
    at: String,
    #[schemars(schema_with = "openapi::audit_event")]
    event: &'static str,
    actor: ActorView,
    /// Left out once he was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserView<'a>>,
    /// How the row itself names the user; rows of older versions name him as he is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::pseudonym")]
    pseudonym: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::id")]
    transaction: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::name")]
    r#type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::id")]
    device_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::id")]
    enrollment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    /// The portal's name of the session in which it started the transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
    /// Chains the row to all before it.
    #[schemars(schema_with = "openapi::hex_sha256")]
    hash: String,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "AuditActor")]
struct ActorView {
    #[schemars(schema_with = "openapi::audit_actor")]
    kind: &'static str,
    /// Of a client or an operator, or the id of a device.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

impl<'a> RowView<'a> {
    fn of(row: &'a AuditRow) -> Self {
        let AuditEvent { kind, actor, user, transaction, type_name, device, enrollment, detail, session } =
            &row.event;
        Self {
            number: row.number,
            at: rfc3339(row.at),
            event: kind.as_str(),
            actor: ActorView::of(actor),
            user: user.as_ref().map(UserView::of),
            pseudonym: row.pseudonym.map(|pseudonym| pseudonym.to_string()),
            transaction: transaction.map(|id| id.to_string()),
            r#type: type_name.as_ref().map(|name| name.as_str()),
            device_id: device.map(|id| id.to_string()),
            enrollment: enrollment.map(|id| id.to_string()),
            detail: detail.as_deref(),
            session_id: session.as_deref(),
            hash: row.hash.to_string(),
        }
    }
}

impl ActorView {
    fn of(actor: &AuditActor) -> Self {
        let name = match actor {
            AuditActor::Server | AuditActor::Console => None,
            AuditActor::Client(id) => Some(id.to_string()),
            AuditActor::Device(id) => Some(id.to_string()),
            AuditActor::Operator(name) => Some(name.to_string()),
        };
        Self { kind: actor.as_str(), name }
    }
}

/// What a list may be narrowed by.
pub(super) const PARAMETERS: &[&str] =
    &["user", "realm", "pseudonym", "transaction", "type", "event", "from", "to", "limit", "cursor"];

/// `GET /v1/admin/audit`: newest first. A page looks at a bounded number of rows, so that one with few items, or
/// none, may have a cursor all the same.
pub(super) async fn list(state: Rc<DoorState>, request: Request) -> Reply {
    require(&state, &request, Role::Read)?;
    let query = Query::parse(request.query_string(), PARAMETERS)?;
    let query = AuditQuery {
        user: user(&state.handle.config(), &query)?,
        pseudonym: parsed(&query, "pseudonym")?,
        transaction: parsed(&query, "transaction")?,
        type_name: parsed(&query, "type")?,
        kind: query.text("event").map(kind).transpose()?,
        from: time(&query, "from")?,
        to: time(&query, "to")?,
        before: parsed(&query, "cursor")?,
        limit: query.page_limit()?,
    };
    let page = state.handle.audit(query).await?;
    let next_cursor = page.next.map(|number| number.to_string());
    Ok(private_json(
        StatusCode::OK,
        &AuditList { items: page.rows.iter().map(RowView::of).collect(), next_cursor },
    ))
}

fn kind(word: &str) -> Result<AuditKind, Problem> {
    AuditKind::parse(word)
        .ok_or_else(|| Problem::new(ErrorCode::InvalidField, "there is no such event").with_field("event"))
}

/// What a check found. `hash` chains the last row to all before it: noted elsewhere, it shows later that nothing
/// before was changed.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "AuditCheck")]
pub(super) struct AuditCheck {
    sound: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::hex_sha256")]
    hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<FaultView>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "AuditFault")]
struct FaultView {
    number: u64,
    what: String,
}

/// `GET /v1/admin/audit/verify`: checks every row against the chain of hashes.
pub(super) async fn verify(state: Rc<DoorState>, request: Request) -> Reply {
    require(&state, &request, Role::Read)?;
    Query::parse(request.query_string(), &[])?;
    let view = match state.handle.check_audit().await? {
        Ok(summary) => AuditCheck {
            sound: true,
            first: Some(summary.first),
            last: Some(summary.last),
            hash: Some(summary.hash.to_string()),
            fault: None,
        },
        Err(fault) => {
            tracing::error!(
                number = fault.number,
                what = fault.what,
                "the audit trail is not what was stored"
            );
            let fault = Some(FaultView { number: fault.number, what: fault.what });
            AuditCheck { sound: false, first: None, last: None, hash: None, fault }
        }
    };
    Ok(private_json(StatusCode::OK, &view))
}
