//! What probes and Prometheus ask: health, readiness, metrics.

use std::rc::Rc;

use hyper::header::HeaderValue;
use hyper::{StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;
use tocsin_config::Role;
use tocsin_engine::ProviderState;

use super::operator::require;
use crate::door::{Content, DoorState, Reply, Request, Response, private_json, typed};
use crate::openapi;

/// The media type of Prometheus' text format.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

fn report(is_good: bool, body: &impl Serialize) -> Response {
    if is_good {
        return private_json(StatusCode::OK, body);
    }
    let mut reply = private_json(StatusCode::SERVICE_UNAVAILABLE, body);
    reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    reply
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Health")]
pub(super) struct HealthView {
    healthy: bool,
    writer: bool,
    arbiters: bool,
}

/// `GET /healthz`: whether the process lives.
pub(super) async fn healthz(state: Rc<DoorState>, _: Request) -> Reply {
    let health = state.handle.health();
    let healthy = health.is_healthy();
    Ok(report(healthy, &HealthView { healthy, writer: health.writer, arbiters: health.arbiters }))
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Readiness")]
pub(super) struct ReadinessView {
    ready: bool,
    /// Whether all that was open at the start has its actor again; until then each gets it when it is asked for.
    recovered: bool,
    storage: bool,
    draining: bool,
    providers: Vec<ProviderView>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ProviderReadiness")]
struct ProviderView {
    #[schemars(schema_with = "openapi::name")]
    name: String,
    available: bool,
    /// Whether the server is not ready without it.
    required: bool,
}

impl ProviderView {
    fn of(provider: &ProviderState) -> Self {
        Self { name: provider.name.to_string(), available: provider.available, required: provider.required }
    }
}

/// `GET /readyz`: whether new work should be sent here.
pub(super) async fn readyz(state: Rc<DoorState>, _: Request) -> Reply {
    let readiness = state.handle.readiness();
    let draining = readiness.draining || state.is_draining();
    let ready = readiness.is_ready() && !draining;
    let providers = readiness.providers.iter().map(ProviderView::of).collect();
    let (recovered, storage) = (readiness.recovered, readiness.storage);
    let view = ReadinessView { ready, recovered, storage, draining, providers };
    Ok(report(ready, &view))
}

/// `GET /metrics`: open on loopback, where only this machine reaches it.
pub(super) async fn metrics(state: Rc<DoorState>, request: Request) -> Reply {
    if !state.is_loopback {
        require(&state, &request, Role::Read)?;
    }
    let text = state.handle.metrics_text();
    Ok(typed(StatusCode::OK, PROMETHEUS_TEXT, Content::Whole(text.into())))
}
