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

use actix_web::HttpRequest;
use actix_web::web::{self, Data};
use tocsin_config::Role;

use self::operator::require;
use crate::door::{DoorName, DoorState, Query, Reply};
use crate::openapi::{self, Call, Verb};

pub(crate) use document::about;

/// The calls of this door, for its routes and its document.
pub(crate) const CALLS: &[Call] = &[
    Call::new(Verb::GetOrHead, "/healthz", || web::to(probe::healthz), document::healthz),
    Call::new(Verb::GetOrHead, "/readyz", || web::to(probe::readyz), document::readyz),
    Call::new(Verb::GetOrHead, "/metrics", || web::to(probe::metrics), document::metrics),
    Call::new(Verb::GetOrHead, "/v1/admin/config", || web::to(configuration::show), document::configuration),
    Call::new(Verb::GetOrHead, "/v1/admin/providers", || web::to(providers::list), document::providers),
    Call::new(Verb::GetOrHead, "/v1/admin/audit", || web::to(audit::list), document::list_audit),
    Call::new(Verb::GetOrHead, "/v1/admin/audit/verify", || web::to(audit::verify), document::verify_audit),
    Call::new(Verb::GetOrHead, "/v1/admin/callbacks", || web::to(callbacks::list), document::list_callbacks),
    Call::new(
        Verb::Post,
        "/v1/admin/callbacks/{id}/redeliver",
        || web::to(callbacks::redeliver),
        document::redeliver,
    ),
    Call::new(Verb::GetOrHead, "/v1/admin/users/{user}", || web::to(users::show), document::user),
    Call::new(
        Verb::GetOrHead,
        "/v1/admin/transactions",
        || web::to(transactions::list),
        document::list_transactions,
    ),
    Call::new(
        Verb::Post,
        "/v1/admin/transactions/{id}/cancel",
        || web::to(transactions::cancel),
        document::cancel_transaction,
    ),
    Call::new(Verb::Post, "/v1/admin/reload", || web::to(process::reload), document::reload),
    Call::new(Verb::Post, "/v1/admin/backup", || web::to(backup::make), document::backup),
    Call::new(Verb::Post, "/v1/admin/drain", || web::to(process::drain), document::drain),
    Call::new(Verb::Put, "/v1/admin/log-level", || web::to(process::log_level), document::log_level),
    Call::new(Verb::GetOrHead, "/v1/admin/openapi.json", || web::to(describe), document::describe),
];

/// `GET /v1/admin/openapi.json`
async fn describe(state: Data<DoorState>, request: HttpRequest) -> Reply {
    require(&state, &request, Role::Read)?;
    Query::parse(request.query_string(), &[])?;
    Ok(openapi::served(DoorName::Ops))
}
