//! Calls about transactions: start and hold, read and long poll, cancel.

use std::rc::Rc;
use std::sync::Arc;

use hyper::{StatusCode, header};
use tocsin_config::Right;
use tocsin_engine::{Started, Until, WaitPlace};
use tocsin_model::{
    ClientId, DurationMs, ErrorCode, Method, Otp, Problem, StartRequest, Transaction, TransactionId,
};

use super::caller::Caller;
use super::fingerprint::{Meaning, idempotency, start_meaning};
use super::start::start_of_body;
use super::timing::{PREFERENCE_APPLIED, Timing, WAIT_S_MAX};
use super::view::TransactionView;
use crate::door::{
    Content, DoorError, DoorState, Fields, Payload, Query, Reply, Request, is_form, private, private_json,
    read_no_fields, segment, to_the_end,
};
use crate::qr;

/// What a portal asks to be started, once all that it sent was read.
struct Asked {
    caller: Caller,
    start: StartRequest,
    timing: Timing,
    /// Reserved before anything is begun, so that no portal is refused what it has started.
    place: Option<WaitPlace>,
}

/// A transaction that was started, and when its portal wants to hear of it: at once where the user must see a number first,
/// which only the measures against fatigue have drawn for a start that was to be held.
struct Begun {
    started: Started,
    timing: Timing,
    place: Option<WaitPlace>,
}

/// `POST /v1/transactions`
pub(super) async fn start(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    // Each step in a box of its own, whose memory is given back before the next one waits.
    let asked = Box::pin(asked(&state, request, payload)).await?;
    let begun = Box::pin(begin(&state, asked)).await?;
    let (timing, seen_before) = (begun.timing, begun.started.seen_before);
    let transaction = told(&state, begun).await?;
    let outcome_was_awaited = timing.is_held() && transaction.state.is_final();
    let status = if seen_before || outcome_was_awaited { StatusCode::OK } else { StatusCode::CREATED };
    let mut reply = private_json(status, &TransactionView::of(&transaction, &state.public_url));
    let headers = reply.headers_mut();
    if let Some(applied) = timing.preference_applied() {
        headers.insert(header::HeaderName::from_static(PREFERENCE_APPLIED), applied);
    }
    let location = header::HeaderValue::from_str(&format!("/v1/transactions/{}", transaction.id));
    if let Some(location) = location.ok().filter(|_| status == StatusCode::CREATED) {
        headers.insert(header::LOCATION, location);
    }
    Ok(reply)
}

/// Reads all that was sent and gives it back: neither a start that waits for its turn nor a held call keeps the buffer that
/// its connection reads into.
async fn asked(state: &Rc<DoorState>, request: Request, payload: Payload) -> Result<Asked, DoorError> {
    let (caller, body) = Caller::with_body(state, &request, payload, Right::Transactions).await?;
    Query::parse(request.query_string(), &[])?;
    let (timing, start) = start_request(&caller, &request, &body.fields())?;
    state.refuse_while_draining()?;
    let place = timing.wait().map(|_| state.handle.reserve_wait()).transpose()?;
    Ok(Asked { caller, start, timing, place })
}

async fn begin(state: &Rc<DoorState>, asked: Asked) -> Result<Begun, DoorError> {
    let Asked { caller, start, timing, place } = asked;
    let state = state.clone();
    // A caller that hangs up cancels nothing.
    let started =
        to_the_end(
            async move { state.handle.start_within(start, |user| caller.check_start(&state, user)).await },
        )
        .await?;
    let shows_first = !started.transaction.state.is_final() && started.transaction.number().is_some();
    let timing = if timing.is_held() && shows_first { Timing::default() } else { timing };
    Ok(Begun { started, timing, place })
}

fn start_request(
    caller: &Caller,
    request: &Request,
    fields: &Fields<'_>,
) -> Result<(Timing, StartRequest), Problem> {
    let start = start_of_body(caller, fields)?;
    let timing = Timing::read(fields, request.headers())?;
    let meaning = || {
        let body = start_meaning(&start);
        Meaning { client: &caller.id, method: "POST", path: "/v1/transactions", body }
    };
    let idempotency = idempotency(request, meaning)?;
    Ok((timing, StartRequest { is_held: timing.is_held(), idempotency, ..start }))
}

/// The transaction when its portal wants to hear of it, at a shutdown sooner.
async fn told(state: &DoorState, begun: Begun) -> Result<Arc<Transaction>, Problem> {
    let Begun { started: Started { transaction, .. }, timing, place } = begun;
    let (Some(place), Some((until, longest))) = (place, timing.wait()) else { return Ok(transaction) };
    let id = transaction.id;
    // A held call keeps no copy of what may change.
    let client = transaction.client.clone();
    drop(transaction);
    tokio::select! {
        biased;
        held = state.handle.hold(place, id, until, longest) => held,
        () = state.drain_begun() => state.handle.transaction(&client, id).await,
    }
}

/// `GET /v1/transactions/{id}`, with `wait_s` a long poll
pub(super) fn read(state: Rc<DoorState>, request: Request) -> impl Future<Output = Reply> {
    // Judged before the future is made: a long poll keeps nothing of the request.
    let asked = look_asked(&state, &request);
    async move {
        let Look { client, id, wait } = asked?;
        let transaction = match wait {
            Some((until, longest)) => wait_for(&state, &client, id, until, longest).await?,
            None => state.handle.transaction(&client, id).await?,
        };
        Ok(private_json(StatusCode::OK, &TransactionView::of(&transaction, &state.public_url)))
    }
}

