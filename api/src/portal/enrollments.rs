//! Calls about enrolments: open, read, confirm, cancel.

use std::rc::Rc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tocsin_config::Right;
use tocsin_engine::EnrollmentRequest;
use tocsin_model::{
    Device, DurationMs, Enrollment, EnrollmentId, EnrollmentStanding, Problem, TransactionId, UnixMs,
};

use super::activation::activation_url;
use super::caller::Caller;
use super::fingerprint::{Meaning, idempotency, user_meaning};
use super::start::time_to_live;
use super::timing::WAIT_S_MAX;
use super::user::user_of_body;
use crate::door::{
    DoorState, Fields, Payload, Query, Reply, Request, no_content, private_json, rfc3339, segment, to_the_end,
};
use crate::openapi;
use crate::qr;
use crate::view::UserView;

/// The fields of the body that opens one.
pub(super) const FIELDS: &[&str] = &["user", "app", "ttl_s", "authorized_by"];

/// The fields of the body that confirms one.
pub(super) const CONFIRM_FIELDS: &[&str] = &["number"];

/// An enrolment as portals read it. Members without a value are left out.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Enrollment")]
pub(super) struct EnrollmentView<'a> {
    #[schemars(schema_with = "openapi::id")]
    id: String,
    #[schemars(schema_with = "openapi::enrollment_state")]
    state: &'static str,
    user: UserView<'a>,
    #[schemars(schema_with = "openapi::name")]
    app: &'a str,
    #[schemars(schema_with = "openapi::time")]
    created_at: String,
    #[schemars(schema_with = "openapi::time")]
    expires_at: String,
    /// Only in the reply to the call that opens it.
    #[serde(skip_serializing_if = "Option::is_none")]
    activation_code: Option<&'a str>,
    /// A link that opens the app.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "uri"))]
    activation_url: Option<String>,
    /// The same link as a picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("contentEncoding" = "base64", "contentMediaType" = "image/png"))]
    qr_png_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::id")]
    device_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<DeviceSummary<'a>>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "DeviceSummary")]
struct DeviceSummary<'a> {
    name: &'a str,
    #[schemars(schema_with = "openapi::platform")]
    platform: &'static str,
    model: &'a str,
}

impl<'a> EnrollmentView<'a> {
    fn of(enrollment: &'a Enrollment, now: UnixMs) -> Self {
        Self {
            id: enrollment.id.to_string(),
            state: enrollment.standing(now).as_str(),
            user: UserView::of(&enrollment.user),
            app: enrollment.app.as_str(),
            created_at: rfc3339(enrollment.created_at),
            expires_at: rfc3339(enrollment.expires_at),
            activation_code: None,
            activation_url: None,
            qr_png_base64: None,
            device_id: None,
            device: None,
        }
    }

    /// With the phone of an enrolment that is completed or waits for its number.
    fn with_device(mut self, device: Option<&'a Device>) -> Self {
        self.device_id = device.map(|device| device.id.to_string());
        self.device = device.map(|device| DeviceSummary {
            name: &device.profile.name,
            platform: device.profile.platform.as_str(),
            model: &device.profile.model,
        });
        self
    }
}

/// `POST /v1/enrollments`
pub(super) async fn open(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    let (caller, body) = Caller::with_body(&state, &request, payload, Right::Enrollments).await?;
    Query::parse(request.query_string(), &[])?;
    let asked = enrollment_request(&caller, &request, &body.fields())?;
    state.refuse_while_draining()?;
    let (opening, by) = (state.clone(), caller.clone());
    let opened = to_the_end(async move {
        opening.handle.open_enrollment_within(asked, |user| by.check_start(&opening, Some(user))).await
    })
    .await?;
    let mut view = EnrollmentView::of(&opened.enrollment, state.handle.clock().now());
    if view.state == EnrollmentStanding::Pending.as_str() {
        let app = caller.config.apps.get(&opened.enrollment.app).ok_or_else(Problem::internal)?;
        let url = activation_url(app, state.handle.issuer(), &opened);
        view.activation_code = Some(opened.activation_code.expose());
        view.qr_png_base64 = Some(qr::png_base64(&url).map_err(|_| Problem::internal())?);
        view.activation_url = Some(url);
    }
    let status = if opened.seen_before { StatusCode::OK } else { StatusCode::CREATED };
    Ok(private_json(status, &view))
}

