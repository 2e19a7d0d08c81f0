//! How a gateway refuses a message.

use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::wire::Reply;

/// A refusal: a status, a body and perhaps a time to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmsRefusal {
    /// The status.
    pub status: StatusCode,
    /// The body, byte for byte.
    pub body: String,
    /// The value of `Retry-After`.
    pub retry_after: Option<String>,
}

impl SmsRefusal {
    /// With this status and no body.
    pub fn status(status: StatusCode) -> Self {
        Self { status, body: String::new(), retry_after: None }
    }

    /// As Twilio refuses by one of its error codes: 20003 is a 401, 20404 a 404, 20429 a 429, 20503 a 503, all others
    /// are a 400.
    pub fn twilio(code: u32) -> Self {
        let status = match code {
            20_003 => StatusCode::UNAUTHORIZED,
            20_404 => StatusCode::NOT_FOUND,
            20_429 => StatusCode::TOO_MANY_REQUESTS,
            20_503 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        let body = json!({
            "code": code,
            "message": format!("refused with {code}"),
            "more_info": format!("https://www.twilio.com/docs/errors/{code}"),
            "status": status.as_u16(),
        });
        Self { status, body: body.to_string(), retry_after: None }
    }

    /// The same with a time to wait.
    pub fn after(self, retry_after: &str) -> Self {
        Self { retry_after: Some(retry_after.to_owned()), ..self }
    }

    pub(super) fn reply(&self) -> Reply {
        let reply = Reply::new(self.status, self.body.clone());
        match self.retry_after.as_deref().and_then(|value| HeaderValue::from_str(value).ok()) {
            Some(value) => reply.header(header::RETRY_AFTER, value),
            None => reply,
        }
    }
}
