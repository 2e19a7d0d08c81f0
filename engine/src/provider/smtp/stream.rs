//! The bytes of a session to the library that speaks SMTP: TLS, and before it a greeting where TLS began after one.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// What a server greets with. After STARTTLS it does not greet again, and the library waits for it.
const GREETING: &[u8] = b"220 tls\r\n";

/// A session's bytes.
pub(super) struct MailStream {
    greeting: Bytes,
    tls: TlsStream<TcpStream>,
}

impl MailStream {
    /// A server that greets inside of TLS.
    pub(super) fn implicit(tls: TlsStream<TcpStream>) -> Self {
        Self { greeting: Bytes::new(), tls }
    }

    /// One that has greeted already, in clear.
    pub(super) fn upgraded(tls: TlsStream<TcpStream>) -> Self {
        Self { greeting: Bytes::from_static(GREETING), tls }
    }
}

impl fmt::Debug for MailStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MailStream").finish_non_exhaustive()
    }
}

impl AsyncTokioStream for MailStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tls.get_ref().0.peer_addr()
    }
}

impl AsyncRead for MailStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.greeting.has_remaining() {
            let length = this.greeting.remaining().min(buffer.remaining());
            buffer.put_slice(&this.greeting.split_to(length));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.tls).poll_read(context, buffer)
    }
}

impl AsyncWrite for MailStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tls).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tls).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tls).poll_shutdown(context)
    }
}
