//! The portal door: transactions, enrolments and devices, for portals and gateways.
//!
//! Every call is authenticated before its body is read, unless the body is the form that authenticates it. What a client may not see does not exist for it.

mod activation;
mod caller;
mod devices;
mod enrollments;
mod events;
mod fingerprint;
mod list;
mod methods;
mod page;
mod start;
mod timing;
mod transactions;
mod user;
mod view;

use std::sync::Arc;

use actix_web::web::{self, ServiceConfig};
use tocsin_engine::callback::RenderView;
use tocsin_model::Transaction;

use crate::door::only;

/// Writes the view that callbacks with `body = "full"` carry, as this door replies it; links begin with `public_url`.
pub fn render_view(public_url: &str) -> RenderView {
    let public_url = public_url.to_owned();
    Arc::new(move |transaction: &Transaction| {
        // A view holds texts, numbers and lists only, so that it always has a JSON form.
        serde_json::to_vec(&view::TransactionView::of(transaction, &public_url)).unwrap_or_default()
    })
}

/// The routes of this door.
pub(crate) fn routes(config: &mut ServiceConfig) {
    let resource = |path: &str, allow: &'static str| web::resource(path).default_service(only(allow));
    config
        .service(
            resource("/v1/transactions", "GET, POST")
                .route(web::get().to(list::list))
                .route(web::post().to(transactions::start)),
        )
        .service(
            resource("/v1/transactions/{id}", "GET, DELETE")
                .route(web::get().to(transactions::read))
                .route(web::delete().to(transactions::cancel)),
        )
        .service(
            resource("/v1/transactions/{id}/qr.png", "GET").route(web::get().to(transactions::qr_picture)),
        )
        .service(resource("/v1/transactions/{id}/events", "GET").route(web::get().to(events::events)))
        .service(resource("/v1/users/{user}/methods", "GET").route(web::get().to(methods::list)))
        .service(resource("/v1/enrollments", "POST").route(web::post().to(enrollments::open)))
        .service(
            resource("/v1/enrollments/{id}", "GET, DELETE")
                .route(web::get().to(enrollments::read))
                .route(web::delete().to(enrollments::cancel)),
        )
        .service(resource("/v1/enrollments/{id}/confirm", "POST").route(web::post().to(enrollments::confirm)))
        .service(
            resource("/v1/users/{user}/devices", "GET, DELETE")
                .route(web::get().to(devices::list))
                .route(web::delete().to(devices::remove_all)),
        )
        .service(
            resource("/v1/users/{user}/devices/{device_id}", "PATCH, DELETE")
                .route(web::patch().to(devices::change))
                .route(web::delete().to(devices::remove)),
        );
}
