//! Calls about transactions: start, read and long poll, cancel.

use std::sync::Arc;

use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use tocsin_config::Right;
use tocsin_model::{ClientId, DurationMs, ErrorCode, Problem, StartRequest, Transaction, TransactionId};

use super::caller::Caller;
use super::fingerprint::{Meaning, idempotency, start_meaning};
use super::start::StartBody;
use super::view::TransactionView;
use crate::door::{
    DoorState, MediaType, Query, Reply, parse_object, private_json, read_json_body, segment, to_the_end,
};
use crate::qr;

/// Longest long poll in seconds.
const WAIT_S_MAX: u32 = 300;

/// `POST /v1/transactions`
pub(super) async fn start(state: Data<DoorState>, request: HttpRequest, payload: Payload) -> Reply {
    let caller = Caller::with_right(&state, &request, Right::Transactions)?;
    Query::parse(request.query_string(), &[])?;
    let body = read_json_body(&request, payload, state.body_bytes_max, MediaType::Required).await?;
    let start = start_request(&caller, &request, &body)?;
    state.refuse_while_draining()?;
    caller.check_start(&state, &start.user)?;
    let handle = state.handle.clone();
    let started = to_the_end(async move { handle.start(start).await }).await?;
    let view = TransactionView::of(&started.transaction, &state.public_url);
    if started.seen_before {
        return Ok(private_json(StatusCode::OK, &view));
    }
    let mut reply = private_json(StatusCode::CREATED, &view);
    let location = format!("/v1/transactions/{}", started.transaction.id);
    if let Ok(location) = header::HeaderValue::from_str(&location) {
        reply.headers_mut().insert(header::LOCATION, location);
    }
    Ok(reply)
}

fn start_request(caller: &Caller, request: &HttpRequest, body: &[u8]) -> Result<StartRequest, Problem> {
    let start = StartBody::read(caller, &parse_object(body)?)?;
    let meaning =
        Meaning { client: &caller.id, method: "POST", path: "/v1/transactions", body: start_meaning(&start) };
    let idempotency = idempotency(request, &meaning)?;
    Ok(start.into_request(caller, idempotency))
}

/// `GET /v1/transactions/{id}`, with `wait_s` a long poll
pub(super) async fn read(state: Data<DoorState>, request: HttpRequest) -> Reply {
    let caller = Caller::with_right(&state, &request, Right::Transactions)?;
    let id = transaction_id(&request)?;
    let query = Query::parse(request.query_string(), &["wait_s", "after"])?;
    let after = query.number("after", u32::MAX)?;
    let transaction = match query.number("wait_s", WAIT_S_MAX)? {
        Some(seconds) => {
            let longest = DurationMs::from_seconds(seconds.into());
            wait(&state, &caller.id, id, after, longest).await?
        }
        None if after.is_some() => {
            let detail = "a revision is only waited for with wait_s";
            return Err(Problem::new(ErrorCode::FieldRequired, detail).with_field("wait_s").into());
        }
        None => state.handle.transaction(&caller.id, id).await?,
    };
    Ok(private_json(StatusCode::OK, &TransactionView::of(&transaction, &state.public_url)))
}

/// Waits, at a shutdown no longer. A caller that hangs up gives its place back.
async fn wait(
    state: &DoorState,
    client: &ClientId,
    id: TransactionId,
    after: Option<u32>,
    longest: DurationMs,
) -> Result<Arc<Transaction>, Problem> {
    tokio::select! {
        biased;
        waited = state.handle.wait(client, id, after, longest) => waited,
        () = state.drain_begun() => state.handle.transaction(client, id).await,
    }
}

/// `DELETE /v1/transactions/{id}`
pub(super) async fn cancel(state: Data<DoorState>, request: HttpRequest) -> Reply {
    let caller = Caller::with_right(&state, &request, Right::Transactions)?;
    let id = transaction_id(&request)?;
    Query::parse(request.query_string(), &[])?;
    let (handle, client) = (state.handle.clone(), caller.id.clone());
    let cancelled = to_the_end(async move { handle.cancel(&client, id).await }).await?;
    Ok(private_json(StatusCode::OK, &TransactionView::of(&cancelled, &state.public_url)))
}

/// `GET /v1/transactions/{id}/qr.png`: the request message as a picture
pub(super) async fn qr_picture(state: Data<DoorState>, request: HttpRequest) -> Reply {
    let caller = Caller::with_right(&state, &request, Right::Transactions)?;
    let id = transaction_id(&request)?;
    Query::parse(request.query_string(), &[])?;
    let transaction = state.handle.transaction(&caller.id, id).await?;
    let text = shown_as_picture(&transaction)?;
    let picture = qr::png(text).map_err(|too_long| {
        Problem::new(ErrorCode::ContentTooLarge, format!("the request message: {too_long}"))
    })?;
    let mut reply = HttpResponse::Ok();
    reply.insert_header((header::CACHE_CONTROL, "no-store"));
    Ok(reply.content_type("image/png").body(picture))
}

/// As with a challenge: what has ended is asked for no more, and what was never handed out does not exist.
fn shown_as_picture(transaction: &Transaction) -> Result<&str, Problem> {
    match transaction.request_message.text() {
        Some(text) => Ok(text),
        None if transaction.request_message.is_asked_for() && transaction.state.is_final() => {
            Err(Problem::transaction_final(transaction.state))
        }
        None => Err(Problem::not_found()),
    }
}

/// What cannot be an id is an unknown one.
fn transaction_id(request: &HttpRequest) -> Result<TransactionId, Problem> {
    segment(request, 2)?.parse().map_err(|_| Problem::not_found())
}
