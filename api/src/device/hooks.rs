//! Reports of SMS gateways: what became of a message that they took. The only call of this door that is no phone's; who
//! calls is known by the gateway's signature over URL and body alone.

use std::rc::Rc;

use tocsin_engine::provider::ReportCall;
use tocsin_model::{ErrorCode, Problem};

use crate::door::{DoorError, DoorState, Payload, Reply, Request, is_form, no_content, read_body, segment};

/// `POST /hooks/v1/{provider}`
pub(super) async fn report(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    if !is_form(request.headers()) {
        let detail = "the body must be application/x-www-form-urlencoded in UTF-8, without content coding";
        return Err(DoorError::closing(Problem::new(ErrorCode::UnsupportedMediaType, detail)));
    }
    let body = read_body(&state, &request, payload).await?;
    let provider = segment(&request, 2)?;
    let url = format!("{}{}", state.handle.issuer(), request.path_and_query());
    let only = |name: &str| {
        let mut sent = request.headers().get_all(name).iter();
        let first = sent.next().filter(|_| sent.next().is_none())?;
        first.to_str().ok()
    };
    let call = ReportCall { url: &url, query: request.query_string(), header: &only, body: &body };
    state.handle.gateway_report(&provider, &call).await?;
    Ok(no_content())
}
