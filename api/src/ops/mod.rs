//! The ops door: probes and metrics for machines, `/v1/admin` for operators.
//!
//! Health and readiness say nothing that a load balancer may not know and are open everywhere; metrics are open on
//! loopback. Everything else needs an operator's token, also on loopback.

mod audit;
mod backup;
mod callbacks;
mod configuration;
mod document;
mod operator;
mod probe;
mod process;
mod providers;
mod query;
mod transactions;
mod users;
mod view;

use std::rc::Rc;

use tocsin_config::Role;

use self::operator::require;
use crate::door::{DoorName, DoorState, Query, Reply, Request};
use crate::openapi::{self, Call, Verb};

pub(crate) use document::about;

/// The calls of this door, for its routes and its document.
pub(crate) const CALLS: &[Call] = &[
    Call::new(Verb::GetOrHead, "/healthz", |call| call.by(probe::healthz), document::healthz),
    Call::new(Verb::GetOrHead, "/readyz", |call| call.by(probe::readyz), document::readyz),
    Call::new(Verb::GetOrHead, "/metrics", |call| call.by(probe::metrics), document::metrics),
    Call::new(
        Verb::GetOrHead,
        "/v1/admin/config",
        |call| call.by(configuration::show),
        document::configuration,
    ),
    Call::new(Verb::GetOrHead, "/v1/admin/providers", |call| call.by(providers::list), document::providers),
    Call::new(Verb::GetOrHead, "/v1/admin/audit", |call| call.by(audit::list), document::list_audit),
    Call::new(
        Verb::GetOrHead,
        "/v1/admin/audit/verify",
        |call| call.by(audit::verify),
        document::verify_audit,
    ),
    Call::new(
        Verb::GetOrHead,
        "/v1/admin/callbacks",
        |call| call.by(callbacks::list),
        document::list_callbacks,
    ),
    Call::new(
        Verb::Post,
        "/v1/admin/callbacks/{id}/redeliver",
        |call| call.with_body(callbacks::redeliver),
        document::redeliver,
    ),
    Call::new(Verb::GetOrHead, "/v1/admin/users/{user}", |call| call.by(users::show), document::user),
    Call::new(
        Verb::GetOrHead,
        "/v1/admin/transactions",
        |call| call.by(transactions::list),
        document::list_transactions,
    ),
    Call::new(
        Verb::Post,
        "/v1/admin/transactions/{id}/cancel",
        |call| call.with_body(transactions::cancel),
        document::cancel_transaction,
    ),
    Call::new(Verb::Post, "/v1/admin/reload", |call| call.with_body(process::reload), document::reload),
    Call::new(Verb::Post, "/v1/admin/backup", |call| call.with_body(backup::make), document::backup),
    Call::new(Verb::Post, "/v1/admin/drain", |call| call.with_body(process::drain), document::drain),
    Call::new(
        Verb::Put,
        "/v1/admin/log-level",
        |call| call.with_body(process::log_level),
        document::log_level,
    ),
    Call::new(Verb::GetOrHead, "/v1/admin/openapi.json", |call| call.by(describe), document::describe),
];

/// `GET /v1/admin/openapi.json`
async fn describe(state: Rc<DoorState>, request: Request) -> Reply {
    require(&state, &request, Role::Read)?;
    Query::parse(request.query_string(), &[])?;
    Ok(openapi::served(DoorName::Ops))
}
