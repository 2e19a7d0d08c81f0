//! Replies, and how those are made that are alike at every door.

use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue};
use serde::Serialize;

/// What a call is answered with.
pub(crate) type Response = hyper::Response<Content>;

/// The body of a reply.
pub(crate) enum Content {
    /// None.
    Nothing,
    /// All of it.
    Whole(Bytes),
    /// Parts that come one after the other.
    Parts(Pin<Box<dyn Stream<Item = Bytes>>>),
}

impl fmt::Debug for Content {
    /// Replies may hold what no log may.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Whole(_) => "Whole",
            Self::Parts(_) => "Parts",
        })
    }
}

/// What most views fit in, in bytes.
const JSON_BYTES: usize = 1_024;

/// A reply of one media type.
pub(crate) fn typed(status: StatusCode, media_type: &'static str, content: Content) -> Response {
    let mut reply = Response::new(content);
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    reply
}

/// A reply of one media type that no cache may keep.
pub(crate) fn private(status: StatusCode, media_type: &'static str, content: Content) -> Response {
    let mut reply = typed(status, media_type, content);
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// A reply in JSON that no cache may keep.
pub(crate) fn private_json(status: StatusCode, body: &impl Serialize) -> Response {
    private(status, "application/json", json(body))
}

/// A reply that says nothing but 204.
pub(crate) fn no_content() -> Response {
    let mut reply = Response::new(Content::Nothing);
    *reply.status_mut() = StatusCode::NO_CONTENT;
    reply
}

/// A body in JSON.
pub(super) fn json(body: &impl Serialize) -> Content {
    let mut written = Vec::with_capacity(JSON_BYTES);
    serde_json::to_writer(&mut written, body)
        .expect("a view holds texts, numbers and lists only, so that it always has a JSON form");
    Content::Whole(written.into())
}

/// Has the connection closed after this reply.
pub(super) fn close_after(reply: &mut Response) {
    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
}
