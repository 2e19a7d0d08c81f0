//! One CONNECT on one connection, bounded in bytes and time.

use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{HeaderValue, Request};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::ProxyFault;
use super::judge::{Answered, judge};
use crate::transport::Wire;

/// Longest head of an answer.
const HEAD_BYTES_MAX: usize = 16 * 1_024;
/// Most header fields of an answer.
const HEADERS_MAX: usize = 64;
/// Longest wait for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came of a CONNECT.
#[derive(Debug)]
pub(super) enum Asked {
    /// The tunnel, with nothing read from it.
    Tunnel(Wire),
    /// The proxy asks for credentials that we could send.
    AsksForBasic,
}

/// Asks for a tunnel to `target`, which is `host:port`.
pub(super) async fn ask(
    wire: Wire,
    target: &str,
    authorization: Option<&HeaderValue>,
) -> Result<Asked, ProxyFault> {
    let request = request(target, authorization).map_err(|_| ProxyFault::NotHttp)?;
    timeout(PATIENCE, exchange(wire, request)).await.unwrap_or(Err(ProxyFault::Late))
}

fn request(target: &str, authorization: Option<&HeaderValue>) -> Result<Request<Empty<Bytes>>, http::Error> {
    let mut builder = Request::connect(target).header(HOST, target);
    if let Some(authorization) = authorization {
        builder = builder.header(PROXY_AUTHORIZATION, authorization);
    }
    builder.body(Empty::new())
}

async fn exchange(wire: Wire, request: Request<Empty<Bytes>>) -> Result<Asked, ProxyFault> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(wire)).await.map_err(fault_of)?;
    let _driven = Driven(tokio::spawn(async move { drop(connection.with_upgrades().await) }).abort_handle());
    let response = sender.send_request(request).await.map_err(fault_of)?;
    match judge(response.status(), response.headers()) {
        Answered::AsksForBasic => return Ok(Asked::AsksForBasic),
        Answered::Fault(fault) => return Err(fault),
        Answered::Tunnel => {}
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(fault_of)?;
    let parts = upgraded.downcast::<TokioIo<Wire>>().map_err(|_| ProxyFault::NotHttp)?;
    // The peer waits for our hello, so whatever came already is the proxy's own.
    if parts.read_buf.is_empty() { Ok(Asked::Tunnel(parts.io.into_inner())) } else { Err(ProxyFault::Junk) }
}

fn fault_of(error: hyper::Error) -> ProxyFault {
    if error.is_parse_too_large() {
        ProxyFault::TooLong
    } else if error.is_parse() {
        ProxyFault::NotHttp
    } else {
        ProxyFault::Cut
    }
}

/// Ends the task that drives a connection when the answer is judged or given up.
struct Driven(AbortHandle);

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.abort();
    }
}
