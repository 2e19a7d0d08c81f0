//! Reports of SMS gateways: what became of a message that they took. The only call of this door that is no phone's; who
//! calls is known by the gateway's signature over URL and body alone.

use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use tocsin_engine::provider::ReportCall;
use tocsin_model::{ErrorCode, Problem};

use crate::door::{DoorError, DoorState, Reply, is_form, read_body, segment};

/// `POST /hooks/v1/{provider}`
pub(super) async fn report(state: Data<DoorState>, request: HttpRequest, payload: Payload) -> Reply {
    if !is_form(request.headers()) {
        let detail = "the body must be application/x-www-form-urlencoded in UTF-8, without content coding";
        return Err(DoorError::closing(Problem::new(ErrorCode::UnsupportedMediaType, detail)));
    }
    let body = read_body(&request, payload, state.body_bytes_max).await?;
    let provider = segment(&request, 2)?;
    let path_and_query = request.uri().path_and_query().map_or("/", |sent| sent.as_str());
    let url = format!("{}{path_and_query}", state.handle.issuer());
    let only = |name: &str| {
        let mut sent = request.headers().get_all(header::HeaderName::try_from(name).ok()?);
        let first = sent.next().filter(|_| sent.next().is_none())?;
        first.to_str().ok()
    };
    let call = ReportCall { url: &url, query: request.query_string(), header: &only, body: &body };
    state.handle.gateway_report(&provider, &call).await?;
    Ok(HttpResponse::NoContent().finish())
}
