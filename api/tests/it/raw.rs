//! HTTP by hand, for what a well-behaved client does not send.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bank::secret_of;
use crate::http::SOON;

/// The line that authenticates the client `portal`.
pub fn authorization_line() -> String {
    let credentials = STANDARD.encode(format!("portal:{}", secret_of("portal")));
    format!("authorization: Basic {credentials}\r\n")
}

/// A connection that is used more than once.
pub struct Connection(TcpStream);

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.expect("connected"))
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        // The server may have closed before it has read all.
        let _ = self.0.write_all(bytes).await;
    }

    /// The next reply: its head in lower-case as sent, and its body by `content-length`.
    pub async fn reply(&mut self) -> String {
        let mut reply = Vec::new();
        while !is_whole(&reply) {
            let mut chunk = [0; 4_096];
            let read = tokio::time::timeout(SOON, self.0.read(&mut chunk)).await.expect("a reply in time");
            match read {
                Ok(count) if count > 0 => reply.extend_from_slice(&chunk[..count]),
                Ok(_) | Err(_) => break,
            }
        }
        String::from_utf8_lossy(&reply).into_owned()
    }

    /// All that has come, as soon as it is as wanted.
    pub async fn until(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let mut all = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&all).into_owned();
            if wanted(&text) {
                return text;
            }
            let mut chunk = [0; 4_096];
            let read = tokio::time::timeout(SOON, self.0.read(&mut chunk)).await;
            let count = read.unwrap_or_else(|_| panic!("it never came: {text}")).expect("readable");
            assert!(count > 0, "the end came first: {text}");
            all.extend_from_slice(&chunk[..count]);
        }
    }

    pub async fn post(&mut self, path: &str, body: &str) -> String {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\n{}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            authorization_line(),
            body.len()
        );
        self.send(request.as_bytes()).await;
        self.reply().await
    }
}

fn is_whole(reply: &[u8]) -> bool {
    let text = String::from_utf8_lossy(reply);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    body.len() >= length.unwrap_or(0)
}
