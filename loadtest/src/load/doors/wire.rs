//! One connection: bytes out, and bytes in through a buffer that all connections share.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::load::target::Place;

/// A connection.
#[derive(Debug)]
pub(super) enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    /// Connects.
    pub(super) async fn connect(place: &Place) -> io::Result<Self> {
        let stream = TcpStream::connect(place.address).await?;
        stream.set_nodelay(true)?;
        match &place.tls {
            None => Ok(Self::Plain(stream)),
            Some(tls) => {
                let name = place.address.ip().into();
                Ok(Self::Tls(Box::new(tls.0.connect(name, stream).await?)))
            }
        }
    }

    /// Nothing has come that nobody asked for, not even the end. Asks the system only where it has told of something. Of
    /// TLS, which has words of its own between replies, only the next call tells.
    pub(super) fn is_quiet(&self) -> bool {
        match self {
            Self::Plain(stream) => {
                stream.try_read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            }
            Self::Tls(_) => true,
        }
    }

    /// Writes all of it.
    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    /// Waits for bytes and shows them; none are the end of the connection. The buffer is in use only while they are
    /// looked at.
    pub(super) async fn read_with<T>(
        &mut self,
        scratch: &RefCell<Box<[u8]>>,
        mut look: impl FnMut(&[u8]) -> T,
    ) -> io::Result<T> {
        poll_fn(|context| {
            let mut scratch = scratch.borrow_mut();
            let mut buffer = ReadBuf::new(&mut scratch);
            ready!(self.poll_read(context, &mut buffer))?;
            Poll::Ready(Ok(look(buffer.filled())))
        })
        .await
    }

    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}