fn enrollment_request(
    caller: &Caller,
    request: &Request,
    fields: &Fields<'_>,
) -> Result<EnrollmentRequest, Problem> {
    fields.only(FIELDS)?;
    let user = user_of_body(caller, fields)?;
    let app = caller.permitted_app(fields.required_text("app")?)?;
    let time_to_live = time_to_live(fields)?;
    let mut body = json!({"user": user_meaning(&user), "app": app.as_str()});
    if let Some(length) = time_to_live {
        body["ttl_ms"] = DurationMs::get(length).into();
    }
    let authorized_by = authorized_by(fields)?;
    if let Some(id) = authorized_by {
        body["authorized_by"] = id.to_string().into();
    }
    let meaning = || Meaning { client: &caller.id, method: "POST", path: "/v1/enrollments", body };
    let idempotency = idempotency(request, meaning)?;
    Ok(EnrollmentRequest { client: caller.id.clone(), user, app, time_to_live, authorized_by, idempotency })
}

/// What cannot be an id is an unknown one, and an unknown one authorises nothing.
fn authorized_by(fields: &Fields<'_>) -> Result<Option<TransactionId>, Problem> {
    let Some(text) = fields.text("authorized_by")? else { return Ok(None) };
    let id =
        text.parse().map_err(|_| fields.not_allowed("authorized_by", "this must be a transaction's id"))?;
    Ok(Some(id))
}

/// `GET /v1/enrollments/{id}`, with `wait_s` held until a phone has followed it
pub(super) async fn read(state: Rc<DoorState>, request: Request) -> Reply {
    let caller = Caller::with_right(&state, &request, Right::Enrollments)?;
    let id = enrollment_id(&request)?;
    let wait_s = Query::parse(request.query_string(), &["wait_s"])?.number("wait_s", WAIT_S_MAX)?;
    // A held call keeps no head.
    drop(request);
    let enrollment = match wait_s {
        None => state.handle.enrollment(&caller.id, id).await?,
        Some(seconds) => {
            let longest = DurationMs::from_seconds(seconds.into());
            tokio::select! {
                biased;
                waited = state.handle.wait_for_enrollment(&caller.id, id, longest) => waited?,
                () = state.drain_begun() => state.handle.enrollment(&caller.id, id).await?,
            }
        }
    };
    view_of(&state, &enrollment).await
}

async fn view_of(state: &DoorState, enrollment: &Enrollment) -> Reply {
    let now = state.handle.clock().now();
    let standing = enrollment.standing(now);
    let has_phone = matches!(standing, EnrollmentStanding::Unconfirmed | EnrollmentStanding::Completed);
    let device = match enrollment.device_id().filter(|_| has_phone) {
        Some(id) => {
            let devices = state.handle.devices(&enrollment.user).await?;
            devices.into_iter().find(|device| device.id == id)
        }
        None => None,
    };
    let mut view = EnrollmentView::of(enrollment, now).with_device(device.as_ref());
    // A device whose own retention is over is still the one that was enrolled.
    view.device_id = enrollment.device_id().filter(|_| has_phone).map(|id| id.to_string());
    Ok(private_json(StatusCode::OK, &view))
}

/// Digits of the number that an enrolling phone shows.
const NUMBER_DIGITS: usize = 6;

/// `POST /v1/enrollments/{id}/confirm`
pub(super) async fn confirm(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    let (caller, body) = Caller::with_body(&state, &request, payload, Right::Enrollments).await?;
    let id = enrollment_id(&request)?;
    Query::parse(request.query_string(), &[])?;
    let fields = body.fields();
    fields.only(CONFIRM_FIELDS)?;
    let number = fields.required_text("number")?.to_owned();
    if number.len() != NUMBER_DIGITS || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(fields.not_allowed("number", "this must be six digits; nothing was counted").into());
    }
    let (handle, client) = (state.handle.clone(), caller.id.clone());
    let confirmed = to_the_end(async move { handle.confirm_enrollment(&client, id, &number).await }).await?;
    view_of(&state, &confirmed).await
}

/// `DELETE /v1/enrollments/{id}`
pub(super) async fn cancel(state: Rc<DoorState>, request: Request) -> Reply {
    let caller = Caller::with_right(&state, &request, Right::Enrollments)?;
    let id = enrollment_id(&request)?;
    Query::parse(request.query_string(), &[])?;
    let (handle, client) = (state.handle.clone(), caller.id.clone());
    to_the_end(async move { handle.cancel_enrollment(&client, id).await }).await?;
    Ok(no_content())
}

fn enrollment_id(request: &Request) -> Result<EnrollmentId, Problem> {
    segment(request, 2)?.parse().map_err(|_| Problem::not_found())
}
