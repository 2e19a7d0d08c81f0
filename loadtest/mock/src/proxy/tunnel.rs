//! One connection to the proxy: a request, its answer, and the tunnel behind it.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::head::{self, Connect};
use super::record::ProxyRecord;
use super::server::Shared;
use crate::Fault;
use crate::sync::lock;

/// Most of a request's head that is read.
const HEAD_BYTES_MAX: usize = 8 * 1_024;
/// How long a client may take for it.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// A head that is longer than any client should read.
const LONG_HEAD_BYTES: usize = 64 * 1_024;
/// What stands behind a good answer where nothing may stand.
const JUNK: &[u8] = b"junk behind the answer";
const LET_THROUGH: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// How the proxy fails a proper request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyRefusal {
    /// It answers with this status: 403 for a host that is not allowed, 502 to 504 for one that it cannot reach.
    Status(u16),
    /// It asks for another kind of authentication than Basic, whatever was sent.
    AskDigest,
    /// It resets the connection in place of an answer.
    Reset,
    /// It answers 200 and sends something of its own before the target's bytes.
    Junk,
    /// Its answer has a header of 64 KiB.
    LongHead,
    /// What it answers is no HTTP.
    NoHttp,
}

/// A connection that a client made to the proxy.
pub(super) trait Incoming: AsyncRead + AsyncWrite + Unpin + Send {
    /// Has the connection reset when it is dropped.
    fn reset_at_end(&self) -> io::Result<()>;
}

impl Incoming for TcpStream {
    fn reset_at_end(&self) -> io::Result<()> {
        self.set_zero_linger()
    }
}

impl Incoming for TlsStream<TcpStream> {
    fn reset_at_end(&self) -> io::Result<()> {
        self.get_ref().0.set_zero_linger()
    }
}

/// Serves one connection to its end.
pub(super) async fn serve<S: Incoming>(mut stream: S, shared: &Shared) {
    let received = tokio::time::timeout(HEAD_DEADLINE, receive(&mut stream)).await;
    let Ok(Some(asked)) = received else { return };
    match asked {
        Ok(connect) => answer(stream, connect, shared).await,
        Err(fault) => {
            let record = ProxyRecord { fault: Some(fault), ..record(String::new(), false) };
            refuse(&mut stream, 400, "", record, shared).await;
        }
    }
}

/// A head and nothing behind it: a client has nothing to say before it was let through.
async fn receive<S: Incoming>(stream: &mut S) -> Option<Result<Connect, &'static str>> {
    let mut received = Vec::new();
    loop {
        if stream.read_buf(&mut received).await.ok()? == 0 {
            return None;
        }
        match head::length(&received) {
            _ if received.len() > HEAD_BYTES_MAX => return Some(Err("a head that is too long")),
            Some(length) if length < received.len() => return Some(Err("bytes before the answer")),
            Some(_) => return Some(head::read(&received)),
            None => {}
        }
    }
}

async fn answer<S: Incoming>(mut stream: S, connect: Connect, shared: &Shared) {
    let record = record(connect.target.clone(), connect.credentials.is_some());
    match shared.faults.take(Some(&connect.target)) {
        None => {}
        Some(Fault::Delay(delay)) => tokio::time::sleep(delay).await,
        Some(Fault::NeverAnswer) => {
            shared.log.keep(record);
            return std::future::pending().await;
        }
        Some(Fault::Refuse(refusal)) => return fail(stream, refusal, record, shared).await,
        // What is left is for streams, which a proxy does not know: it hangs up.
        Some(_) => return shared.log.keep(record),
    }
    if !may_pass(&connect, shared) {
        let ask = "Proxy-Authenticate: Basic realm=\"double\"\r\n";
        return refuse(&mut stream, 407, ask, record, shared).await;
    }
    let Some(mut outside) = reach(&connect.target, shared).await else {
        return refuse(&mut stream, 502, "", record, shared).await;
    };
    shared.log.keep(ProxyRecord { answered: Some(200), ..record });
    if stream.write_all(LET_THROUGH).await.is_err() {
        return;
    }
    match &shared.inspector {
        None => drop(copy_bidirectional(&mut stream, &mut outside).await),
        Some(inspector) => {
            // Holds the opened connection until the client gives it up.
            if let Ok(mut opened) = inspector.accept(stream).await {
                let _ended = opened.read(&mut [0]).await;
            }
        }
    }
}

fn may_pass(connect: &Connect, shared: &Shared) -> bool {
    let demanded = lock(&shared.credentials);
    demanded.is_none() || *demanded == connect.credentials
}

async fn reach(target: &str, shared: &Shared) -> Option<TcpStream> {
    let host = target.rsplit_once(':').map_or(target, |(host, _)| host);
    let connected = match shared.names.get(host) {
        Some(address) => TcpStream::connect(address).await,
        None => TcpStream::connect(target).await,
    };
    let outside = connected.ok()?;
    outside.set_nodelay(true).ok()?;
    Some(outside)
}

fn record(target: String, has_credentials: bool) -> ProxyRecord {
    ProxyRecord { target, has_credentials, fault: None, answered: None }
}

async fn refuse<S: Incoming>(
    stream: &mut S,
    status: u16,
    headers: &str,
    record: ProxyRecord,
    shared: &Shared,
) {
    shared.log.keep(ProxyRecord { answered: Some(status), ..record });
    let body = "refused by the double";
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} Refused\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    // A client that has gone needs no answer.
    let _gone = stream.write_all(answer.as_bytes()).await;
    let _gone = stream.shutdown().await;
}

async fn fail<S: Incoming>(mut stream: S, refusal: ProxyRefusal, record: ProxyRecord, shared: &Shared) {
    let long_head;
    let bytes: &[u8] = match refusal {
        ProxyRefusal::Status(status) => return refuse(&mut stream, status, "", record, shared).await,
        ProxyRefusal::AskDigest => {
            let ask = "Proxy-Authenticate: Digest realm=\"Basic, but not here\", nonce=\"1\"\r\n";
            return refuse(&mut stream, 407, ask, record, shared).await;
        }
        ProxyRefusal::Reset => {
            let _closed_anyway = stream.reset_at_end();
            return shared.log.keep(record);
        }
        ProxyRefusal::Junk => &[LET_THROUGH, JUNK].concat(),
        ProxyRefusal::LongHead => {
            long_head = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "x".repeat(LONG_HEAD_BYTES));
            long_head.as_bytes()
        }
        ProxyRefusal::NoHttp => b"SSH-2.0-double\r\n\r\n",
    };
    let answered = matches!(refusal, ProxyRefusal::Junk | ProxyRefusal::LongHead).then_some(200);
    shared.log.keep(ProxyRecord { answered, ..record });
    let _gone = stream.write_all(bytes).await;
    // The client judges what came; it is not cut off before.
    let _ended = stream.read(&mut [0]).await;
}