/// What a read asks for.
struct Look {
    client: ClientId,
    id: TransactionId,
    wait: Option<(Until, DurationMs)>,
}

fn look_asked(state: &DoorState, request: &Request) -> Result<Look, Problem> {
    let caller = Caller::with_right(state, request, Right::Transactions)?;
    let id = transaction_id(request)?;
    let query = Query::parse(request.query_string(), &["wait_s", "after"])?;
    let until = query.number("after", u32::MAX)?.map(|after| Until::Change { after });
    let longest = query.number("wait_s", WAIT_S_MAX)?.map(|seconds| DurationMs::from_seconds(seconds.into()));
    if until.is_some() && longest.is_none() {
        let detail = "a revision is only waited for with wait_s";
        return Err(Problem::new(ErrorCode::FieldRequired, detail).with_field("wait_s"));
    }
    let wait = longest.map(|longest| (until.unwrap_or(Until::Outcome), longest));
    Ok(Look { client: caller.id, id, wait })
}

/// Waits, at a shutdown no longer. A caller that hangs up gives its place back.
async fn wait_for(
    state: &DoorState,
    client: &ClientId,
    id: TransactionId,
    until: Until,
    longest: DurationMs,
) -> Result<Arc<Transaction>, Problem> {
    tokio::select! {
        biased;
        waited = state.handle.wait(client, id, until, longest) => waited,
        () = state.drain_begun() => state.handle.transaction(client, id).await,
    }
}

/// `DELETE /v1/transactions/{id}`
pub(super) async fn cancel(state: Rc<DoorState>, request: Request) -> Reply {
    let caller = Caller::with_right(&state, &request, Right::Transactions)?;
    let id = transaction_id(&request)?;
    Query::parse(request.query_string(), &[])?;
    let (handle, client) = (state.handle.clone(), caller.id.clone());
    let cancelled = to_the_end(async move { handle.cancel(&client, id).await }).await?;
    Ok(private_json(StatusCode::OK, &TransactionView::of(&cancelled, &state.public_url)))
}

/// `GET /v1/transactions/{id}/qr.png`: the one-time password or the request message as a picture
pub(super) async fn qr_picture(state: Rc<DoorState>, request: Request) -> Reply {
    let caller = Caller::with_right(&state, &request, Right::Transactions)?;
    let id = transaction_id(&request)?;
    Query::parse(request.query_string(), &[])?;
    let transaction = state.handle.transaction(&caller.id, id).await?;
    let text = shown_as_picture(&transaction)?;
    let picture = qr::png(text).map_err(|too_long| {
        Problem::new(ErrorCode::ContentTooLarge, format!("the request message: {too_long}"))
    })?;
    Ok(private(StatusCode::OK, "image/png", Content::Whole(picture.into())))
}

/// As with a challenge: what has ended is asked for no more, and what was never handed out does not exist. A password
/// that a phone has claimed is shown to no other.
fn shown_as_picture(transaction: &Transaction) -> Result<&str, Problem> {
    let text = transaction.otp().map(Otp::expose).or(transaction.request_message.text());
    let is_otp = transaction.method == Method::Otp;
    match text {
        Some(text) => Ok(text),
        None if transaction.state.is_final() && (is_otp || transaction.request_message.is_asked_for()) => {
            Err(Problem::transaction_final(transaction.state))
        }
        None if is_otp => {
            Err(Problem::new(ErrorCode::OtpUsed, "a phone has claimed it; wait for the outcome"))
        }
        None => Err(Problem::not_found()),
    }
}

/// `POST /v1/transactions/{id}/resend`
pub(super) async fn resend(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    let caller = without_fields(&state, &request, payload).await?;
    let id = transaction_id(&request)?;
    Query::parse(request.query_string(), &[])?;
    let path = format!("/v1/transactions/{id}/resend");
    let meaning = || Meaning { client: &caller.id, method: "POST", path: &path, body: serde_json::json!({}) };
    let idempotency = idempotency(&request, meaning)?;
    state.refuse_while_draining()?;
    let (handle, client) = (state.handle.clone(), caller.id.clone());
    let resent = to_the_end(async move { handle.resend(&client, id, idempotency).await }).await?;
    Ok(private_json(StatusCode::OK, &TransactionView::of(&resent, &state.public_url)))
}

/// The caller of a call that has nothing to say: its body may be left out, be empty, or a form that authenticates it.
async fn without_fields(state: &DoorState, request: &Request, payload: Payload) -> Result<Caller, DoorError> {
    if is_form(request.headers()) {
        let (caller, body) = Caller::with_body(state, request, payload, Right::Transactions).await?;
        body.fields().only(&[])?;
        return Ok(caller);
    }
    let caller = Caller::with_right(state, request, Right::Transactions)?;
    read_no_fields(state, request, payload).await?;
    Ok(caller)
}

/// What cannot be an id is an unknown one.
pub(super) fn transaction_id(request: &Request) -> Result<TransactionId, Problem> {
    segment(request, 2)?.parse().map_err(|_| Problem::not_found())
}
