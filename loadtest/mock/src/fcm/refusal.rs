//! Google's errors: HTTP status, gRPC status, FCM's own code and the details around them.

use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::wire::Reply;

const FCM_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
const APNS_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.ApnsError";
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";
const QUOTA_FAILURE: &str = "type.googleapis.com/google.rpc.QuotaFailure";
const INVALID_TOKEN_MESSAGE: &str = "The registration token is not a valid FCM registration token";

/// A refused send as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FcmRefusal {
    /// 400 INVALID_ARGUMENT with a BadRequest detail; `fcm_error` says whether FCM itself found it, or
    /// the JSON reader before it.
    InvalidArgument {
        /// The path of the field.
        field: String,
        /// What is wrong with it.
        description: String,
        /// Whether an FcmError detail goes with it.
        fcm_error: bool,
    },
    /// 400 INVALID_ARGUMENT: no registration token of FCM.
    InvalidToken,
    /// 401 UNAUTHENTICATED without FcmError: the access token is missing, unknown or expired.
    Unauthenticated,
    /// 401 THIRD_PARTY_AUTH_ERROR: Firebase's credential for APNs is broken.
    ThirdPartyAuthError,
    /// 403 SENDER_ID_MISMATCH: the token belongs to another project.
    SenderIdMismatch,
    /// 403 PERMISSION_DENIED without FcmError: the account may not send.
    PermissionDenied,
    /// 404 UNREGISTERED: the app was removed or the token is too old.
    Unregistered,
    /// 404 NOT_FOUND without FcmError: no such project.
    ProjectNotFound,
    /// 429 QUOTA_EXCEEDED, with `Retry-After` if given.
    QuotaExceeded {
        /// The value of `Retry-After`: seconds or an HTTP date.
        retry_after: Option<String>,
    },
    /// 500 INTERNAL.
    Internal,
    /// 503 UNAVAILABLE, with `Retry-After` if given.
    Unavailable {
        /// The value of `Retry-After`: seconds or an HTTP date.
        retry_after: Option<String>,
    },
    /// Anything else: a body without details, no JSON, no body.
    Undocumented {
        /// The status.
        status: StatusCode,
        /// The body, byte for byte.
        body: String,
    },
}

/// Status, gRPC status, FCM's code and message of one refusal.
struct Row {
    http: StatusCode,
    status: &'static str,
    code: Option<&'static str>,
    message: &'static str,
}

impl FcmRefusal {
    /// A field that FCM refuses.
    pub(super) fn field(field: &str, description: impl Into<String>) -> Self {
        Self::InvalidArgument { field: field.to_owned(), description: description.into(), fcm_error: true }
    }

    /// JSON that does not fit the message type.
    pub(super) fn json(field: &str, description: impl Into<String>) -> Self {
        Self::InvalidArgument { field: field.to_owned(), description: description.into(), fcm_error: false }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Undocumented { status, .. } => *status,
            documented => documented.row().http,
        }
    }

    /// FCM's code where there is one, else the gRPC status.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Undocumented { .. } => "undocumented",
            documented => {
                let row = documented.row();
                row.code.unwrap_or(row.status)
            }
        }
    }

    pub(super) fn reply(&self) -> Reply {
        if let Self::Undocumented { status, body } = self {
            return Reply::new(*status, body.clone());
        }
        let row = self.row();
        let mut error =
            json!({"code": row.http.as_u16(), "message": self.message(&row), "status": row.status});
        let details = self.details(&row);
        if !details.is_empty() {
            error["details"] = Value::Array(details);
        }
        self.headers().fold(Reply::json(row.http, &json!({"error": error})), |reply, (name, value)| {
            reply.header(name, value)
        })
    }

    fn row(&self) -> Row {
        let (http, status, code, message) = match self {
            Self::InvalidArgument { fcm_error: true, .. } => {
                (400, "INVALID_ARGUMENT", Some("INVALID_ARGUMENT"), "Request contains an invalid argument.")
            }
            Self::InvalidArgument { fcm_error: false, .. } => {
                (400, "INVALID_ARGUMENT", None, "Invalid JSON payload received.")
            }
            Self::InvalidToken => (400, "INVALID_ARGUMENT", Some("INVALID_ARGUMENT"), INVALID_TOKEN_MESSAGE),
            Self::Unauthenticated => {
                (401, "UNAUTHENTICATED", None, "Request had invalid authentication credentials.")
            }
            Self::ThirdPartyAuthError => (
                401,
                "UNAUTHENTICATED",
                Some("THIRD_PARTY_AUTH_ERROR"),
                "Auth error from APNS or Web Push Service",
            ),
            Self::SenderIdMismatch => {
                (403, "PERMISSION_DENIED", Some("SENDER_ID_MISMATCH"), "SenderId mismatch")
            }
            Self::PermissionDenied => {
                (403, "PERMISSION_DENIED", None, "Permission 'cloudmessaging.messages.create' denied.")
            }
            Self::Unregistered => (404, "NOT_FOUND", Some("UNREGISTERED"), "Requested entity was not found."),
            Self::ProjectNotFound => (404, "NOT_FOUND", None, "Requested entity was not found."),
            Self::QuotaExceeded { .. } => {
                (429, "RESOURCE_EXHAUSTED", Some("QUOTA_EXCEEDED"), "Quota exceeded for the sending rate.")
            }
            Self::Internal | Self::Undocumented { .. } => {
                (500, "INTERNAL", Some("INTERNAL"), "Internal error encountered.")
            }
            Self::Unavailable { .. } => {
                (503, "UNAVAILABLE", Some("UNAVAILABLE"), "The service is currently unavailable.")
            }
        };
        Row {
            http: StatusCode::from_u16(http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            status,
            code,
            message,
        }
    }

    fn message(&self, row: &Row) -> String {
        match self {
            Self::InvalidArgument { description, .. } => format!("{} {description}", row.message),
            _ => row.message.to_owned(),
        }
    }

    fn details(&self, row: &Row) -> Vec<Value> {
        let own = row.code.map(|code| json!({"@type": FCM_ERROR, "errorCode": code}));
        let more = match self {
            Self::InvalidArgument { field, description, .. } => Some(violation(field, description)),
            Self::InvalidToken => Some(violation("message.token", INVALID_TOKEN_MESSAGE)),
            Self::QuotaExceeded { .. } => Some(json!({"@type": QUOTA_FAILURE, "violations": [
                {"subject": "project", "description": "Message rate quota exceeded"}]})),
            Self::ThirdPartyAuthError => {
                Some(json!({"@type": APNS_ERROR, "statusCode": 403, "reason": "InvalidProviderToken"}))
            }
            _ => None,
        };
        own.into_iter().chain(more).collect()
    }

    fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let retry_after = match self {
            Self::QuotaExceeded { retry_after } | Self::Unavailable { retry_after } => retry_after.as_deref(),
            _ => None,
        };
        let retry_after = retry_after
            .and_then(|value| HeaderValue::from_str(value).ok())
            .map(|value| (http::header::RETRY_AFTER, value));
        let challenge = matches!(self, Self::Unauthenticated).then(|| {
            let value = HeaderValue::from_static("Bearer realm=\"https://accounts.google.com/\"");
            (http::header::WWW_AUTHENTICATE, value)
        });
        retry_after.into_iter().chain(challenge)
    }
}

fn violation(field: &str, description: &str) -> Value {
    json!({"@type": BAD_REQUEST, "fieldViolations": [{"field": field, "description": description}]})
}
