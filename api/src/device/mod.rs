//! The device door: what phones ask, over the internet.
//!
//! All of the protocol is the engine's. This door passes on what a proof covers (method, raw path and query, raw
//! body) and writes the answers down. Unknown members of bodies are ignored: apps are older or newer than servers.

mod calls;
mod keys;

use actix_web::web::{self, ServiceConfig};

use crate::door::only;

/// The routes of this door.
pub(crate) fn routes(config: &mut ServiceConfig) {
    let resource = |path: &str, allow: &'static str| web::resource(path).default_service(only(allow));
    config
        .service(resource("/device/v1/enrollments", "POST").route(web::post().to(calls::enrol)))
        .service(resource("/device/v1/transactions", "GET").route(web::get().to(calls::list)))
        .service(resource("/device/v1/transactions/{id}", "GET").route(web::get().to(calls::fetch)))
        .service(resource("/device/v1/transactions/{id}/answer", "POST").route(web::post().to(calls::answer)))
        .service(resource("/device/v1/server-keys", "GET").route(web::get().to(calls::server_keys)))
        .service(
            resource("/device/v1/keys/{use}", "PUT, DELETE")
                .route(web::put().to(keys::put))
                .route(web::delete().to(keys::delete)),
        )
        .service(
            resource("/device/v1/device", "GET, PATCH, DELETE")
                .route(web::get().to(calls::device))
                .route(web::patch().to(calls::change))
                .route(web::delete().to(calls::leave)),
        )
        .service(resource("/device/v1/push", "PUT").route(web::put().to(calls::move_push)));
}
