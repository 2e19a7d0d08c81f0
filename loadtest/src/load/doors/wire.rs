//! One connection: bytes out, and bytes in through a buffer that all connections share.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

/// A connection.
#[derive(Debug)]
pub(super) struct Wire(TcpStream);

impl Wire {
    /// Connects.
    pub(super) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// Nothing has come that nobody asked for, not even the end. Asks the system only where it has told of something.
    pub(super) fn is_quiet(&self) -> bool {
        let looked = self.0.try_read(&mut [0]);
        looked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Writes all of it.
    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await
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
            ready!(Pin::new(&mut self.0).poll_read(context, &mut buffer))?;
            Poll::Ready(Ok(look(buffer.filled())))
        })
        .await
    }
}
