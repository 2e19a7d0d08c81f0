//! The way of every call through a door: its id, its name in the log, its metrics, its problem, the drain.

use std::rc::Rc;
use std::time::Instant;

use prometheus::IntGauge;
use tocsin_model::{ErrorCode, Problem};

use super::connection::Answers;
use super::metrics::{Counted, Observed, RefusedFor};
use super::present::{At, PresentCall, within};
use super::reply::close_after;
use super::request_id::{RequestId, X_REQUEST_ID};
use super::router::{Asked, Router, kept_inside};
use super::{DoorError, DoorName, DoorState, Payload, Request, Response};

/// What answers the calls of a door on one of its threads.
pub(super) struct Surround {
    state: Rc<DoorState>,
    router: Router,
    in_flight: IntGauge,
}

impl Surround {
    pub(super) fn new(state: DoorState) -> Self {
        let router = Router::new(state.name, &state.metrics);
        let in_flight = state.metrics.in_flight(state.name);
        Self { state: Rc::new(state), router, in_flight }
    }
}

impl Answers for Surround {
    async fn answer(self: Rc<Self>, request: Request, payload: Payload) -> Response {
        let state = &self.state;
        let (_in_flight, _counted) = (state.enter(), Counted::begin(&self.in_flight));
        let request_id = RequestId::of(request.headers());
        let call = Rc::new(PresentCall { door: state.name, request_id });
        let begun = Instant::now();
        let is_http2 = request.is_http2();
        let found = self.router.find(request.path());
        let asked = Asked { state: Rc::clone(state), request, payload };
        // Nothing of the request is kept here while its handler is at work: every held call would pay for it.
        let answering = {
            let _at = At::call(Some(Rc::clone(&call)));
            admit(state, &asked.request).and_then(|()| found.answer(asked))
        };
        let answered = match answering {
            Ok(answering) => within(Some(Rc::clone(&call)), kept_inside(answering)).await,
            Err(error) => Err(error),
        };
        let mut reply = answered.unwrap_or_else(|error| error.render(&call.request_id));
        reply.headers_mut().insert(X_REQUEST_ID, call.request_id.header_value());
        if state.is_draining() {
            close_after(&mut reply);
        }
        if is_http2 {
            // HTTP/2 has no such header (RFC 9113, section 8.2.2).
            reply.headers_mut().remove(hyper::header::CONNECTION);
        }
        let observed = Observed { status: reply.status().as_u16(), took: begun.elapsed() };
        let _at = At::call(Some(call));
        log(found.metrics.route(), &observed);
        found.metrics.answered(&observed);
        reply
    }
}

/// What is refused before anybody asks what the call is for.
fn admit(state: &DoorState, request: &Request) -> Result<(), DoorError> {
    if let Some(refusal) = &request.facts().refusal {
        state.metrics.refused(state.name, RefusedFor::Connections);
        return Err(DoorError::closing(refusal.clone()));
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

fn log(route: &'static str, observed: &Observed) {
    let took_ms = u64::try_from(observed.took.as_millis()).unwrap_or(u64::MAX);
    let status = observed.status;
    if status == 500 {
        tracing::error!(route, status, took_ms, "call failed");
    } else {
        tracing::debug!(route, status, took_ms, "call answered");
    }
}
