//! TCP to a host: look-up and connection.
//!
//! Every connection looks the name up anew, so that load spreads as the host wants it; nothing is cached. The caller
//! puts a deadline over the whole.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// Addresses of one look-up that are tried before the connection counts as failed.
pub(crate) const ADDRESSES_TRIED_MAX: usize = 4;
/// Longest wait for TCP at one address while another is left to try.
const ADDRESS_PATIENCE: Duration = Duration::from_millis(1_500);

/// Why there is no TCP connection.
#[derive(Debug)]
pub(crate) enum DialError {
    /// The name has no address.
    LookUp(io::Error),
    /// No address took the connection.
    Tcp(io::Error),
}

/// Makes TCP connections to one host.
#[derive(Debug)]
pub(crate) struct Dialler {
    host: Box<str>,
    port: u16,
    turn: AtomicUsize,
}

impl Dialler {
    pub(crate) fn new(host: &str, port: u16) -> Self {
        Self { host: host.into(), port, turn: AtomicUsize::new(0) }
    }

    /// A connection, if there can be one to another address than `avoid`.
    pub(crate) async fn dial(&self, avoid: Option<SocketAddr>) -> Result<(TcpStream, SocketAddr), DialError> {
        let found = lookup_host((&*self.host, self.port));
        let found: Vec<SocketAddr> = found.await.map_err(DialError::LookUp)?.collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        first_of(&in_order(found, avoid, turn)).await.map_err(DialError::Tcp)
    }
}

/// A connection to the first of these addresses that takes one.
pub(crate) async fn first_of(addresses: &[SocketAddr]) -> io::Result<(TcpStream, SocketAddr)> {
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    for (index, address) in addresses.iter().enumerate() {
        let is_last = index + 1 == addresses.len();
        match tcp(*address, is_last).await {
            Ok(stream) => return Ok((stream, *address)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn tcp(address: SocketAddr, is_last: bool) -> io::Result<TcpStream> {
    let connecting = TcpStream::connect(address);
    let stream = if is_last {
        connecting.await?
    } else {
        timeout(ADDRESS_PATIENCE, connecting).await.map_err(|_| io::ErrorKind::TimedOut)??
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The addresses to try: starting at another one each `turn`, the one to avoid last.
fn in_order(mut found: Vec<SocketAddr>, avoid: Option<SocketAddr>, turn: usize) -> Vec<SocketAddr> {
    if !found.is_empty() {
        let start = turn % found.len();
        found.rotate_left(start);
    }
    found.sort_by_key(|address| Some(*address) == avoid);
    let kept = found.len().min(ADDRESSES_TRIED_MAX);
    found.truncate(kept);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(last_bytes: &[u8]) -> Vec<SocketAddr> {
        last_bytes.iter().map(|byte| SocketAddr::from(([192, 0, 2, *byte], 443))).collect()
    }

    #[test]
    fn each_connection_starts_at_another_address() {
        assert_eq!(in_order(addresses(&[1, 2, 3]), None, 0), addresses(&[1, 2, 3]));
        assert_eq!(in_order(addresses(&[1, 2, 3]), None, 4), addresses(&[2, 3, 1]));
    }

    #[test]
    fn the_address_that_said_goaway_comes_last_but_stays_when_it_is_the_only_one() {
        let avoid = Some(addresses(&[1])[0]);
        assert_eq!(in_order(addresses(&[1, 2, 3]), avoid, 0), addresses(&[2, 3, 1]));
        assert_eq!(in_order(addresses(&[1]), avoid, 0), addresses(&[1]));
    }

    #[test]
    fn at_most_so_many_addresses_are_tried() {
        assert_eq!(in_order(addresses(&[1, 2, 3, 4, 5, 6]), None, 0).len(), ADDRESSES_TRIED_MAX);
        assert_eq!(in_order(Vec::new(), None, 3), Vec::new());
    }
}
