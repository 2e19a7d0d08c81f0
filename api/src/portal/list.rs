//! `GET /v1/transactions`: the client's own, newest first, in pages.

use std::rc::Rc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use tocsin_config::Right;
use tocsin_model::{ErrorCode, Problem, StateWord, TransactionId, User};
use tocsin_storage::TransactionQuery;

use super::caller::Caller;
use super::page::Page;
use super::user::user_of_path;
use super::view::TransactionView;
use crate::door::{DoorState, Query, Reply, Request, private_json};

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "TransactionList")]
pub(super) struct TransactionList<'a> {
    items: Vec<TransactionView<'a>>,
    /// Where the next page begins; left out at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// `GET /v1/transactions`
pub(super) async fn list(state: Rc<DoorState>, request: Request) -> Reply {
    let caller = Caller::with_right(&state, &request, Right::Transactions)?;
    let query = Query::parse(request.query_string(), &["user", "realm", "state", "limit", "cursor"])?;
    let user = user(&caller, &query)?;
    let word = query.text("state").map(state_word).transpose()?;
    let page = Page::read(&query, &binding(&caller, user.as_ref(), word))?;
    let asked = TransactionQuery {
        client: Some(caller.id.clone()),
        user,
        state: word,
        from: None,
        to: None,
        before: page.after.map(TransactionId::from_bytes),
        limit: page.limit,
    };
    let found = state.handle.transactions(asked).await?;
    let items =
        found.transactions.iter().map(|found| TransactionView::of(found, &state.public_url)).collect();
    let next_cursor = found.next.map(|last| page.cursor(*last.as_bytes()));
    Ok(private_json(StatusCode::OK, &TransactionList { items, next_cursor }))
}

fn user(caller: &Caller, query: &Query) -> Result<Option<User>, Problem> {
    match (query.text("user"), query.text("realm")) {
        (Some(text), realm) => user_of_path(caller, text, realm).map(Some),
        (None, None) => Ok(None),
        (None, Some(_)) => {
            let detail = "a realm is only taken beside a user";
            Err(Problem::new(ErrorCode::FieldRequired, detail).with_field("user"))
        }
    }
}

fn state_word(text: &str) -> Result<StateWord, Problem> {
    StateWord::parse(text)
        .ok_or_else(|| Problem::new(ErrorCode::InvalidField, "this is no state").with_field("state"))
}

/// What a cursor of this list is bound to.
fn binding<'a>(caller: &'a Caller, user: Option<&'a User>, word: Option<StateWord>) -> [&'a str; 5] {
    let (realm, id) = user.map_or(("", ""), |user| (user.realm.as_str(), user.id.as_str()));
    ["transactions", caller.id.as_str(), realm, id, word.map_or("", StateWord::as_str)]
}
