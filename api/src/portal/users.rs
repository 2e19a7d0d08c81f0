//! Calls about users themselves: their profiles, their erasure, and what locks them.

use std::rc::Rc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use tocsin_config::Right;
use tocsin_model::{AuditActor, EmailAddress, PhoneNumber, Problem, User, UserProfile};

use super::caller::Caller;
use super::start::language;
use super::user::user_of_path;
use crate::door::{
    DoorState, Fields, Payload, Query, Reply, Request, no_content, private_json, segment, to_the_end,
};
use crate::view::LockView;

/// The fields of a profile.
pub(super) const FIELDS: &[&str] = &["phone_number", "email", "language"];

/// What is kept of a user; members without a value are left out.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "UserProfile")]
pub(super) struct ProfileView<'a> {
    /// Where SMS go to, in international form.
    #[serde(skip_serializing_if = "Option::is_none")]
    phone_number: Option<&'a str>,
    /// Where e-mails go to.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    /// A language tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<&'a str>,
}

impl<'a> ProfileView<'a> {
    fn of(profile: &'a UserProfile) -> Self {
        let UserProfile { phone_number, email, language } = profile;
        Self {
            phone_number: phone_number.as_ref().map(PhoneNumber::expose),
            email: email.as_ref().map(EmailAddress::expose),
            language: language.as_deref(),
        }
    }
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "LockList")]
pub(super) struct LockList {
    items: Vec<LockView>,
}

/// The user of the path.
fn user_of(caller: &Caller, request: &Request) -> Result<User, Problem> {
    let query = Query::parse(request.query_string(), &["realm"])?;
    user_of_path(caller, &segment(request, 2)?, query.text("realm"))
}

/// The caller, if it may keep users, and the user of the path.
fn called_about(state: &DoorState, request: &Request) -> Result<(Caller, User), Problem> {
    let caller = Caller::with_right(state, request, Right::Users)?;
    let user = user_of(&caller, request)?;
    Ok((caller, user))
}

/// `PUT /v1/users/{user}`: the whole profile; what it lacks is removed
pub(super) async fn put(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    let (caller, body) = Caller::with_body(&state, &request, payload, Right::Users).await?;
    let user = user_of(&caller, &request)?;
    let profile = profile(&body.fields())?;
    let (handle, by) = (state.handle.clone(), AuditActor::Client(caller.id.clone()));
    let kept = profile.clone();
    to_the_end(async move { handle.put_profile(by, &user, kept).await }).await?;
    Ok(private_json(StatusCode::OK, &ProfileView::of(&profile)))
}

fn profile(fields: &Fields<'_>) -> Result<UserProfile, Problem> {
    fields.only(FIELDS)?;
    Ok(UserProfile {
        phone_number: phone_number(fields)?,
        email: email(fields)?,
        language: language(fields)?,
    })
}

fn phone_number(fields: &Fields<'_>) -> Result<Option<PhoneNumber>, Problem> {
    let Some(text) = fields.text("phone_number")? else { return Ok(None) };
    let detail = "this must be an international number such as +15055551234";
    PhoneNumber::parse(text).map(Some).ok_or_else(|| fields.not_allowed("phone_number", detail))
}

fn email(fields: &Fields<'_>) -> Result<Option<EmailAddress>, Problem> {
    let Some(text) = fields.text("email")? else { return Ok(None) };
    let detail = "this must be an e-mail address such as alice@example.com";
    EmailAddress::parse(text).map(Some).ok_or_else(|| fields.not_allowed("email", detail))
}

/// `GET /v1/users/{user}`
pub(super) async fn read(state: Rc<DoorState>, request: Request) -> Reply {
    let (_, user) = called_about(&state, &request)?;
    let profile = state.handle.profile(&user).await?.ok_or_else(Problem::not_found)?;
    Ok(private_json(StatusCode::OK, &ProfileView::of(&profile)))
}

/// `DELETE /v1/users/{user}`: one who is not there is erased as well
pub(super) async fn erase(state: Rc<DoorState>, request: Request) -> Reply {
    let (caller, user) = called_about(&state, &request)?;
    let (handle, by) = (state.handle.clone(), AuditActor::Client(caller.id.clone()));
    to_the_end(async move { handle.erase_user(by, &user).await }).await?;
    Ok(no_content())
}

/// `GET /v1/users/{user}/locks`
pub(super) async fn locks(state: Rc<DoorState>, request: Request) -> Reply {
    let (_, user) = called_about(&state, &request)?;
    let locks = state.handle.locks(&user).await?;
    Ok(private_json(StatusCode::OK, &LockList { items: locks.iter().map(LockView::of).collect() }))
}

/// `DELETE /v1/users/{user}/locks`: a user without locks has none afterwards, too
pub(super) async fn unlock(state: Rc<DoorState>, request: Request) -> Reply {
    let (caller, user) = called_about(&state, &request)?;
    let (handle, by) = (state.handle.clone(), AuditActor::Client(caller.id.clone()));
    to_the_end(async move { handle.unlock(by, &user).await }).await?;
    Ok(no_content())
}
