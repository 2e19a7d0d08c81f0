//! One HTTP/1.1 connection, for the callers of Google that still use it.
//!
//! It has no streams: faults that need them close the connection instead.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::live::{LiveConnection, Orders};
use super::service::{Action, BODY_BYTES_MAX, Call, Reply, Service};

/// How long the client may take for the head of a request.
const HEAD_DEADLINE: Duration = Duration::from_secs(30);

/// Serves `io` until either side closes it.
pub(super) async fn serve<S, I>(
    io: I,
    service: Arc<S>,
    live: Arc<LiveConnection>,
    mut orders: watch::Receiver<Orders>,
) where
    S: Service,
    I: AsyncRead + AsyncWrite + Unpin,
{
    let session = S::Session::default();
    let answer = service_fn(|request| answer(service.as_ref(), &session, &live, request));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .serve_connection(TokioIo::new(io), answer);
    tokio::select! {
        _ended = connection => {}
        _told = orders.wait_for(|orders| orders.cut || orders.go_away.is_some()) => {}
    }
}

async fn answer<S: Service>(
    service: &S,
    session: &S::Session,
    live: &LiveConnection,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let arrived_at = Instant::now();
    live.count_request();
    let (head, body) = request.into_parts();
    if service.cuts_before_reading(&head) {
        return hang_up(live).await;
    }
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return Ok(Reply::new(StatusCode::PAYLOAD_TOO_LARGE, "").response(Full::default()));
    };
    let body = body.to_bytes();
    let connection = live.number();
    let call = Call { head, body, body_cut_short: false, connection, arrived_at, wire: None };
    match service.answer(session, call).await {
        Action::Answer(reply) | Action::GoAway { answer: Some(reply), .. } => {
            let body = Full::new(reply.body.clone());
            Ok(reply.response(body))
        }
        Action::Silence => std::future::pending().await,
        Action::RefuseStream | Action::Malformed | Action::Cut | Action::GoAway { answer: None, .. } => {
            hang_up(live).await
        }
    }
}

/// Tells the connection's task to cut, and waits for it.
async fn hang_up<T>(live: &LiveConnection) -> T {
    live.cut();
    std::future::pending().await
}
