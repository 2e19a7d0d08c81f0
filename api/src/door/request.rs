//! A call as its handler sees it: its head, what is known of its connection, and the body that is still to be read.

use std::rc::Rc;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::HeaderMap;
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Version};

use super::connection::Facts;

/// The head of a call, with its connection.
pub(crate) struct Request {
    head: Parts,
    facts: Rc<Facts>,
}

impl Request {
    pub(super) const fn new(head: Parts, facts: Rc<Facts>) -> Self {
        Self { head, facts }
    }

    /// The method.
    pub(crate) const fn method(&self) -> &Method {
        &self.head.method
    }

    /// The headers.
    pub(crate) const fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The path as it was sent, also where scheme and host were sent with it.
    pub(crate) fn path(&self) -> &str {
        self.head.uri.path()
    }

    /// The query as it was sent; empty without one.
    pub(crate) fn query_string(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }

    /// Path and query as they were sent.
    pub(crate) fn path_and_query(&self) -> &str {
        self.head.uri.path_and_query().map_or("/", PathAndQuery::as_str)
    }

    pub(super) fn is_http2(&self) -> bool {
        self.head.version == Version::HTTP_2
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }
}

/// The body of a call, of which nothing was read yet.
pub(crate) struct Payload(Incoming);

/// A body that ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BrokenOff;

impl Payload {
    pub(super) const fn new(body: Incoming) -> Self {
        Self(body)
    }

    /// Whether nothing more comes, as far as is known without waiting.
    pub(super) fn is_at_its_end(&self) -> bool {
        self.0.is_end_stream()
    }

    /// The next part; nothing at the end. Trailers say nothing that anybody here reads.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, BrokenOff>> {
        loop {
            match self.0.frame().await? {
                Ok(frame) => match frame.into_data() {
                    Ok(data) => return Some(Ok(data)),
                    Err(_trailers) => {}
                },
                Err(_) => return Some(Err(BrokenOff)),
            }
        }
    }
}
