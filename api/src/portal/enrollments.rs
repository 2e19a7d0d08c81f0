//! Calls about enrolments: open, read, cancel.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::json;
use tocsin_config::Right;
use tocsin_engine::EnrollmentRequest;
use tocsin_model::{Device, DurationMs, Enrollment, EnrollmentId, EnrollmentState, Problem, UnixMs};

use super::caller::Caller;
use super::fingerprint::{Meaning, idempotency, user_meaning};
use super::start::time_to_live;
use super::user::user_of_body;
use super::view::UserView;
use crate::door::{
    DoorState, Fields, MediaType, Query, Reply, parse_object, private_json, read_json_body, rfc3339, segment,
    to_the_end,
};

/// An enrolment as portals read it. Members without a value are left out.
#[derive(Serialize)]
struct EnrollmentView<'a> {
    id: String,
    state: &'static str,
    user: UserView<'a>,
    app: &'a str,
    created_at: String,
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    activation_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<DeviceSummary<'a>>,
}

#[derive(Serialize)]
struct DeviceSummary<'a> {
    name: &'a str,
    platform: &'static str,
    model: &'a str,
}

impl<'a> EnrollmentView<'a> {
    fn of(enrollment: &'a Enrollment, now: UnixMs) -> Self {
        let device_id = match &enrollment.state {
            EnrollmentState::Completed { device_id, .. } => Some(device_id.to_string()),
            EnrollmentState::Pending | EnrollmentState::Failed => None,
        };
        Self {
            id: enrollment.id.to_string(),
            state: state_word(enrollment, now),
            user: UserView::of(&enrollment.user),
            app: enrollment.app.as_str(),
            created_at: rfc3339(enrollment.created_at),
            expires_at: rfc3339(enrollment.expires_at),
            activation_code: None,
            device_id,
            device: None,
        }
    }
}

/// Expiry is not stored: it is what a pending enrolment comes to.
fn state_word(enrollment: &Enrollment, now: UnixMs) -> &'static str {
    match enrollment.state {
        EnrollmentState::Pending if now >= enrollment.expires_at => "expired",
        EnrollmentState::Pending => "pending",
        EnrollmentState::Completed { .. } => "completed",
        EnrollmentState::Failed => "failed",
    }
}

/// `POST /v1/enrollments`
pub(super) async fn open(state: Data<DoorState>, request: HttpRequest, payload: Payload) -> Reply {
    let caller = Caller::with_right(&state, &request, Right::Enrollments)?;
    Query::parse(request.query_string(), &[])?;
    let body = read_json_body(&request, payload, state.body_bytes_max, MediaType::Required).await?;
    let asked = enrollment_request(&caller, &request, &body)?;
    state.refuse_while_draining()?;
    let handle = state.handle.clone();
    let opened = to_the_end(async move { handle.open_enrollment(asked).await }).await?;
    let mut view = EnrollmentView::of(&opened.enrollment, state.handle.clock().now());
    if view.state == "pending" {
        view.activation_code = Some(opened.activation_code.expose());
    }
    let status = if opened.seen_before { StatusCode::OK } else { StatusCode::CREATED };
    Ok(private_json(status, &view))
}

fn enrollment_request(
    caller: &Caller,
    request: &HttpRequest,
    body: &[u8],
) -> Result<EnrollmentRequest, Problem> {
    let members = parse_object(body)?;
    let fields = Fields::of(&members);
    fields.only(&["user", "app", "ttl_s"])?;
    let user = user_of_body(caller, &fields)?;
    let app = caller.permitted_app(fields.required_text("app")?)?;
    let time_to_live = time_to_live(&fields)?;
    let mut body = json!({"user": user_meaning(&user), "app": app.as_str()});
    if let Some(length) = time_to_live {
        body["ttl_ms"] = DurationMs::get(length).into();
    }
    let meaning = Meaning { client: &caller.id, method: "POST", path: "/v1/enrollments", body };
    let idempotency = idempotency(request, &meaning)?;
    Ok(EnrollmentRequest { client: caller.id.clone(), user, app, time_to_live, idempotency })
}

/// `GET /v1/enrollments/{id}`
pub(super) async fn read(state: Data<DoorState>, request: HttpRequest) -> Reply {
    let caller = Caller::with_right(&state, &request, Right::Enrollments)?;
    let id = enrollment_id(&request)?;
    Query::parse(request.query_string(), &[])?;
    let enrollment = state.handle.enrollment(&caller.id, id).await?;
    let mut view = EnrollmentView::of(&enrollment, state.handle.clock().now());
    let device = enrolled_device(&state, &enrollment).await?;
    view.device = device.as_ref().map(|device| DeviceSummary {
        name: &device.profile.name,
        platform: device.profile.platform.as_str(),
        model: &device.profile.model,
    });
    Ok(private_json(StatusCode::OK, &view))
}

async fn enrolled_device(state: &DoorState, enrollment: &Enrollment) -> Result<Option<Device>, Problem> {
    let EnrollmentState::Completed { device_id, .. } = &enrollment.state else { return Ok(None) };
    let devices = state.handle.devices(&enrollment.user).await?;
    Ok(devices.into_iter().find(|device| device.id == *device_id))
}

/// `DELETE /v1/enrollments/{id}`
pub(super) async fn cancel(state: Data<DoorState>, request: HttpRequest) -> Reply {
    let caller = Caller::with_right(&state, &request, Right::Enrollments)?;
    let id = enrollment_id(&request)?;
    Query::parse(request.query_string(), &[])?;
    let (handle, client) = (state.handle.clone(), caller.id.clone());
    to_the_end(async move { handle.cancel_enrollment(&client, id).await }).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn enrollment_id(request: &HttpRequest) -> Result<EnrollmentId, Problem> {
    segment(request, 2)?.parse().map_err(|_| Problem::not_found())
}
