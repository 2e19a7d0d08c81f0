//! One connection from its first byte to its last: counted, TLS where the door speaks it, HTTP/1.1 or HTTP/2, cut
//! when its pace is too slow.
//!
//! Inside of TLS the protocol is agreed by ALPN; a door without TLS speaks HTTP/1.1 only.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::HandshakeKind;
use rustls_pki_types::CertificateDer;
use tocsin_config::Networks;
use tocsin_model::Problem;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificates::DoorCertificate;
use super::connections::{Connections, Entered};
use super::metrics::{ConnectionEnd, DoorMetrics};
use super::outgoing::ReplyBody;
use super::pace::{Cut, Pace, Watch};
use super::paced::Paced;
use super::{DoorName, Payload, Request, Response};

/// Frames that a peer may make us read between two of ours, before streams it resets count as a flood.
const RESET_STREAMS_MAX: usize = 20;

/// Streams that we reset because the peer broke the protocol, before the connection ends.
const FAULTY_STREAMS_MAX: usize = 32;

/// What a peer may send on one stream before anybody reads it, in bytes; a whole body of the largest size.
const STREAM_WINDOW_BYTES: u32 = 65_535;

/// The same for all streams of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 262_144;

/// Most bytes of replies that wait to be written on one stream.
const SEND_BUFFER_BYTES_MAX: usize = 65_536;

/// How often a quiet HTTP/2 connection is asked whether it lives, and how long the answer may take.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIME_MAX: Duration = Duration::from_secs(10);

/// What a header field costs beside its name and value in HTTP/2 (RFC 9113, section 6.5.2).
const FIELD_BYTES: usize = 32;

/// Heads up to this many times the limits of the door are read, so that they can be refused by a problem document.
const HEAD_SLACK: usize = 2;

/// What the calls of a connection know of it.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) peer: SocketAddr,
    /// The certificate that the caller showed, verified by the handshake.
    pub(crate) certificate: Option<CertificateDer<'static>>,
    /// Why every call on it is refused.
    pub(super) refusal: Option<Problem>,
}

/// What answers the calls of all connections on a thread.
pub(super) trait Answers: 'static {
    /// The reply to a call. Whatever happens there is one.
    fn answer(self: Rc<Self>, request: Request, payload: Payload)
    -> impl Future<Output = Response> + 'static;
}

/// What all connections of a door share.
pub(super) struct ConnectionRules {
    pub(super) door: DoorName,
    pub(super) certificate: Option<Arc<DoorCertificate>>,
    pub(super) trusted_proxies: Networks,
    pub(super) connections: Arc<Connections>,
    pub(super) metrics: Arc<DoorMetrics>,
    pub(super) head_time_max: Duration,
    /// Longest time without progress for a reply that is being written.
    pub(super) write_time_max: Duration,
    pub(super) headers_max: usize,
    pub(super) head_bytes_max: usize,
    pub(super) stage: watch::Receiver<Stage>,
}

impl ConnectionRules {
    /// Counts who has just connected; `None`, and closed unheard, where there is not even room to refuse him.
    pub(super) fn let_in(&self, stream: TcpStream, peer: SocketAddr) -> Option<Arrival> {
        let is_proxy = self.trusted_proxies.contain(peer.ip());
        match self.connections.enter((!is_proxy).then_some(peer.ip())) {
            Ok(entered) => Some(Arrival { stream, peer, entered }),
            Err(overfull) => {
                self.metrics.connection_ended(self.door, overfull.into());
                None
            }
        }
    }
}

/// A connection that is counted and that nobody serves yet.
pub(super) struct Arrival {
    stream: TcpStream,
    peer: SocketAddr,
    entered: Entered,
}

impl Arrival {
    /// The same, watched by this thread in place of the one that has accepted it.
    pub(super) fn here(self) -> io::Result<Self> {
        let stream = TcpStream::from_std(self.stream.into_std()?)?;
        Ok(Self { stream, ..self })
    }
}

/// How far the door's life is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Everybody is served.
    Open,
    /// No new work: HTTP/2 peers are told to go elsewhere; HTTP/1.1 ones hear it with their next reply.
    Draining,
    /// Connections end as soon as their replies are written.
    Closing,
}

