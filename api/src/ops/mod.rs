//! The ops door: probes and metrics for machines, `/v1/admin` for operators.
//!
//! Health and readiness say nothing that a load balancer may not know and are open everywhere; metrics are open on
//! loopback. Everything else needs an operator's token, also on loopback.

mod audit;
mod backup;
mod callbacks;
mod configuration;
mod operator;
mod probe;
mod process;
mod providers;
mod query;
mod transactions;
mod users;
mod view;

use actix_web::Route;
use actix_web::guard::{Any, Get, Head};
use actix_web::web::{self, ServiceConfig};

use crate::door::only;

/// The routes of this door.
pub(crate) fn routes(config: &mut ServiceConfig) {
    let seen = |path: &str| web::resource(path).default_service(only("GET, HEAD"));
    let posted = |path: &str| web::resource(path).default_service(only("POST"));
    config
        .service(seen("/healthz").route(get_or_head().to(probe::healthz)))
        .service(seen("/readyz").route(get_or_head().to(probe::readyz)))
        .service(seen("/metrics").route(get_or_head().to(probe::metrics)))
        .service(seen("/v1/admin/config").route(get_or_head().to(configuration::show)))
        .service(seen("/v1/admin/providers").route(get_or_head().to(providers::list)))
        .service(seen("/v1/admin/audit").route(get_or_head().to(audit::list)))
        .service(seen("/v1/admin/audit/verify").route(get_or_head().to(audit::verify)))
        .service(seen("/v1/admin/callbacks").route(get_or_head().to(callbacks::list)))
        .service(posted("/v1/admin/callbacks/{id}/redeliver").route(web::post().to(callbacks::redeliver)))
        .service(seen("/v1/admin/users/{user}").route(get_or_head().to(users::show)))
        .service(seen("/v1/admin/transactions").route(get_or_head().to(transactions::list)))
        .service(posted("/v1/admin/transactions/{id}/cancel").route(web::post().to(transactions::cancel)))
        .service(posted("/v1/admin/reload").route(web::post().to(process::reload)))
        .service(posted("/v1/admin/backup").route(web::post().to(backup::make)))
        .service(posted("/v1/admin/drain").route(web::post().to(process::drain)))
        .service(
            web::resource("/v1/admin/log-level")
                .default_service(only("PUT"))
                .route(web::put().to(process::log_level)),
        );
}

/// Load balancers like to ask with HEAD.
fn get_or_head() -> Route {
    web::route().guard(Any(Get()).or(Head()))
}
