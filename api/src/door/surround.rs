//! The way of every call through a door: its id, its span in the log, its metrics, its problem, the drain.

use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, ResponseError, web};
use tocsin_model::{ErrorCode, Problem};
use tracing::Instrument;

use super::metrics::Observed;
use super::metrics::RefusedFor;
use super::request_id::{RequestId, X_REQUEST_ID};
use super::{DoorError, DoorName, DoorState};

/// Surrounds every call.
pub(super) async fn surround(
    state: web::Data<DoorState>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let _in_flight = state.enter();
    let request_id = RequestId::of(request.headers());
    let span = tracing::info_span!("call", door = state.name.as_str(), request_id = request_id.as_str());
    let counted = state.metrics.begin(state.name);
    let begun = Instant::now();
    let mut reply = match admit(&state, request.request()) {
        Ok(()) => {
            let reply = next.call(request).instrument(span.clone()).await?.map_into_boxed_body();
            with_problem(reply, &request_id)
        }
        Err(refused) => request.into_response(refused.render(&request_id)),
    };
    let head = reply.response_mut().head_mut();
    head.headers_mut().insert(X_REQUEST_ID, request_id.header_value());
    if state.is_draining() {
        head.set_connection_type(ConnectionType::Close);
    }
    let route = reply.request().match_pattern();
    let status = reply.status().as_u16();
    let observed = Observed { route: route.as_deref(), status, took: begun.elapsed() };
    span.in_scope(|| log(&observed));
    counted.end(&observed);
    Ok(reply)
}

/// What is refused before anybody asks what the call is for.
fn admit(state: &DoorState, request: &HttpRequest) -> Result<(), DoorError> {
    if let Some(refusal) = state.refusal_of(request) {
        state.metrics.refused(state.name, RefusedFor::Connections);
        return Err(DoorError::closing(refusal));
    }
    if !state.fits_head(request) {
        state.metrics.refused(state.name, RefusedFor::Head);
        let detail = format!(
            "the head may have {} fields and {} bytes at most",
            state.headers_max, state.head_bytes_max
        );
        return Err(DoorError::closing(Problem::new(ErrorCode::HeadersTooLarge, detail)));
    }
    if state.name == DoorName::Device {
        let per_minute_max = state.handle.config().device_calls_per_address_per_minute_max;
        state.check_rate(state.rates.address(state.counted_address_of(request), per_minute_max))?;
    }
    Ok(())
}

/// Puts the document of an error in place of its bare status.
fn with_problem(reply: ServiceResponse<BoxBody>, request_id: &RequestId) -> ServiceResponse<BoxBody> {
    let rendered = reply.response().error().map(|error| match error.as_error::<DoorError>() {
        Some(error) => error.render(request_id),
        None => foreign(error.as_response_error()).render(request_id),
    });
    match rendered {
        Some(document) => reply.into_response(document),
        None => reply,
    }
}

/// An error that the server library made.
fn foreign(error: &dyn ResponseError) -> DoorError {
    let problem = if error.status_code().is_client_error() {
        Problem::new(ErrorCode::InvalidRequest, "the request is not well-formed HTTP")
    } else {
        tracing::error!(%error, "the server library failed");
        Problem::internal()
    };
    DoorError::closing(problem)
}

fn log(observed: &Observed<'_>) {
    let took_ms = u64::try_from(observed.took.as_millis()).unwrap_or(u64::MAX);
    let (route, status) = (observed.route.unwrap_or(super::metrics::NO_ROUTE), observed.status);
    if status == 500 {
        tracing::error!(route, status, took_ms, "call failed");
    } else {
        tracing::debug!(route, status, took_ms, "call answered");
    }
}