/// Serves a connection to its end.
pub(super) async fn serve<A: Answers>(rules: Arc<ConnectionRules>, door: Rc<A>, arrival: Arrival) {
    let Arrival { stream, peer, entered } = arrival;
    let _open = rules.metrics.connection_opened(rules.door);
    // A reply is written in one piece; waiting for more would only delay it.
    let _ = stream.set_nodelay(true);
    if let Some(end) = speak(&rules, door, stream, peer, &entered).await {
        rules.metrics.connection_ended(rules.door, end);
        tracing::debug!(door = rules.door.as_str(), reason = end.as_str(), "connection cut");
    }
}

fn facts(
    rules: &ConnectionRules,
    entered: &Entered,
    peer: SocketAddr,
    certificate: Option<CertificateDer<'static>>,
) -> Rc<Facts> {
    let overfull = entered.refusal();
    if let Some(overfull) = overfull {
        rules.metrics.connection_ended(rules.door, overfull.into());
    }
    Rc::new(Facts { peer, certificate, refusal: overfull.map(|overfull| overfull.problem()) })
}

/// Speaks TLS where the door does, and HTTP.
async fn speak<A, I>(
    rules: &ConnectionRules,
    door: Rc<A>,
    stream: I,
    peer: SocketAddr,
    entered: &Entered,
) -> Option<ConnectionEnd>
where
    A: Answers,
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let pace = Pace::new(rules.head_time_max, rules.write_time_max);
    let stream = Paced::new(stream, Rc::clone(&pace));
    match &rules.certificate {
        None => http1(rules, stream, Calls { door, facts: facts(rules, entered, peer, None), pace }).await,
        // In a box of its own: behind a proxy that ends TLS, nobody pays for its place.
        Some(certificate) => Box::pin(speak_tls(rules, certificate, door, stream, pace, peer, entered)).await,
    }
}

async fn speak_tls<A, I>(
    rules: &ConnectionRules,
    certificate: &DoorCertificate,
    door: Rc<A>,
    stream: Paced<I>,
    pace: Rc<Pace>,
    peer: SocketAddr,
    entered: &Entered,
) -> Option<ConnectionEnd>
where
    A: Answers,
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    // The handshake's own memory is given back before the first call.
    let stream = match Box::pin(shake_hands(rules, certificate, stream)).await {
        Ok(stream) => stream,
        Err(end) => return Some(end),
    };
    let session = stream.get_ref().1;
    let shown = session.peer_certificates().and_then(<[_]>::first);
    let facts = facts(rules, entered, peer, shown.map(|shown| shown.clone().into_owned()));
    let is_http2 = session.alpn_protocol() == Some(b"h2");
    let calls = Calls { door, facts, pace };
    if is_http2 { http2(rules, stream, calls).await } else { http1(rules, stream, calls).await }
}

async fn shake_hands<I>(
    rules: &ConnectionRules,
    certificate: &DoorCertificate,
    stream: I,
) -> Result<TlsStream<I>, ConnectionEnd>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = TlsAcceptor::from(certificate.current()).accept(stream);
    let shaken = tokio::time::timeout(rules.head_time_max, handshake).await;
    let stream = shaken.map_err(|_| ConnectionEnd::HandshakeTimeout)?.map_err(|error| {
        tracing::debug!(door = rules.door.as_str(), %error, "TLS handshake failed");
        ConnectionEnd::Handshake
    })?;
    let is_resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
    rules.metrics.handshake(rules.door, is_resumed);
    Ok(stream)
}

/// What answers the calls of one connection.
struct Calls<A> {
    door: Rc<A>,
    facts: Rc<Facts>,
    pace: Rc<Pace>,
}

impl<A: Answers> Calls<A> {
    fn answer(
        &self,
        request: hyper::Request<Incoming>,
    ) -> impl Future<Output = Result<hyper::Response<ReplyBody>, Infallible>> + use<A> {
        let open = self.pace.begin();
        let (head, body) = request.into_parts();
        let request = Request::new(head, Rc::clone(&self.facts));
        let answering = Rc::clone(&self.door).answer(request, Payload::new(body));
        // No block of its own, which would hold the call twice.
        answering.map(|reply| Ok(reply.map(|content| ReplyBody::new(content, open))))
    }
}

