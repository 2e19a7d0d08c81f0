//! The phone's HTTP: plain, to a server on the same machine; connections are kept and shared by all phones.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Map, Value};

use super::error::PhoneError;
use super::json::parse_object;

/// How long a phone waits for a reply, in seconds.
const REPLY_WAIT_MAX_S: u64 = 10;
/// Largest reply that a phone reads, in bytes.
const REPLY_BYTES_MAX: usize = 1 << 20;

/// A request as it goes out.
#[derive(Clone, Debug)]
pub struct PhoneRequest {
    /// The method in capitals.
    pub method: &'static str,
    /// Path and query below the issuer.
    pub path: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The body; empty without one.
    pub body: Vec<u8>,
}

/// A reply as it came.
#[derive(Clone, Debug)]
pub struct PhoneReply {
    /// The HTTP status.
    pub status: u16,
    /// The body; empty when it has none.
    pub body: Map<String, Value>,
}

/// The network that phones share.
#[derive(Clone, Debug)]
pub struct PhoneNetwork(Client<HttpConnector, Full<Bytes>>);

impl PhoneNetwork {
    /// A network without connections yet.
    pub fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }

    /// Sends `request` to the server whose issuer is `issuer`.
    pub async fn send(&self, issuer: &str, request: PhoneRequest) -> Result<PhoneReply, PhoneError> {
        let deadline = Duration::from_secs(REPLY_WAIT_MAX_S);
        match tokio::time::timeout(deadline, self.exchange(issuer, request)).await {
            Ok(reply) => reply,
            Err(_) => Err(PhoneError::TimedOut(REPLY_WAIT_MAX_S)),
        }
    }

    async fn exchange(&self, issuer: &str, request: PhoneRequest) -> Result<PhoneReply, PhoneError> {
        let network = |error: &dyn std::fmt::Display| PhoneError::Network(error.to_string());
        let mut builder =
            http::Request::builder().method(request.method).uri(format!("{issuer}{}", request.path));
        if !request.body.is_empty() {
            builder = builder.header(http::header::CONTENT_TYPE, "application/json");
        }
        if let Some(authorization) = request.authorization {
            builder = builder.header(http::header::AUTHORIZATION, authorization);
        }
        let built = builder.body(Full::new(Bytes::from(request.body))).map_err(|error| network(&error))?;
        let response = self.0.request(built).await.map_err(|error| network(&error))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), REPLY_BYTES_MAX).collect().await;
        let body = body.map_err(|error| network(&error))?.to_bytes();
        if body.is_empty() {
            return Ok(PhoneReply { status, body: Map::new() });
        }
        let body =
            parse_object(&body).ok_or(PhoneError::BadReply("a body that is not a strict JSON object"))?;
        Ok(PhoneReply { status, body })
    }
}

impl Default for PhoneNetwork {
    fn default() -> Self {
        Self::new()
    }
}

impl PhoneReply {
    /// The body of a reply with this status, or the problem.
    pub(super) fn expect(self, status: u16) -> Result<Map<String, Value>, PhoneError> {
        if self.status == status {
            return Ok(self.body);
        }
        let code = self.body.get("code").and_then(Value::as_str).unwrap_or("").to_owned();
        Err(PhoneError::Problem { status: self.status, code, problem: Value::Object(self.body) })
    }
}
