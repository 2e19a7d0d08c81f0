//! The ops door: health, readiness and metrics, for operators and Prometheus.
//!
//! On loopback all three are open. Off loopback `/metrics` would need a token; this version cannot be given one, so
//! it refuses. Health and readiness say nothing that a load balancer may not know.

use actix_web::guard::{Any, Get, Head};
use actix_web::http::{StatusCode, header};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpResponse, Route};
use serde::Serialize;
use tocsin_engine::ProviderState;
use tocsin_model::{ErrorCode, Problem};

use crate::door::{DoorState, Reply, only};

/// The media type of Prometheus' text format.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The routes of this door.
pub(crate) fn routes(config: &mut ServiceConfig) {
    let resource = |path: &str| web::resource(path).default_service(only("GET, HEAD"));
    config
        .service(resource("/healthz").route(get_or_head().to(healthz)))
        .service(resource("/readyz").route(get_or_head().to(readyz)))
        .service(resource("/metrics").route(get_or_head().to(metrics)));
}

/// Load balancers like to ask with HEAD.
fn get_or_head() -> Route {
    web::route().guard(Any(Get()).or(Head()))
}

fn report(is_good: bool, body: &impl Serialize) -> HttpResponse {
    let mut reply =
        HttpResponse::build(if is_good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE });
    if !is_good {
        reply.insert_header((header::RETRY_AFTER, 1));
    }
    reply.insert_header((header::CACHE_CONTROL, "no-store")).json(body)
}

#[derive(Serialize)]
struct HealthView {
    healthy: bool,
    writer: bool,
    arbiters: bool,
}

/// `GET /healthz`: whether the process lives.
async fn healthz(state: Data<DoorState>) -> HttpResponse {
    let health = state.handle.health();
    let healthy = health.is_healthy();
    report(healthy, &HealthView { healthy, writer: health.writer, arbiters: health.arbiters })
}

#[derive(Serialize)]
struct ReadinessView {
    ready: bool,
    recovered: bool,
    storage: bool,
    draining: bool,
    providers: Vec<ProviderView>,
}

#[derive(Serialize)]
struct ProviderView {
    name: String,
    available: bool,
}

impl ProviderView {
    fn of(provider: &ProviderState) -> Self {
        Self { name: provider.name.to_string(), available: provider.available }
    }
}

/// `GET /readyz`: whether new work should be sent here.
async fn readyz(state: Data<DoorState>) -> HttpResponse {
    let readiness = state.handle.readiness();
    let draining = readiness.draining || state.is_draining();
    let ready = readiness.is_ready() && !draining;
    let providers = readiness.providers.iter().map(ProviderView::of).collect();
    // The doors open after the recovery, so that whoever can ask is told of one that is over.
    let view = ReadinessView { ready, recovered: true, storage: readiness.storage, draining, providers };
    report(ready, &view)
}

/// `GET /metrics`
async fn metrics(state: Data<DoorState>) -> Reply {
    if !state.is_loopback {
        let detail = "off loopback the metrics need a token, which this version cannot be given; \
                      let the ops door listen on loopback and scrape it there";
        return Err(Problem::new(ErrorCode::InvalidToken, detail).into());
    }
    let text = state.handle.metrics_text();
    Ok(HttpResponse::Ok().insert_header((header::CONTENT_TYPE, PROMETHEUS_TEXT)).body(text))
}
