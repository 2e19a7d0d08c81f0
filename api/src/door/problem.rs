//! Problem documents (RFC 9457).

use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use schemars::JsonSchema;
use serde::Serialize;
use tocsin_model::{DeviceStatus, DurationMs, ErrorCode, FailureReason, Problem, SelectableDevice, State};

use super::reply::{close_after, json};
use super::request_id::RequestId;
use super::{Response, private, rfc3339};
use crate::openapi;

/// What `type` begins with; the code follows. It names the error and is no address: the pages are in `docs/errors`.
pub const ERROR_PAGE_BASE: &str = "https://tocsin.invalid/errors/";

/// What a handler gives back.
pub(crate) type Reply = Result<Response, DoorError>;

/// A problem on its way out, with what only HTTP knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DoorError {
    problem: Box<Problem>,
    /// The methods that the path has, for a 405.
    allow: Option<HeaderValue>,
    /// Whether the connection cannot be used any more, because part of the request was not read.
    closes: bool,
}

impl DoorError {
    /// 405 with the methods that the path has.
    pub(crate) fn http_method_not_allowed(allow: HeaderValue) -> Self {
        let problem =
            Problem::new(ErrorCode::HttpMethodNotAllowed, "the Allow header names the methods of this path");
        Self { problem: Box::new(problem), allow: Some(allow), closes: false }
    }

    /// A problem after which the connection is closed.
    pub(crate) fn closing(problem: Problem) -> Self {
        Self { problem: Box::new(problem), allow: None, closes: true }
    }

    /// The reply.
    pub(crate) fn render(&self, request_id: &RequestId) -> Response {
        let problem = &self.problem;
        let document = json(&ProblemDocument::of(problem, request_id));
        let mut reply = private(status_of(problem.code), "application/problem+json", document);
        let headers = reply.headers_mut();
        if let Some(challenge) = challenge_of(problem.code) {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(wait) = problem.retry_after {
            headers.insert(header::RETRY_AFTER, whole_seconds(wait).into());
        }
        if let Some(allow) = &self.allow {
            headers.insert(header::ALLOW, allow.clone());
        }
        if self.closes {
            close_after(&mut reply);
        }
        reply
    }
}

/// Whole seconds, rounded up, so that nobody comes back too early.
fn whole_seconds(wait: DurationMs) -> u64 {
    wait.get().div_ceil(1_000).max(1)
}

fn status_of(code: ErrorCode) -> StatusCode {
    StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// How to authenticate, which every 401 must say (RFC 9110, section 15.5.2).
const fn challenge_of(code: ErrorCode) -> Option<&'static str> {
    match code {
        ErrorCode::InvalidClient => Some("Basic realm=\"tocsin\""),
        ErrorCode::InvalidToken => Some("Bearer realm=\"tocsin\""),
        _ if code.status() == 401 => Some("Tocsin realm=\"tocsin\""),
        _ => None,
    }
}

/// An error (RFC 9457). Members without a value are left out.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Problem")]
pub(crate) struct ProblemDocument<'a> {
    /// Names the error; it is no address. The code follows after the last slash.
    #[schemars(extend("format" = "uri"))]
    r#type: String,
    /// The same at every occurrence.
    title: &'static str,
    status: u16,
    /// Stable; each has a page in `docs/errors`.
    #[schemars(schema_with = "openapi::error_code")]
    code: &'static str,
    /// What happened and what to do.
    detail: &'a str,
    /// The id of the call, by which the server's log tells more.
    request_id: &'a str,
    /// The field that is wrong, as a dotted path into the body, or the parameter or header.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// After which time to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// Tries left; left out where there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts_left: Option<u32>,
    /// The state of the transaction that the call met.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::state")]
    state: Option<&'static str>,
    /// Why that transaction failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::failure_reason")]
    reason: Option<&'static str>,
    /// The server's time, for a device whose clock is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::time")]
    server_time: Option<String>,
    /// What the device is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::device_status")]
    device_status: Option<&'static str>,
    /// The devices of which the call must name one.
    #[serde(skip_serializing_if = "Option::is_none")]
    devices: Option<Vec<SelectableDeviceView<'a>>>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "SelectableDevice")]
struct SelectableDeviceView<'a> {
    #[schemars(schema_with = "openapi::id")]
    device_id: String,
    name: &'a str,
    #[schemars(schema_with = "openapi::platform")]
    platform: &'static str,
    #[schemars(schema_with = "openapi::name")]
    app: &'a str,
}

impl<'a> SelectableDeviceView<'a> {
    fn of(device: &'a SelectableDevice) -> Self {
        Self {
            device_id: device.device_id.to_string(),
            name: &device.name,
            platform: device.platform.as_str(),
            app: device.app.as_str(),
        }
    }
}

impl<'a> ProblemDocument<'a> {
    fn of(problem: &'a Problem, request_id: &'a RequestId) -> Self {
        let code = problem.code;
        Self {
            r#type: format!("{ERROR_PAGE_BASE}{code}"),
            title: code.title(),
            status: code.status(),
            code: code.as_str(),
            detail: &problem.detail,
            request_id: request_id.as_str(),
            field: problem.field.as_deref(),
            retry_after_ms: problem.retry_after.map(DurationMs::get),
            attempts_left: problem.attempts_left,
            state: problem.state.map(State::as_str),
            reason: problem.state.and_then(State::failure_reason).map(FailureReason::as_str),
            server_time: problem.server_time.map(rfc3339),
            device_status: problem.device_status.map(DeviceStatus::as_str),
            devices: problem
                .devices
                .as_ref()
                .map(|devices| devices.iter().map(SelectableDeviceView::of).collect()),
        }
    }
}

impl From<Problem> for DoorError {
    fn from(problem: Problem) -> Self {
        Self { problem: Box::new(problem), allow: None, closes: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_401_says_how_to_authenticate_and_nothing_else_does() {
        for code in ErrorCode::ALL {
            assert_eq!(challenge_of(*code).is_some(), code.status() == 401, "{code}");
        }
    }

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        for (milliseconds, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2)] {
            assert_eq!(whole_seconds(DurationMs::new(milliseconds)), seconds, "{milliseconds}");
        }
    }
}
