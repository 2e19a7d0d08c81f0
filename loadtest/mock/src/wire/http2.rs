//! One HTTP/2 connection: requests in, answers and faults out.
//!
//! The connection's task owns `h2`; each request runs in a task of its own, which ends with the
//! connection. Their number is bounded by the stream limit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::live::{LiveConnection, Orders};
use super::service::{Action, BODY_BYTES_MAX, Call, Reply, Service, StreamHandle};
use super::tap::{FrameTap, WireHandle};

/// Window of each stream and of a connection: a burst of full payloads fits.
const STREAM_WINDOW_BYTES: u32 = 256 * 1_024;
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1_024 * 1_024;
/// Largest list of headers that is read.
const HEADER_LIST_BYTES_MAX: u32 = 32 * 1_024;
/// Streams that a client may give up before their request is taken up.
const EARLY_RESETS_MAX: usize = 4_096;
/// How long the client may take for its preface.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// How long streams may finish after GOAWAY, and how long the connection lingers when they have.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);
const LINGER: Duration = Duration::from_millis(500);

/// The stream limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamLimits {
    /// In the first SETTINGS.
    pub(crate) first: u32,
    /// The highest that will ever be announced.
    pub(crate) highest: u32,
}

/// Serves `io` until either side closes it.
pub(super) async fn serve<S, I>(
    io: I,
    limits: StreamLimits,
    service: Arc<S>,
    live: Arc<LiveConnection>,
    orders: watch::Receiver<Orders>,
) where
    S: Service,
    I: AsyncRead + AsyncWrite + Unpin,
{
    let (tap, wire) = FrameTap::new(io, limits.first);
    live.attach(wire.clone());
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(limits.highest)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .max_pending_accept_reset_streams(EARLY_RESETS_MAX);
    let handshake = tokio::time::timeout(HANDSHAKE_DEADLINE, builder.handshake::<_, Bytes>(tap));
    let Ok(Ok(connection)) = handshake.await else { return };
    let context = Arc::new(Context { service, session: S::Session::default(), wire, live });
    Server { connection, context, calls: JoinSet::new(), closes_at: None }.run(orders).await;
}

/// What every request of a connection shares.
struct Context<S: Service> {
    service: Arc<S>,
    session: S::Session,
    wire: WireHandle,
    live: Arc<LiveConnection>,
}

struct Server<S: Service, I> {
    connection: h2::server::Connection<I, Bytes>,
    context: Arc<Context<S>>,
    calls: JoinSet<()>,
    closes_at: Option<tokio::time::Instant>,
}

impl<S: Service, I: AsyncRead + AsyncWrite + Unpin> Server<S, I> {
    async fn run(mut self, mut orders: watch::Receiver<Orders>) {
        loop {
            let closes_at = self.closes_at.unwrap_or_else(tokio::time::Instant::now);
            tokio::select! {
                biased;
                changed = orders.changed() => {
                    let orders = orders.borrow_and_update().clone();
                    if changed.is_err() || orders.cut {
                        return;
                    }
                    self.go_away(orders.go_away);
                },
                accepted = self.connection.accept() => match accepted {
                    Some(Ok((request, respond))) => self.take_up(request, respond),
                    Some(Err(_)) | None => return,
                },
                Some(_) = self.calls.join_next(), if !self.calls.is_empty() => self.linger_if_drained(),
                () = tokio::time::sleep_until(closes_at), if self.closes_at.is_some() => return,
            }
        }
    }

    fn take_up(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let stream = respond.stream_id().as_u32();
        if self.context.wire.take_refused(stream) || self.closes_at.is_some() {
            return respond.send_reset(Reason::REFUSED_STREAM);
        }
        self.calls.spawn(take_call(Arc::clone(&self.context), request, respond));
    }

    fn go_away(&mut self, debug_data: Option<Bytes>) {
        let Some(debug_data) = debug_data else { return };
        self.context.wire.go_away(&debug_data);
        self.closes_at.get_or_insert_with(|| tokio::time::Instant::now() + DRAIN_DEADLINE);
        self.linger_if_drained();
    }

    fn linger_if_drained(&mut self) {
        if self.calls.is_empty() {
            let soon = tokio::time::Instant::now() + LINGER;
            self.closes_at = self.closes_at.map(|at| at.min(soon));
        }
    }
}

async fn take_call<S: Service>(
    context: Arc<Context<S>>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let arrived_at = Instant::now();
    context.live.count_request();
    let (head, body) = request.into_parts();
    if context.service.cuts_before_reading(&head) {
        return context.live.cut();
    }
    let Ok((body, body_cut_short)) = read_body(body).await else { return };
    let stream = StreamHandle { wire: context.wire.clone(), stream: respond.stream_id().as_u32() };
    let connection = context.live.number();
    let call = Call { head, body, body_cut_short, connection, arrived_at, wire: Some(stream) };
    let action = tokio::select! {
        action = context.service.answer(&context.session, call) => action,
        _ = given_up(&mut respond) => return,
    };
    perform(action, &mut respond, &context.wire, &context.live).await;
}

async fn perform(
    action: Action,
    respond: &mut SendResponse<Bytes>,
    wire: &WireHandle,
    live: &LiveConnection,
) {
    match action {
        Action::Answer(reply) => send(respond, reply),
        Action::Silence => given_up(respond).await,
        Action::RefuseStream => respond.send_reset(Reason::REFUSED_STREAM),
        Action::Malformed => respond.send_reset(Reason::PROTOCOL_ERROR),
        Action::Cut => live.cut(),
        Action::GoAway { answer, debug_data } => {
            let refused = answer.is_none();
            if let Some(reply) = answer {
                send(respond, reply);
            }
            wire.go_away(&debug_data);
            if refused {
                // Above the last stream the tap keeps this reset back: GOAWAY has said it already.
                respond.send_reset(Reason::REFUSED_STREAM);
            }
            live.go_away(debug_data);
        }
    }
}

/// Reads a body to its end, giving the window back as it goes; keeps at most [`BODY_BYTES_MAX`]. A body that comes in
/// one piece, as pushes do, is not copied.
async fn read_body(mut body: RecvStream) -> Result<(Bytes, bool), h2::Error> {
    let (mut only, mut kept) = (Bytes::new(), BytesMut::new());
    let mut cut_short = false;
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        if chunk.len() > BODY_BYTES_MAX - only.len().max(kept.len()) {
            cut_short = true;
        } else if only.is_empty() && kept.is_empty() {
            only = chunk;
        } else {
            kept.extend_from_slice(&std::mem::take(&mut only));
            kept.extend_from_slice(&chunk);
        }
    }
    Ok((if kept.is_empty() { only } else { kept.freeze() }, cut_short))
}

/// Sends an answer; a client that has gone away meanwhile does not get it.
fn send(respond: &mut SendResponse<Bytes>, reply: Reply) {
    let bodiless = reply.body.is_empty();
    if let Ok(mut stream) = respond.send_response(reply.response(()), bodiless)
        && !bodiless
    {
        let _gone = stream.send_data(reply.body, true);
    }
}

async fn given_up(respond: &mut SendResponse<Bytes>) {
    let _reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
}
