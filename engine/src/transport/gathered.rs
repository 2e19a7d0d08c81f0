//! Frames that are gathered before they are encrypted.
//!
//! h2 hands a body of 256 bytes and more to a stream with vectored writes as a slice of its own and flushes it before
//! it makes the next frame: with TLS below, each push is a record, a pass of the cipher and a system call of its own.
//! Where a stream has none, h2 copies bodies below [`FRAME_BYTES_MAX`] behind their heads, so that all that is ready in
//! one turn, up to 16 KiB of it, leaves as one record. Nothing is held back: h2 flushes when it has no more frames.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest part of a body that h2 copies behind its head; a longer body is sent in frames of this length.
pub(super) const FRAME_BYTES_MAX: usize = 1_023;

/// A stream that offers no vectored writes.
#[derive(Debug)]
pub(super) struct Gathered<T>(pub(super) T);

impl<T: AsyncRead + Unpin> AsyncRead for Gathered<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(context, buffer)
    }
}

/// `is_write_vectored` and `poll_write_vectored` stay the trait's own, which offer nothing.
impl<T: AsyncWrite + Unpin> AsyncWrite for Gathered<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(context)
    }
}
