//! A layer between `h2` and TLS that can add frames of its own.
//!
//! Outgoing bytes are buffered and followed frame by frame, so that SETTINGS and GOAWAY frames queued
//! through [`WireHandle`] go out between two frames of `h2`. The stream limit in the first SETTINGS is
//! overwritten, acknowledgements of the added SETTINGS are kept from `h2`, which did not send them, and
//! resets of streams above GOAWAY's last one are kept from the client, which is to ignore them anyway.
//! Everything else passes unchanged, in order.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frame::{self, FrameHead, HEAD_BYTES};
use super::scanner::{FrameScanner, Passage};
use super::streams::StreamLedger;
use crate::sync::lock;

/// Bytes read from TLS at a time.
const READ_CHUNK_BYTES: usize = 16 * 1_024;
/// Outgoing bytes that may wait here before `h2` has to.
const OUTGOING_BYTES_MAX: usize = 64 * 1_024;
/// Added frames that may wait for a frame boundary.
const ADDED_FRAMES_MAX: usize = 64;

/// The byte stream that `h2` is given.
pub(super) struct FrameTap<S> {
    inner: S,
    chunk: Vec<u8>,
    incoming: BytesMut,
    outgoing: BytesMut,
    first_settings: FirstSettings,
    client_scanner: FrameScanner,
    server_scanner: FrameScanner,
    wire: WireHandle,
}

/// The server's first frame, gathered until it is whole.
enum FirstSettings {
    Gathering(BytesMut),
    Sent,
}

/// The connection as seen and steered from outside the byte stream.
#[derive(Clone, Debug)]
pub(crate) struct WireHandle {
    state: Arc<Mutex<WireState>>,
}

#[derive(Debug)]
struct WireState {
    streams: StreamLedger,
    first_limit: u32,
    first_settings_acknowledged: bool,
    added: VecDeque<Bytes>,
    reader: Option<Waker>,
    processed_highest: u32,
    last_stream: Option<u32>,
}

