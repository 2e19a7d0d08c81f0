//! The client of the door's bench: many keep-alive connections over loopback, each with one call at a time.
//!
//! As little as can be, since its time is nobody's result and the machine is shared: the request is ready bytes, and of
//! a reply only status and length are read.

use std::net::SocketAddr;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

/// Connections to one server.
pub struct Calls {
    connections: Vec<Connection>,
    runtime: Runtime,
}

struct Connection {
    stream: TcpStream,
    reply: Vec<u8>,
}

impl Calls {
    /// So many connections to `address`.
    pub fn to(address: SocketAddr, connections: usize) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        let connections = (0..connections)
            .map(|_| {
                let stream = runtime.block_on(TcpStream::connect(address)).expect("it listens");
                stream.set_nodelay(true).expect("a fresh socket takes it");
                Connection { stream, reply: Vec::with_capacity(4_096) }
            })
            .collect();
        Self { connections, runtime }
    }

    /// Makes so many calls, each answered with 201; `request` makes the bytes of the one with this number.
    pub fn make(&mut self, calls: u64, request: impl Fn(u64) -> Vec<u8>) {
        let Self { connections, runtime } = self;
        let mut numbers = 0..calls;
        let begin = |mut connection: Connection, number: u64| {
            let request = request(number);
            async move {
                connection.call(&request).await;
                connection
            }
        };
        runtime.block_on(async {
            let mut free = std::mem::take(connections);
            let mut flying = FuturesUnordered::new();
            loop {
                while let Some(connection) = free.pop() {
                    match numbers.next() {
                        Some(number) => flying.push(begin(connection, number)),
                        None => connections.push(connection),
                    }
                }
                match flying.next().await {
                    Some(connection) => free.push(connection),
                    None => return,
                }
            }
        });
    }
}

impl Connection {
    async fn call(&mut self, request: &[u8]) {
        let Self { stream, reply } = self;
        stream.write_all(request).await.expect("the server listens");
        reply.clear();
        while missing(reply) > 0 {
            let read = stream.read_buf(reply).await.expect("the server answers");
            assert!(read > 0, "the server closed: {}", String::from_utf8_lossy(reply));
        }
        assert!(reply.starts_with(b"HTTP/1.1 201"), "not 201: {}", String::from_utf8_lossy(reply));
    }
}

/// How many bytes of this reply are still to come, at least.
fn missing(reply: &[u8]) -> usize {
    let Some(head) = reply.windows(4).position(|window| window == b"\r\n\r\n") else { return 1 };
    let text = String::from_utf8_lossy(&reply[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let length: usize = length.expect("every reply here has its length");
    (head + 4 + length).saturating_sub(reply.len())
}
