//! Plain HTTP/1.1 over kept connections, with a deadline on every call.
//!
//! The doors listen on loopback without TLS in everything that this package starts. No redirects, no
//! retries of a request that may have been read.

use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// Idle connections that are kept.
const IDLE_CONNECTIONS_MAX: usize = 1_024;

/// How long an idle connection is kept; less than the server keeps it.
const IDLE_TIME_MAX: Duration = Duration::from_secs(20);

/// Largest reply that is read.
const REPLY_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// Why a call got no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No connection: the call did not reach the server.
    #[error("{method} {path}: no connection: {why}")]
    NotConnected {
        /// Its method.
        method: Method,
        /// Its path and query.
        path: String,
        /// What the system said.
        why: String,
    },
    /// The connection ended: the server may or may not have done what it was asked.
    #[error("{method} {path}: cut before the reply: {why}")]
    Cut {
        /// Its method.
        method: Method,
        /// Its path and query.
        path: String,
        /// What the connection said.
        why: String,
    },
    /// No reply in time.
    #[error("{method} {path}: no reply within {} s", after.as_secs_f32())]
    Deadline {
        /// Its method.
        method: Method,
        /// Its path and query.
        path: String,
        /// The time it had.
        after: Duration,
    },
}

/// A reply, read whole.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// A pool of connections. Clones share it.
#[derive(Clone, Debug)]
pub struct HttpClient {
    pool: Client<HttpConnector, Full<Bytes>>,
}

impl HttpClient {
    /// A pool without connections.
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let pool = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .retry_canceled_requests(false)
            .build(connector);
        Self { pool }
    }

    /// Sends a request and reads the reply whole, all within `deadline`.
    pub async fn call(&self, request: Request<Bytes>, deadline: Duration) -> Result<Reply, CallError> {
        let method = request.method().clone();
        let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        match tokio::time::timeout(deadline, self.exchange(request)).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(Failure::NotConnected(why))) => Err(CallError::NotConnected { method, path, why }),
            Ok(Err(Failure::Cut(why))) => Err(CallError::Cut { method, path, why }),
            Err(_) => Err(CallError::Deadline { method, path, after: deadline }),
        }
    }

    /// Sends a request and reads the head of the reply within `deadline`; its body may go on for long.
    pub async fn open(
        &self,
        request: Request<Bytes>,
        deadline: Duration,
    ) -> Result<Response<Incoming>, CallError> {
        let method = request.method().clone();
        let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        match tokio::time::timeout(deadline, self.pool.request(request.map(Full::new))).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(CallError::Cut { method, path, why: innermost(&error) }),
            Err(_) => Err(CallError::Deadline { method, path, after: deadline }),
        }
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Reply, Failure> {
        let response = self.pool.request(request.map(Full::new)).await.map_err(|error| {
            let why = innermost(&error);
            if error.is_connect() { Failure::NotConnected(why) } else { Failure::Cut(why) }
        })?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, REPLY_BYTES_MAX).collect().await;
        let body = body.map_err(|error| Failure::Cut(innermost(&*error)))?.to_bytes();
        Ok(Reply { status: head.status, headers: head.headers, body })
    }
}

impl Default for HttpClient {
    fn default() -> Self {
        Self::new()
    }
}

enum Failure {
    NotConnected(String),
    Cut(String),
}

/// The cause of causes says most.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// A JSON body's media type.
pub(crate) fn json_type() -> HeaderValue {
    HeaderValue::from_static("application/json")
}
