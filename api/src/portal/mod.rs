//! The portal door: transactions, enrolments and devices, for portals and gateways.
//!
//! Every call is authenticated before its body is read, unless the body is the form that authenticates it. What a client may not see does not exist for it.

mod activation;
mod caller;
mod code;
mod devices;
mod document;
mod enrollments;
mod events;
mod fingerprint;
mod list;
mod methods;
mod page;
mod start;
mod timing;
mod transactions;
mod user;
mod users;
mod view;

use std::rc::Rc;
use std::sync::Arc;

use tocsin_engine::callback::RenderView;
use tocsin_model::Transaction;

use self::caller::Caller;
use crate::door::{DoorName, DoorState, Query, Reply, Request};
use crate::openapi::{self, Call, Verb};

pub(crate) use document::about;

/// Writes the view that callbacks with `body = "full"` carry, as this door replies it; links begin with `public_url`.
pub fn render_view(public_url: &str) -> RenderView {
    let public_url = public_url.to_owned();
    Arc::new(move |transaction: &Transaction| {
        // A view holds texts, numbers and lists only, so that it always has a JSON form.
        serde_json::to_vec(&view::TransactionView::of(transaction, &public_url)).unwrap_or_default()
    })
}

/// The calls of this door, for its routes and its document.
pub(crate) const CALLS: &[Call] = &[
    Call::new(Verb::Get, "/v1/transactions", |call| call.by(list::list), document::list_transactions),
    Call::new(
        Verb::Post,
        "/v1/transactions",
        |call| call.with_body(transactions::start),
        document::start_transaction,
    ),
    Call::new(
        Verb::Get,
        "/v1/transactions/{id}",
        |call| call.by(transactions::read),
        document::read_transaction,
    ),
    Call::new(
        Verb::Delete,
        "/v1/transactions/{id}",
        |call| call.by(transactions::cancel),
        document::cancel_transaction,
    ),
    Call::new(
        Verb::Post,
        "/v1/transactions/{id}/code",
        |call| call.with_body(code::check),
        document::check_code,
    ),
    Call::new(
        Verb::Get,
        "/v1/transactions/{id}/code",
        |call| call.by(code::hand_out),
        document::hand_out_code,
    ),
    Call::new(
        Verb::Post,
        "/v1/transactions/{id}/resend",
        |call| call.with_body(transactions::resend),
        document::resend_push,
    ),
    Call::new(
        Verb::Get,
        "/v1/transactions/{id}/qr.png",
        |call| call.by(transactions::qr_picture),
        document::qr_picture,
    ),
    Call::new(
        Verb::Get,
        "/v1/transactions/{id}/events",
        |call| call.by(events::events),
        document::transaction_events,
    ),
    Call::new(Verb::Get, "/v1/users/{user}/methods", |call| call.by(methods::list), document::list_methods),
    Call::new(Verb::Put, "/v1/users/{user}", |call| call.with_body(users::put), document::put_profile),
    Call::new(Verb::Get, "/v1/users/{user}", |call| call.by(users::read), document::read_profile),
    Call::new(Verb::Delete, "/v1/users/{user}", |call| call.by(users::erase), document::erase_user),
    Call::new(Verb::Get, "/v1/users/{user}/locks", |call| call.by(users::locks), document::list_locks),
    Call::new(Verb::Delete, "/v1/users/{user}/locks", |call| call.by(users::unlock), document::remove_locks),
    Call::new(
        Verb::Post,
        "/v1/enrollments",
        |call| call.with_body(enrollments::open),
        document::open_enrollment,
    ),
    Call::new(
        Verb::Get,
        "/v1/enrollments/{id}",
        |call| call.by(enrollments::read),
        document::read_enrollment,
    ),
    Call::new(
        Verb::Delete,
        "/v1/enrollments/{id}",
        |call| call.by(enrollments::cancel),
        document::cancel_enrollment,
    ),
    Call::new(
        Verb::Post,
        "/v1/enrollments/{id}/confirm",
        |call| call.with_body(enrollments::confirm),
        document::confirm_enrollment,
    ),
    Call::new(Verb::Get, "/v1/users/{user}/devices", |call| call.by(devices::list), document::list_devices),
    Call::new(
        Verb::Delete,
        "/v1/users/{user}/devices",
        |call| call.by(devices::remove_all),
        document::remove_devices,
    ),
    Call::new(
        Verb::Patch,
        "/v1/users/{user}/devices/{device_id}",
        |call| call.with_body(devices::change),
        document::change_device,
    ),
    Call::new(
        Verb::Delete,
        "/v1/users/{user}/devices/{device_id}",
        |call| call.by(devices::remove),
        document::remove_device,
    ),
    Call::new(Verb::Get, "/v1/openapi.json", |call| call.by(describe), document::document),
];

/// `GET /v1/openapi.json`, for any client
async fn describe(state: Rc<DoorState>, request: Request) -> Reply {
    Caller::of(&state, &request)?;
    Query::parse(request.query_string(), &[])?;
    Ok(openapi::served(DoorName::Portal))
}