fn http1<A, I>(
    rules: &ConnectionRules,
    stream: I,
    calls: Calls<A>,
) -> impl Future<Output = Option<ConnectionEnd>>
where
    A: Answers,
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (facts, pace) = (Rc::clone(&calls.facts), Rc::clone(&calls.pace));
    pace.expect_heads();
    let connection = http1::Builder::new()
        .max_headers(rules.headers_max * HEAD_SLACK)
        .max_buf_size((rules.head_bytes_max * HEAD_SLACK).max(MIN_BUFFER_BYTES))
        // A caller that hangs up gives its place among the waiters back at once.
        .half_close(false)
        // The pace has its own clock, which knows a quiet connection from a slow head.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service_fn(move |request| calls.answer(request)));
    let connection = Box::pin(connection);
    drive(rules, facts, pace, Stage::Closing, connection, |connection| connection.graceful_shutdown())
}

/// hyper takes no smaller buffer.
const MIN_BUFFER_BYTES: usize = 8_192;

fn http2<A, I>(
    rules: &ConnectionRules,
    stream: I,
    calls: Calls<A>,
) -> impl Future<Output = Option<ConnectionEnd>>
where
    A: Answers,
    I: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (facts, pace) = (Rc::clone(&calls.facts), Rc::clone(&calls.pace));
    let head_bytes_max = rules.head_bytes_max + rules.headers_max * FIELD_BYTES;
    let connection = http2::Builder::new(OnThisThread)
        .timer(TokioTimer::new())
        .max_concurrent_streams(rules.door.streams_max())
        .max_header_list_size(u32::try_from(head_bytes_max * HEAD_SLACK).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .max_local_error_reset_streams(FAULTY_STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIME_MAX)
        .serve_connection(TokioIo::new(stream), service_fn(move |request| calls.answer(request)));
    let connection = Box::pin(connection);
    drive(rules, facts, pace, Stage::Draining, connection, |connection| connection.graceful_shutdown())
}

/// Runs a connection until it ends, its pace cuts it, or the door's stage asks it to end in order. It comes in a box, so
/// that it is held once: a future holds what it is given beside what it makes of it.
async fn drive<C, E>(
    rules: &ConnectionRules,
    facts: Rc<Facts>,
    pace: Rc<Pace>,
    ends_at: Stage,
    mut connection: Pin<Box<C>>,
    end_in_order: impl Fn(Pin<&mut C>),
) -> Option<ConnectionEnd>
where
    C: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let mut watch = pin!(Watch::new(Rc::clone(&pace)));
    let mut stage = rules.stage.clone();
    let mut ending = pin!(async move {
        // Without a sender nobody is there who would wait for an end in order.
        let _ = stage.wait_for(|stage| *stage >= ends_at).await;
    });
    let mut is_ending = false;
    poll_fn(move |context| {
        let must_end = !is_ending
            && ((facts.refusal.is_some() && pace.has_answered()) || ending.as_mut().poll(context).is_ready());
        if must_end {
            is_ending = true;
            end_in_order(connection.as_mut());
        }
        if let Poll::Ready(ended) = connection.as_mut().poll(context) {
            if let Err(error) = ended {
                tracing::debug!(door = rules.door.as_str(), %error, "connection broke off");
                return Poll::Ready(Some(ConnectionEnd::Protocol));
            }
            return Poll::Ready(None);
        }
        watch.as_mut().poll(context).map(|cut| match cut {
            Cut::Quiet => None,
            Cut::SlowHead => Some(ConnectionEnd::SlowHead),
            Cut::SlowReader => Some(ConnectionEnd::SlowReader),
        })
    })
    .await
}

/// Runs the calls of an HTTP/2 connection on the thread that serves it.
#[derive(Clone, Copy, Debug)]
struct OnThisThread;

impl<F: Future + 'static> hyper::rt::Executor<F> for OnThisThread {
    fn execute(&self, call: F) {
        drop(actix_rt::spawn(async move {
            call.await;
        }));
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
