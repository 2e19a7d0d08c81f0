//! A portal: typed calls to the portal door, each with a deadline.
//!
//! It knows the interface by its documents only; it shares no wire type with the server, so that a slip
//! in a name shows here.

mod events;
mod view;

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tocsin_model::{DeviceId, EnrollmentId, TransactionId};

use crate::LoadtestError;
use crate::error::ensure;
use crate::http_client::{CallError, HttpClient, Reply, json_type};

pub use events::{EventStream, TransactionEvent};
pub(crate) use view::state_of;
pub use view::{
    AnswerView, DeliveryView, DeviceList, DeviceView, EnrollmentView, ProblemDocument, TransactionView,
};

/// Longest wait for a reply that is not held.
const REPLY_DEADLINE: Duration = Duration::from_secs(10);

/// Who a portal is.
#[derive(Clone)]
pub struct PortalCredentials {
    /// The client's id.
    pub client_id: String,
    /// Its secret.
    pub secret: String,
}

impl fmt::Debug for PortalCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PortalCredentials")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// A portal. Clones share their connections.
#[derive(Clone)]
pub struct Portal {
    http: HttpClient,
    base: String,
    authorization: HeaderValue,
}

impl fmt::Debug for Portal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Portal").field("base", &self.base).finish_non_exhaustive()
    }
}

/// What a transaction is started with.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct StartFields {
    /// The authentication type.
    pub r#type: String,
    /// The user's id in the client's default realm; empty where a phone is to say whose it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Where a code goes, should one be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_number: Option<String>,
    /// Shown on the phone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Shown on the phone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Label and value of lines shown on the phone.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "view::details")]
    pub details: Vec<(String, String)>,
    /// A shorter life than the type's, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u64>,
    /// Where the outcome is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
}

