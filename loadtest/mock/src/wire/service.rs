//! What a connection asks of a provider's double, and what it may be told.

use std::fmt;
use std::future::Future;
use std::time::Instant;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};

use super::tap::WireHandle;

/// Most body bytes that are kept; a longer body is read to its end and marked as such.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1_024;

/// Numbers the connections of a server from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionNumber(pub u64);

impl fmt::Display for ConnectionNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A provider's double, called once per request.
pub(crate) trait Service: Send + Sync + 'static {
    /// What it remembers of one connection.
    type Session: Default + Send + Sync + 'static;

    /// Called when the headers are read: whether to cut the connection there.
    fn cuts_before_reading(&self, head: &Parts) -> bool;

    /// Called when the request is read. Dropped if the client gives the request up.
    fn answer(&self, session: &Self::Session, call: Call) -> impl Future<Output = Action> + Send;
}

/// One request, read to its end.
pub(crate) struct Call {
    pub(crate) head: Parts,
    pub(crate) body: Bytes,
    /// Whether the body was longer than [`BODY_BYTES_MAX`].
    pub(crate) body_cut_short: bool,
    pub(crate) connection: ConnectionNumber,
    pub(crate) arrived_at: Instant,
    pub(crate) wire: Option<StreamHandle>,
}

/// A stream of an HTTP/2 connection; HTTP/1.1 has none.
#[derive(Clone)]
pub(crate) struct StreamHandle {
    pub(super) wire: WireHandle,
    pub(super) stream: u32,
}

impl Call {
    /// Says that the request is processed from here on; false if GOAWAY has already said otherwise.
    pub(crate) fn begin(&self) -> bool {
        self.wire.as_ref().is_none_or(|handle| handle.wire.begin(handle.stream))
    }

    /// Announces another stream limit, where the connection has streams.
    pub(crate) fn announce_stream_limit(&self, limit: u32) -> bool {
        self.wire.as_ref().is_some_and(|handle| handle.wire.announce_stream_limit(limit))
    }
}

/// What the connection does in answer.
pub(crate) enum Action {
    /// Send this.
    Answer(Reply),
    /// Send nothing until the client gives up.
    Silence,
    /// Reset the stream: not processed.
    RefuseStream,
    /// Reset the stream: the request is no HTTP.
    Malformed,
    /// Close the connection without a word.
    Cut,
    /// Answer if there is an answer, and send GOAWAY with this debug data.
    GoAway { answer: Option<Reply>, debug_data: Bytes },
}

/// An answer to one request.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
}

impl Reply {
    /// An answer with no headers of its own.
    pub(crate) fn new(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// An answer that says it is JSON.
    pub(crate) fn json(status: StatusCode, body: &serde_json::Value) -> Self {
        Self::json_text(status, body.to_string())
    }

    /// The same with a body that is JSON already.
    pub(crate) fn json_text(status: StatusCode, body: String) -> Self {
        let json = HeaderValue::from_static("application/json; charset=UTF-8");
        Self::new(status, body).header(http::header::CONTENT_TYPE, json)
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The head of the answer over a body of type `B`.
    pub(super) fn response<B>(&self, body: B) -> http::Response<B> {
        let mut response = http::Response::new(body);
        *response.status_mut() = self.status;
        for (name, value) in &self.headers {
            response.headers_mut().append(name.clone(), value.clone());
        }
        response
    }
}