impl WireHandle {
    fn new(first_limit: u32) -> Self {
        let state = WireState {
            streams: StreamLedger::new(first_limit),
            first_limit,
            first_settings_acknowledged: false,
            added: VecDeque::new(),
            reader: None,
            processed_highest: 0,
            last_stream: None,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Announces another stream limit by a SETTINGS frame; false if it is the present one or too many
    /// frames wait.
    pub(crate) fn announce_stream_limit(&self, limit: u32) -> bool {
        let mut state = lock(&self.state);
        if state.streams.newest_limit() == limit || state.added.len() >= ADDED_FRAMES_MAX {
            return false;
        }
        state.streams.announce(limit);
        state.add(frame::settings_with_stream_limit(limit));
        true
    }

    /// Sends GOAWAY; the last stream is the highest one begun by [`Self::begin`]. Returns it.
    pub(super) fn go_away(&self, debug_data: &[u8]) -> u32 {
        let mut state = lock(&self.state);
        let last_stream = state.last_stream.unwrap_or(state.processed_highest);
        if state.last_stream.replace(last_stream).is_none() {
            state.add(frame::go_away(last_stream, debug_data));
        }
        last_stream
    }

    /// Marks `stream` as processed; false if GOAWAY has already said that it will not be.
    pub(super) fn begin(&self, stream: u32) -> bool {
        let mut state = lock(&self.state);
        let allowed = state.last_stream.is_none_or(|last| stream <= last);
        if allowed {
            state.processed_highest = state.processed_highest.max(stream);
        }
        allowed
    }

    /// Whether `stream` was opened over the limit.
    pub(super) fn take_refused(&self, stream: u32) -> bool {
        lock(&self.state).streams.take_refused(stream)
    }

    /// The announced limit, the most streams open at once, and how many were refused.
    pub(super) fn stream_facts(&self) -> (u32, u32, u64) {
        let state = lock(&self.state);
        (state.streams.newest_limit(), state.streams.peak(), state.streams.refused_count())
    }
}

impl WireState {
    fn add(&mut self, frame: Bytes) {
        self.added.push_back(frame);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn on_client_frame(&mut self, head: &FrameHead) -> Passage {
        if head.is_settings_ack() {
            return self.on_settings_acknowledged();
        }
        if head.is_headers() {
            self.streams.on_request_headers(head.stream);
        }
        if head.ends_stream() {
            self.streams.on_request_end(head.stream);
        }
        if head.is_reset() {
            self.streams.on_reset(head.stream);
        }
        Passage::Copy
    }

    fn on_server_frame(&mut self, head: &FrameHead) -> Passage {
        if head.ends_stream() {
            self.streams.on_response_end(head.stream);
        }
        if head.is_reset() {
            self.streams.on_reset(head.stream);
            if self.last_stream.is_some_and(|last| head.stream > last) {
                return Passage::LeaveOut;
            }
        }
        Passage::Copy
    }

    /// The first acknowledgement is for the SETTINGS of `h2`, all later ones for ours.
    fn on_settings_acknowledged(&mut self) -> Passage {
        if !self.first_settings_acknowledged {
            self.first_settings_acknowledged = true;
            return Passage::Copy;
        }
        self.streams.acknowledge();
        Passage::LeaveOut
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> FrameTap<S> {
    /// Wraps `inner`; the first SETTINGS will announce `first_limit` streams.
    pub(super) fn new(inner: S, first_limit: u32) -> (Self, WireHandle) {
        let wire = WireHandle::new(first_limit);
        let tap = Self {
            inner,
            chunk: vec![0; READ_CHUNK_BYTES],
            incoming: BytesMut::new(),
            outgoing: BytesMut::new(),
            first_settings: FirstSettings::Gathering(BytesMut::new()),
            client_scanner: FrameScanner::of_client(),
            server_scanner: FrameScanner::of_server(),
            wire: wire.clone(),
        };
        (tap, wire)
    }

    fn take_outgoing(&mut self, mut bytes: &[u8]) {
        let mut state = lock(&self.wire.state);
        if let FirstSettings::Gathering(gathered) = &mut self.first_settings {
            bytes = gather_frame(gathered, bytes);
            if !is_whole_frame(gathered) {
                return;
            }
            frame::overwrite_stream_limit(gathered, state.first_limit);
            self.outgoing.extend_from_slice(gathered);
            self.first_settings = FirstSettings::Sent;
        }
        self.server_scanner.copy(bytes, &mut self.outgoing, |head| state.on_server_frame(head));
    }

    /// Moves added frames behind what `h2` has written, if that ends with a whole frame.
    fn take_added(&mut self, state: &mut WireState) {
        let may_add =
            matches!(self.first_settings, FirstSettings::Sent) && self.server_scanner.is_at_boundary();
        if may_add {
            for frame in state.added.drain(..) {
                self.outgoing.extend_from_slice(&frame);
            }
        }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.wire.clone();
        self.take_added(&mut lock(&wire.state));
        while !self.outgoing.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.outgoing))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.advance(written);
        }
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    /// Reads one chunk; ready with `false` at the end of the stream.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut buffer = ReadBuf::new(&mut self.chunk);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer))?;
        let filled = buffer.filled().len();
        let mut state = lock(&self.wire.state);
        self.client_scanner
            .copy(&self.chunk[..filled], &mut self.incoming, |head| state.on_client_frame(head));
        Poll::Ready(Ok(filled > 0))
    }
}

/// Moves bytes from `input` to `frame` until that holds one whole frame; returns the rest.
fn gather_frame<'a>(frame: &mut BytesMut, input: &'a [u8]) -> &'a [u8] {
    let (head, rest) = input.split_at(HEAD_BYTES.saturating_sub(frame.len()).min(input.len()));
    frame.extend_from_slice(head);
    let missing = whole_length(frame).map_or(0, |whole| whole - frame.len());
    let (payload, rest) = rest.split_at(missing.min(rest.len()));
    frame.extend_from_slice(payload);
    rest
}

fn is_whole_frame(frame: &BytesMut) -> bool {
    whole_length(frame) == Some(frame.len())
}

fn whole_length(frame: &BytesMut) -> Option<usize> {
    let head = frame.first_chunk::<HEAD_BYTES>()?;
    Some(HEAD_BYTES + FrameHead::parse(head).length)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for FrameTap<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        output: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let tap = self.get_mut();
        lock(&tap.wire.state).reader = Some(cx.waker().clone());
        if let Poll::Ready(Err(error)) = tap.poll_drain(cx) {
            return Poll::Ready(Err(error));
        }
        while tap.incoming.is_empty() {
            if !ready!(tap.poll_chunk(cx))? {
                return Poll::Ready(Ok(()));
            }
        }
        let taken = tap.incoming.len().min(output.remaining());
        output.put_slice(&tap.incoming[..taken]);
        tap.incoming.advance(taken);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for FrameTap<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let tap = self.get_mut();
        if tap.outgoing.len() >= OUTGOING_BYTES_MAX {
            ready!(tap.poll_drain(cx))?;
        }
        tap.take_outgoing(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_drain(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tap = self.get_mut();
        ready!(tap.poll_drain(cx))?;
        Pin::new(&mut tap.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "tap_tests.rs"]
mod tests;
