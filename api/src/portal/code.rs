//! Calls about one-time codes: the portal brings what its user typed, or fetches a code to deliver it by itself.
//!
//! A code stands in no log, metric or error of ours, and in no reply but the one that hands it out.

use std::rc::Rc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use tocsin_config::Right;
use tocsin_model::{OneTimeCode, Problem};

use super::caller::Caller;
use super::transactions::transaction_id;
use super::view::TransactionView;
use crate::door::{DoorState, Fields, Payload, Query, Reply, Request, private_json, to_the_end};

/// Longest text that is taken for a try, in characters.
pub(super) const CODE_CHARACTERS_MAX: usize = 64;

/// A code that the client delivers by itself.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Code")]
pub(super) struct CodeView<'a> {
    /// The code. Whoever has it can end the transaction: keep it out of logs.
    #[schemars(pattern("^[0-9]{4,10}$"))]
    code: &'a str,
}

/// `POST /v1/transactions/{id}/code`
pub(super) async fn check(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    let (caller, body) = Caller::with_body(&state, &request, payload, Right::Transactions).await?;
    let id = transaction_id(&request)?;
    Query::parse(request.query_string(), &[])?;
    let tried = code_of_body(&body.fields())?;
    let (handle, client) = (state.handle.clone(), caller.id.clone());
    // A caller that hangs up has tried all the same.
    let accepted = to_the_end(async move { handle.try_code(&client, id, tried).await }).await?;
    Ok(private_json(StatusCode::OK, &TransactionView::of(&accepted, &state.public_url)))
}

/// What the user typed, whatever it is: only a text that nobody can have typed is not a try.
fn code_of_body(fields: &Fields<'_>) -> Result<OneTimeCode, Problem> {
    fields.only(&["code"])?;
    let typed = fields.required_text("code")?;
    if !(1..=CODE_CHARACTERS_MAX).contains(&typed.chars().count()) {
        let why = format!("this must have 1 to {CODE_CHARACTERS_MAX} characters");
        return Err(fields.not_allowed("code", why));
    }
    Ok(OneTimeCode::new(typed.to_owned()))
}

/// `GET /v1/transactions/{id}/code`
pub(super) async fn hand_out(state: Rc<DoorState>, request: Request) -> Reply {
    let caller = Caller::with_right(&state, &request, Right::CustomDelivery)?;
    let id = transaction_id(&request)?;
    Query::parse(request.query_string(), &[])?;
    let code = state.handle.custom_code(&caller.id, id).await?;
    Ok(private_json(StatusCode::OK, &CodeView { code: code.expose() }))
}
