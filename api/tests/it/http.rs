//! A small HTTP client that shows replies as they are.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::conformance;

/// Longest wait for anything that must happen.
pub const SOON: Duration = Duration::from_secs(20);

/// A request that is being put together.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Bytes,
    is_elsewhere: bool,
}

/// A reply.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    pub bytes: Bytes,
}

impl Call {
    pub fn new(method: &str, address: SocketAddr, path: &str) -> Self {
        let method = method.parse().expect("a method");
        let url = format!("http://{address}{path}");
        Self { method, url, headers: HeaderMap::new(), body: Bytes::new(), is_elsewhere: false }
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("a header value");
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    pub fn basic(self, id: &str, secret: &str) -> Self {
        let credentials = STANDARD.encode(format!("{id}:{secret}"));
        self.header(AUTHORIZATION.as_str().to_owned().leak(), &format!("Basic {credentials}"))
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn json(self, body: &Value) -> Self {
        self.text("application/json", body.to_string())
    }

    pub fn text(mut self, media_type: &str, body: impl Into<Bytes>) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_str(media_type).expect("a header value"));
        self.body = body.into();
        self
    }

    /// At a door that does not have this path, so that no document tells the reply.
    pub fn elsewhere(self) -> Self {
        Self { is_elsewhere: true, ..self }
    }

    pub async fn send(self) -> Answer {
        let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        self.send_by(&client).await
    }

    async fn send_by(self, client: &Client<HttpConnector, Full<Bytes>>) -> Answer {
        let (method, url, is_elsewhere) = (self.method.clone(), self.url.clone(), self.is_elsewhere);
        let mut request = Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.url.parse().expect("a URL");
        *request.headers_mut() = self.headers;
        let sent = tokio::time::timeout(SOON, client.request(request)).await.expect("a reply in time");
        let (head, body) = sent.expect("a reply").into_parts();
        let body = body.collect().await.expect("a whole reply").to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        let path = url.splitn(4, '/').nth(3).map(|path| format!("/{path}")).expect("a path");
        if !is_elsewhere {
            conformance::hold(method.as_str(), &path, head.status.as_u16(), &head.headers, &text);
        }
        Answer { status: head.status.as_u16(), headers: head.headers, text, bytes: body }
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a visible header"))
    }

    pub fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// Holds the status, and answers with the body.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.body() }
    }

    /// Holds that this is a whole problem document of this status, code and field, and answers with it.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, code: &str, field: Option<&str>) -> Value {
        let body = self.expect(status);
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{body}");
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body.get("field").and_then(Value::as_str), field, "{body}");
        assert_eq!(body["status"], status, "{body}");
        assert_eq!(body["type"], format!("{}{code}", tocsin_api::door::ERROR_PAGE_BASE), "{body}");
        assert_eq!(body["request_id"].as_str(), self.header("x-request-id"), "{body}");
        for member in ["title", "detail"] {
            assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{body}");
        }
        let busy = status == 429 || status == 503;
        assert_eq!(self.header("retry-after").is_some(), busy, "{body}");
        assert_eq!(body.get("retry_after_ms").is_some(), busy, "{body}");
        body
    }
}