impl StartFields {
    /// A start of this type for this user, with the type's own texts.
    pub fn new(type_name: &str, user: &str) -> Self {
        Self { r#type: type_name.to_owned(), user: user.to_owned(), ..Self::default() }
    }

    /// A start of this type for whoever claims it.
    pub fn anonymous(type_name: &str) -> Self {
        Self::new(type_name, "")
    }
}

/// A transaction that a start has made or found.
#[derive(Clone, Debug)]
pub struct Started {
    /// Whether the idempotency key had been seen.
    pub seen_before: bool,
    /// The transaction.
    pub view: TransactionView,
}

impl Portal {
    /// A portal that calls the door at `base` (`http://ADDRESS:PORT`).
    pub fn new(base: &str, credentials: &PortalCredentials) -> Result<Self, LoadtestError> {
        let pair = format!("{}:{}", credentials.client_id, credentials.secret);
        let mut authorization = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))
            .map_err(|error| LoadtestError::Unexpected(error.to_string()))?;
        authorization.set_sensitive(true);
        Ok(Self { http: HttpClient::new(), base: base.to_owned(), authorization })
    }

    /// `POST /v1/transactions`
    pub async fn start(
        &self,
        fields: &StartFields,
        idempotency_key: Option<&str>,
    ) -> Result<Started, LoadtestError> {
        let body = serde_json::to_vec(fields).map_err(unwritable)?;
        let mut request = self.request(Method::POST, "/v1/transactions", body.into())?;
        if let Some(key) = idempotency_key {
            let key = HeaderValue::try_from(key).map_err(unwritable)?;
            request.headers_mut().insert("idempotency-key", key);
        }
        let reply = self.http.call(request, REPLY_DEADLINE).await?;
        let seen_before = match reply.status {
            StatusCode::CREATED => false,
            StatusCode::OK => true,
            _ => return Err(refused(&reply)),
        };
        Ok(Started { seen_before, view: read(&reply)? })
    }

    /// `POST /v1/transactions` with `Prefer: wait`: the reply is held until the outcome, or for `wait_s`.
    pub async fn start_and_wait(
        &self,
        fields: &StartFields,
        wait_s: u64,
    ) -> Result<TransactionView, LoadtestError> {
        let body = serde_json::to_vec(fields).map_err(unwritable)?;
        let mut request = self.request(Method::POST, "/v1/transactions", body.into())?;
        let preference = HeaderValue::try_from(format!("wait={wait_s}")).map_err(unwritable)?;
        request.headers_mut().insert("prefer", preference);
        let reply = self.http.call(request, Duration::from_secs(wait_s) + REPLY_DEADLINE).await?;
        match reply.status {
            StatusCode::OK | StatusCode::CREATED => read(&reply),
            _ => Err(refused(&reply)),
        }
    }

    /// `GET /v1/transactions/{id}/events`
    pub async fn events(&self, id: TransactionId) -> Result<EventStream, LoadtestError> {
        let request = self.request(Method::GET, &format!("/v1/transactions/{id}/events"), Bytes::new())?;
        let response = self.http.open(request, REPLY_DEADLINE).await?;
        let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_stream = response.status() == StatusCode::OK && media_type == Some("text/event-stream");
        ensure(is_stream, || format!("a stream was asked for, but there came {}", response.status()))?;
        Ok(EventStream::new(response.into_body()))
    }

    /// `GET /v1/transactions/{id}`
    pub async fn transaction(&self, id: TransactionId) -> Result<TransactionView, LoadtestError> {
        self.get(&format!("/v1/transactions/{id}"), REPLY_DEADLINE).await
    }

    /// The long poll: returns at the outcome, with `after` at any later revision, or after `wait_s`.
    pub async fn wait(
        &self,
        id: TransactionId,
        wait_s: u64,
        after: Option<u32>,
    ) -> Result<TransactionView, LoadtestError> {
        let after = after.map(|revision| format!("&after={revision}")).unwrap_or_default();
        let deadline = Duration::from_secs(wait_s) + REPLY_DEADLINE;
        self.get(&format!("/v1/transactions/{id}?wait_s={wait_s}{after}"), deadline).await
    }

    /// `DELETE /v1/transactions/{id}`
    pub async fn cancel(&self, id: TransactionId) -> Result<TransactionView, LoadtestError> {
        let request = self.request(Method::DELETE, &format!("/v1/transactions/{id}"), Bytes::new())?;
        self.expect(request, StatusCode::OK, REPLY_DEADLINE).await
    }

    /// `POST /v1/transactions/{id}/code`
    pub async fn check_code(&self, id: TransactionId, code: &str) -> Result<TransactionView, LoadtestError> {
        let body = json!({ "code": code }).to_string();
        let request = self.request(Method::POST, &format!("/v1/transactions/{id}/code"), body.into())?;
        self.expect(request, StatusCode::OK, REPLY_DEADLINE).await
    }

    /// `DELETE /v1/users/{user}/locks`
    pub async fn remove_locks(&self, user: &str) -> Result<(), LoadtestError> {
        self.delete(&format!("/v1/users/{user}/locks")).await
    }

    /// `POST /v1/enrollments`
    pub async fn open_enrollment(&self, user: &str, app: &str) -> Result<EnrollmentView, LoadtestError> {
        let body = Value::to_string(&json!({"user": user, "app": app}));
        let request = self.request(Method::POST, "/v1/enrollments", body.into())?;
        self.expect(request, StatusCode::CREATED, REPLY_DEADLINE).await
    }

    /// `GET /v1/enrollments/{id}`
    pub async fn enrollment(&self, id: EnrollmentId) -> Result<EnrollmentView, LoadtestError> {
        self.get(&format!("/v1/enrollments/{id}"), REPLY_DEADLINE).await
    }

    /// `POST /v1/enrollments/{id}/confirm`
    pub async fn confirm_enrollment(
        &self,
        id: EnrollmentId,
        number: &str,
    ) -> Result<EnrollmentView, LoadtestError> {
        let body = Value::to_string(&json!({ "number": number }));
        let request = self.request(Method::POST, &format!("/v1/enrollments/{id}/confirm"), body.into())?;
        self.expect(request, StatusCode::OK, REPLY_DEADLINE).await
    }

    /// `GET /v1/users/{user}/devices`
    pub async fn devices(&self, user: &str) -> Result<DeviceList, LoadtestError> {
        self.get(&format!("/v1/users/{user}/devices"), REPLY_DEADLINE).await
    }

    /// `PATCH /v1/users/{user}/devices/{device_id}`: `active` or `suspended`.
    pub async fn set_device_status(
        &self,
        user: &str,
        device_id: DeviceId,
        status: &str,
    ) -> Result<DeviceView, LoadtestError> {
        let path = format!("/v1/users/{user}/devices/{device_id}");
        let body = json!({"status": status}).to_string();
        let request = self.request(Method::PATCH, &path, body.into())?;
        self.expect(request, StatusCode::OK, REPLY_DEADLINE).await
    }

    /// `DELETE /v1/users/{user}/devices/{device_id}`
    pub async fn remove_device(&self, user: &str, device_id: DeviceId) -> Result<(), LoadtestError> {
        self.delete(&format!("/v1/users/{user}/devices/{device_id}")).await
    }

    async fn delete(&self, path: &str) -> Result<(), LoadtestError> {
        let request = self.request(Method::DELETE, path, Bytes::new())?;
        let reply = self.http.call(request, REPLY_DEADLINE).await?;
        if reply.status == StatusCode::NO_CONTENT { Ok(()) } else { Err(refused(&reply)) }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, deadline: Duration) -> Result<T, LoadtestError> {
        let request = self.request(Method::GET, path, Bytes::new())?;
        self.expect(request, StatusCode::OK, deadline).await
    }

    async fn expect<T: DeserializeOwned>(
        &self,
        request: Request<Bytes>,
        status: StatusCode,
        deadline: Duration,
    ) -> Result<T, LoadtestError> {
        let reply = self.http.call(request, deadline).await?;
        if reply.status == status { read(&reply) } else { Err(refused(&reply)) }
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Bytes>, LoadtestError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(AUTHORIZATION, self.authorization.clone());
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, json_type());
        }
        request.body(body).map_err(unwritable)
    }
}

impl LoadtestError {
    /// Whether the call was cut, so that nobody knows what became of it.
    pub fn is_cut(&self) -> bool {
        matches!(self, Self::Call(CallError::Cut { .. }))
    }
}

fn read<T: DeserializeOwned>(reply: &Reply) -> Result<T, LoadtestError> {
    serde_json::from_slice(&reply.body)
        .map_err(|error| LoadtestError::Unreadable { status: reply.status, why: error.to_string() })
}

/// The problem document of a reply that was not what was asked for.
pub(crate) fn refused(reply: &Reply) -> LoadtestError {
    let media_type = reply.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if media_type != Some("application/problem+json") {
        let why = format!("no problem document but {}", media_type.unwrap_or("no content type"));
        return LoadtestError::Unreadable { status: reply.status, why };
    }
    read(reply).map_or_else(|error| error, |problem| LoadtestError::Problem(Box::new(problem)))
}

fn unwritable(error: impl fmt::Display) -> LoadtestError {
    LoadtestError::Unexpected(format!("a request cannot be written: {error}"))
}
