//! The body of a reply on its way to the socket, which tells the pace of the connection how its peer takes it.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, SizeHint};

use super::pace::{OpenCall, OpenReply};
use super::reply::Content;

/// The body of a reply; the call is open until all of it is written or dropped.
pub(super) struct ReplyBody {
    content: Content,
    reply: Rc<OpenReply>,
}

impl ReplyBody {
    pub(super) fn new(content: Content, open: OpenCall) -> Self {
        let content = match content {
            Content::Whole(bytes) if bytes.is_empty() => Content::Nothing,
            content @ (Content::Nothing | Content::Whole(_) | Content::Parts(_)) => content,
        };
        Self { content, reply: open.reply() }
    }

    fn piece(&self, bytes: Bytes) -> Frame<Piece> {
        self.reply.offer();
        Frame::data(Piece { bytes, reply: Rc::clone(&self.reply) })
    }
}

/// Bytes of a reply on their way to the socket, which tell the pace how the peer takes them: for a stream of HTTP/2
/// without a window they wait in the library, and nothing else shows it.
pub(super) struct Piece {
    bytes: Bytes,
    reply: Rc<OpenReply>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        // A piece that was taken whole is dropped, which says it.
        if self.bytes.has_remaining() {
            self.reply.took_some();
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.reply.is_rid_of();
    }
}

impl Body for ReplyBody {
    type Data = Piece;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, Infallible>>> {
        let next = match &mut self.content {
            Content::Nothing => None,
            Content::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.content = Content::Nothing;
                Some(bytes)
            }
            Content::Parts(parts) => ready!(parts.as_mut().poll_next(context)),
        };
        Poll::Ready(next.map(|bytes| Ok(self.piece(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.content, Content::Nothing)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Nothing => SizeHint::with_exact(0),
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Parts(_) => SizeHint::default(),
        }
    }
}
