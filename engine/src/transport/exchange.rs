//! One request and its answer on one stream, and what is known when it goes wrong.

use std::future::poll_fn;

use bytes::{Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::ConnectionNumber;
use super::gathered::FRAME_BYTES_MAX;

/// Longest body of an answer that is read; what is beyond is cut off.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// A request that can be written more than once.
pub struct Outgoing<'a> {
    /// Makes it, each time that it is written: one that waits for a stream takes no room. `None` where it can be none.
    pub request: &'a (dyn Fn() -> Option<Request<Bytes>> + Send + Sync),
    /// Take another connection than this one where there can be one.
    pub avoid: Option<ConnectionNumber>,
    /// Begin no stream after this moment: the request would not be worth its while.
    pub start_by: Instant,
    /// Called each time the request was handed to a connection.
    pub written: &'a (dyn Fn() + Send + Sync),
}

/// What the peer answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, up to 16 KiB of it.
    pub body: Bytes,
    /// The connection that it came on.
    pub connection: ConnectionNumber,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The peer certainly did not process the request.
    #[error("not sent: {0}")]
    Unsent(Unsent),
    /// The request was written; whether it was processed is unknown.
    #[error("outcome unknown: {0}")]
    Unknown(Interruption),
}

/// Why a request was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsent {
    /// There is no room: the queue is full, or each connection was taken for too long.
    #[error("no room")]
    Busy,
    /// No stream came free before the deadline.
    #[error("no free stream in time")]
    Late,
    /// There is no connection.
    #[error("no connection")]
    Unavailable,
    /// The pool is closed.
    #[error("closed")]
    Closed,
    /// It is no valid HTTP/2 request: a fault of the caller.
    #[error("malformed request")]
    Malformed,
}

/// Until when a request waits for room: the rest of its time is for itself, since one that is written at its deadline has
/// an outcome that nobody learns. It is this peer that has no room, and the caller may still have time for another one.
pub(crate) fn latest_for_room(now: Instant, deadline: Instant) -> Instant {
    let time = deadline.saturating_duration_since(now);
    deadline.checked_sub(time / 4).unwrap_or(deadline)
}

/// How a request that was written lost its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Interruption {
    /// The stream or its connection was cut.
    #[error("cut")]
    Cut {
        /// On this connection.
        connection: ConnectionNumber,
    },
    /// No answer came before the deadline; the stream was cancelled.
    #[error("no answer in time")]
    TimedOut {
        /// On this connection.
        connection: ConnectionNumber,
    },
}

/// What is known of a request whose stream ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The peer did not process it.
    Unprocessed,
    /// It was never a proper request.
    Malformed,
    /// Nothing is known.
    Cut,
    /// Nothing is known, and it took too long.
    TimedOut,
}

/// Status, headers and body.
pub(super) type Received = (StatusCode, HeaderMap, Bytes);

/// Writes the request and reads its answer.
pub(super) async fn exchange(
    requests: &mut SendRequest<Bytes>,
    outgoing: &Outgoing<'_>,
    deadline: Instant,
) -> Result<Received, Broken> {
    let response = write(requests, outgoing).await?;
    let response = match timeout_at(deadline, response).await {
        Ok(response) => response.map_err(|error| classify(&error))?,
        Err(_elapsed) => return Err(Broken::TimedOut),
    };
    let (parts, mut body) = response.into_parts();
    // What was taken has no body.
    if body.is_end_stream() {
        return Ok((parts.status, parts.headers, Bytes::new()));
    }
    // The status says what became of the request: a body that is cut or late takes nothing from that.
    let mut read = BytesMut::new();
    let _late_or_whole = timeout_at(deadline, read_body(&mut body, &mut read)).await;
    Ok((parts.status, parts.headers, read.freeze()))
}

async fn write(requests: &mut SendRequest<Bytes>, outgoing: &Outgoing<'_>) -> Result<ResponseFuture, Broken> {
    // Ready at once: a fresh handle waits for no stream of its own. An error here or from `send_request`
    // means that no stream was opened.
    poll_fn(|context| requests.poll_ready(context)).await.map_err(|_| Broken::Unprocessed)?;
    let (head, body) = (outgoing.request)().ok_or(Broken::Malformed)?.into_parts();
    let is_whole = body.is_empty();
    let (response, stream) =
        requests.send_request(Request::from_parts(head, ()), is_whole).map_err(|error| unopened(&error))?;
    if !is_whole {
        send_body(stream, body);
    }
    (outgoing.written)();
    Ok(response)
}

/// In frames that can be gathered. An error here shows again, with its cause, as the response's.
fn send_body(mut stream: SendStream<Bytes>, mut body: Bytes) {
    while body.len() > FRAME_BYTES_MAX {
        if stream.send_data(body.split_to(FRAME_BYTES_MAX), false).is_err() {
            return;
        }
    }
    let _stream_already_ended = stream.send_data(body, true);
}

async fn read_body(body: &mut RecvStream, read: &mut BytesMut) {
    while let Some(Ok(data)) = body.data().await {
        let room = ANSWER_BYTES_MAX - read.len();
        read.extend_from_slice(&data[..data.len().min(room)]);
        let released = body.flow_control().release_capacity(data.len());
        if released.is_err() || read.len() == ANSWER_BYTES_MAX {
            return;
        }
    }
}

/// No stream was opened: by the connection's end, or because the request itself is wrong.
fn unopened(error: &h2::Error) -> Broken {
    let is_connections_end = error.is_go_away() || error.is_io() || error.is_reset();
    if is_connections_end { Broken::Unprocessed } else { Broken::Malformed }
}

/// h2 gives the peer's GOAWAY as the error of exactly those streams that lie above its last id; the others
/// live on, and when the connection then breaks they get another error.
fn classify(error: &h2::Error) -> Broken {
    let is_above_last_id = error.is_go_away() && error.is_remote();
    let is_refused = error.is_reset() && error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM);
    if is_above_last_id || is_refused { Broken::Unprocessed } else { Broken::Cut }
}
