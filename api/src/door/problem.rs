//! Problem documents (RFC 9457).

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use tocsin_model::{DeviceStatus, DurationMs, ErrorCode, FailureReason, Problem, SelectableDevice, State};

use super::request_id::RequestId;
use super::rfc3339;

/// What `type` begins with; the code follows. It names the error and is no address: the pages are in `docs/errors`.
pub const ERROR_PAGE_BASE: &str = "https://tocsin.invalid/errors/";

/// What a handler gives back.
pub(crate) type Reply = Result<HttpResponse, DoorError>;

/// A problem on its way out, with what only HTTP knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DoorError {
    problem: Box<Problem>,
    /// The methods that the path has, for a 405.
    allow: Option<&'static str>,
    /// Whether the connection cannot be used any more, because part of the request was not read.
    closes: bool,
}

impl DoorError {
    /// 405 with the methods that the path has.
    pub(crate) fn http_method_not_allowed(allow: &'static str) -> Self {
        let problem =
            Problem::new(ErrorCode::HttpMethodNotAllowed, "the Allow header names the methods of this path");
        Self { problem: Box::new(problem), allow: Some(allow), closes: false }
    }

    /// A problem after which the connection is closed.
    pub(crate) fn closing(problem: Problem) -> Self {
        Self { problem: Box::new(problem), allow: None, closes: true }
    }

    /// The reply.
    pub(crate) fn render(&self, request_id: &RequestId) -> HttpResponse {
        let problem = &self.problem;
        let mut reply = HttpResponse::build(status_of(problem.code));
        reply.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        reply.insert_header((header::CACHE_CONTROL, "no-store"));
        if let Some(challenge) = challenge_of(problem.code) {
            reply.insert_header((header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge)));
        }
        if let Some(wait) = problem.retry_after {
            reply.insert_header((header::RETRY_AFTER, whole_seconds(wait)));
        }
        if let Some(allow) = self.allow {
            reply.insert_header((header::ALLOW, HeaderValue::from_static(allow)));
        }
        if self.closes {
            reply.force_close();
        }
        reply.json(Document::of(problem, request_id))
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

/// The members of a problem document; those without a value are left out.
#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts_left: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    devices: Option<Vec<SelectableDeviceView<'a>>>,
}

#[derive(Serialize)]
struct SelectableDeviceView<'a> {
    device_id: String,
    name: &'a str,
    platform: &'static str,
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

impl<'a> Document<'a> {
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

impl fmt::Display for DoorError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.problem, formatter)
    }
}

impl ResponseError for DoorError {
    fn status_code(&self) -> StatusCode {
        status_of(self.problem.code)
    }

    /// Only the status: the document is written where the request id is known.
    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
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
